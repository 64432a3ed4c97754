"""What argparse would complain of, in plusx's own sentences; and what else stops a command, in one line."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import plusx
from plusx.cli.main import COMMANDS, main
from plusx.cli.parser import Parser
from plusx.cli.weights import SUBCOMMANDS
from plusx.errors import EXTRAS, MissingExtra, SpecError

ARGPARSE = re.compile(
    r"invalid (int|float|choice)|invalid \w+ value|expected (one|at least|\d)|following arguments|argument -|ignored explicit|usage:"
)
"""How argparse's own sentences are recognised (CPython's Lib/argparse.py)."""


EVERY = [*COMMANDS, *(f"weights {way}" for way in SUBCOMMANDS)]
"""All that can be typed behind plusx, with the ways of its one command that has several."""


def parser_of(name: str) -> Parser:
    parser = Parser(f"plusx {name}", COMMANDS[name.split()[0]])
    importlib.import_module(f"plusx.cli.{name.replace(' ', '.')}").add_arguments(parser)
    return parser


def refused(parser: Parser, words: list[str]) -> str:
    with pytest.raises(SpecError) as raised:
        parser.read(words)
    text = str(raised.value)
    assert "\n" not in text and not ARGPARSE.search(text), text
    assert text[-1] in ".…"
    return text


@pytest.mark.parametrize("name", EVERY)
def test_no_complaint_of_any_option_is_argparse_s(name):
    """Every option of every command: without its value, with one of the wrong kind, and a flag with a value."""
    parser = parser_of(name)
    given = [
        "x" if not action.option_strings else f"{action.option_strings[-1]}=x"
        for action in parser._actions
        if action.required
    ]
    for action in parser._actions:
        for option in action.option_strings:
            if action.dest in ("help", "lang"):
                continue
            if action.nargs == 0:
                if option.startswith("--"):
                    assert "takes no value" in refused(parser, [*given, f"{option}=3"])
                continue
            if action.nargs == "?":  # --ray, with an address or without
                assert parser.read([*given, option])
                continue
            assert "needs a value. Write " in refused(parser, [*given, option])
            if action.type is int or action.type is float:
                for wrong in ("x", "", "nan", "1e400", "9" * 5000):
                    text = refused(parser, [*given, f"{option}={wrong}"])
                    assert ("a whole number" if action.type is int else "a finite number") in text and len(text) < 200
    if any(action.required and action.nargs != "*" for action in parser._actions):
        assert f"{name.split()[-1]} needs " in refused(parser, [])
    refused(parser, [*given, "--no-such-option-anywhere"])


def test_the_samples_above_are_argparse_s():
    plain = argparse.ArgumentParser(exit_on_error=False)
    plain.add_argument("--n", type=int)
    for words in (["--n", "x"], ["--n"]):
        with pytest.raises(argparse.ArgumentError) as raised:
            plain.parse_args(words)
        assert ARGPARSE.search(str(raised.value))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["predict", "run", "x.jpg", "--top", "1.5"], "--top takes a whole number from 1 to 1000000, not '1.5'. Write it like --top 5."),
        (["predict", "run", "x.jpg", "--threshold"], "--threshold needs a value. Write --threshold P."),
        (["evaluate", "run"], "evaluate needs --data D (as for plusx train"),
        (["predict", "run"], "predict needs PATH (images, folders"),
        (["cam", "a", "b", "c"], "'c' is one argument too many. plusx cam takes SOURCE PHOTO. Quote"),
        (["help", "shw"], "unknown command 'shw'. Did you mean 'show'?"),
    ],
)  # fmt: skip
def test_what_is_said(words, line, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"plusx: {line}") and said.err.count("\n") == 1


@pytest.mark.parametrize("words", [["help", "show"], ["show", "help"], ["--help", "show"], ["show", "--help"]])
def test_help_is_found_however_it_is_asked_for(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "usage: plusx show " in capsys.readouterr().out


# ---- what is not installed, and what the system refuses ----

WITHOUT = """
import sys
for name in ("torch", "torchvision"):
    sys.modules[name] = None
import plusx
for name in plusx.LAZY:
    try:
        getattr(plusx, name)
        if name in ("build", "load", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
            getattr(plusx, name)(*["resnet18"] * (name in ("build", "load")))
        print(name, "works")
    except plusx.errors.MissingExtra as error:
        print(name, error)
"""


def test_public_names_without_torch_name_the_extra():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert set(said) == set(plusx.LAZY)
    works = {name for name, text in said.items() if text == "works"}
    assert works == {"analyse", "diff", "draw", "evaluate", "predictor"}
    assert {said[name] for name in set(said) - works} == {
        "torch is not installed. Install it with pip install 'plusx[train]'."
    }


def test_a_command_without_torch_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; from plusx.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "train", "resnet18", "--data", "digits"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        2, "plusx: torch is not installed. Install it with pip install 'plusx[train]'.\n",
    )  # fmt: skip


def test_a_module_of_plusx_itself_is_never_called_an_extra(monkeypatch):
    monkeypatch.setitem(plusx.LAZY, "build", "plusx.nowhere")
    with pytest.raises(ModuleNotFoundError, match=r"plusx\.nowhere") as raised:
        plusx.build  # noqa: B018
    assert not isinstance(raised.value, MissingExtra)


def test_extras_are_those_of_the_package():
    """Each extra brings, by pyproject.toml, the packages of the modules that are said to need it."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    offered = tomllib.loads(text)["project"]["optional-dependencies"]
    packages = {"vl_convert": "vl-convert-python", "sklearn": "scikit-learn"}
    for extra, modules in EXTRAS.items():
        brought = {re.split(r"[<>=\[~]", need)[0] for need in offered[extra]}
        assert {packages.get(module, module) for module in modules} <= brought, extra


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and privileges as Linux has them")
def test_threads_that_the_system_refuses_are_no_interruption(tmp_path):
    """OpenBLAS ends the process with SIGINT then, as Ctrl-C would."""
    env = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "PLUSX_THREADS")}
    env |= {"OPENBLAS_NUM_THREADS": "2", "PLUSX_CACHE": str(tmp_path)}
    words = [sys.executable, str(Path(__file__).with_name("starved.py")), "data", "check", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    if "capset" in done.stderr:
        pytest.skip("may not become another user here")
    assert done.returncode == 3, done.stderr[-500:]
    assert done.stderr.splitlines()[-1].startswith("plusx: The system gives this process no more threads.")
    assert "stopped" not in done.stderr


def test_an_interruption_while_numpy_loads_is_still_one(tmp_path):
    code = """
import builtins, sys
from plusx.cli.main import main
real = builtins.__import__
def stop(name, *rest):
    if name == "numpy":
        raise KeyboardInterrupt
    return real(name, *rest)
builtins.__import__ = stop
sys.exit(main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", code, "data", "check", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "plusx: stopped\n")
