"""The frame of the command line: one line for what is wrong, the nearest word, the exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

import plusx
from plusx.cli.main import COMMANDS, main
from waiting import HANG


def said(capsys, *words):
    code = main(list(words))
    return code, capsys.readouterr()


@pytest.mark.parametrize(
    "words, line",
    [
        (["shw", "resnet50"], "plusx: unknown command 'shw'. Did you mean 'show'? Allowed: show,"),
        (["show", "resnet5O"], "plusx: There is no preset 'resnet5O'. The nearest are resnet50,"),
        (["show", "resnet50", "stm=deep"], "plusx: unknown key 'stm'. Did you mean 'stem'?"),
        (
            ["show", "resnet50", "--formt", "json"],
            "plusx: unknown option of plusx show '--formt'. Did you mean '--format'?",
        ),
        (["show", "resnet50", "--format", "jsn"], "'jsn'. Did you mean 'json'? Allowed: table,"),
        (["show", "resnet50", "--lang", "fr"], "'fr'. Allowed: en, zh"),
        (["show", "resnet50", "--size", "x"], "plusx: --size 'x' is not a size. Write a side in pixels like 224"),
        (["show", "resnet50_siamrpn", "--size", "5"], "is too small for conv1. Give a larger input"),
        (["show", "."], "plusx: . is neither a bundle nor a run"),
        (
            ["show"],
            "plusx: show needs NETWORK (a preset and key=value words, a .toml or .json file, a bundle, a run, a weights file or FILE.py:NAME)",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys, words, line):
    code, out = said(capsys, *words)
    assert code == 2 and out.out == ""
    assert line in out.err and out.err.count("\n") == 1


def test_every_command_has_help(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert COMMANDS[name] in " ".join(capsys.readouterr().out.split())
    assert said(capsys)[0] == 0 and said(capsys, "--version")[1].out.strip() == f"plusx {plusx.__version__}"


def test_debug_shows_the_traceback():
    with pytest.raises(plusx.PlusxError):
        main(["show", "resnet5O", "--debug"])


def test_chinese_errors(capsys, monkeypatch):
    code, out = said(capsys, "show", "resnet5O", "--lang", "zh")
    assert code == 2 and "resnet50" in out.err and any("\u4e00" <= letter <= "\u9fff" for letter in out.err)
    monkeypatch.setenv("PLUSX_LANG", "zh")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in said(capsys, "shw")[1].err)


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m plusx presets | head -1", shell=True, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0 and "Error" not in done.stderr and done.stdout.startswith("preset")


def test_public_names_exist_and_are_all_there():
    assert len(set(plusx.__all__)) == len(plusx.__all__)
    for name in plusx.__all__:
        assert getattr(plusx, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plusx.nothing  # noqa: B018
