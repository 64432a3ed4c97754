"""plusx check and FILE.py:NAME everywhere: output, exit codes, and files that are broken or do what they should not."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from plusx.checking import child, reading
from plusx.cli.main import main

NETS = Path(__file__).resolve().parents[1] / "checking/nets"
DOC = (NETS.parents[2] / "docs/json.md").read_text(encoding="utf-8")
RIGHT = "resnet20 widths=8,16,32 stem_width=8 shortcut_align=centre"
WRONG = ("F.relu(out + self.shortcut(x))", "F.relu(out) + self.shortcut(x)")
QUICK = "import torch\nfrom torch import nn\n"


@pytest.fixture
def quick(monkeypatch):
    """The child's work is done in this process, where torch is loaded already."""
    monkeypatch.setattr(reading, "_ask", lambda request, file, limit_s: json.loads(json.dumps(child.answered(request))))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [*sys.argv])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(NETS / "cifar.py", "net.py")
    text = Path("net.py").read_text(encoding="utf-8")
    assert text.count(WRONG[0]) == 1
    Path("wrong.py").write_text(text.replace(*WRONG), encoding="utf-8")
    return tmp_path


def test_a_right_network_is_named_and_ends_with_0(here, capsys):
    assert main(["check", "net.py:Net"]) == 0
    out, err = capsys.readouterr()
    assert f"net.py:Net is {RIGHT}.\n" in out
    assert "input 3x32x32 (the size is assumed; --size sets it)\n" in out
    assert "depth 20 = 1 + 2·(3+3+3) + 1 (fc)\n68,050 parameters\n" in out
    assert "running the code of net.py in a process of its own" in err


def test_a_deviating_network_is_told_drawn_and_refused_elsewhere(here, quick, capsys):
    assert main(["check", "wrong.py:Net", "-o", "wrong.svg"]) == 1
    out = capsys.readouterr().out
    assert f"wrong.py:Net is nearest to {RIGHT}, and deviates from it.\n" in out
    assert "1 deviation\n" in out
    assert re.search(r"blocks\.0 \(wrong\.py:\d+\)", out)
    assert "relu stands before the addition instead of after it." in out
    assert "follows: F(x) cannot be negative" in out
    assert "mend: Return relu(F(x) + shortcut)" in out
    drawing = Path("wrong.svg").read_text(encoding="utf-8")
    assert "deviates" in drawing
    assert main(["show", "wrong.py:Net"]) == 2
    assert capsys.readouterr().err.endswith(
        f"plusx: wrong.py:Net deviates from {RIGHT} at 1 place. plusx check wrong.py:Net says where.\n"
    )


def test_json_and_chinese(here, quick, capsys):
    assert main(["check", "wrong.py:Net", "--format", "json", "--lang", "zh", "--size", "40"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert (record["schema"], record["spec"], record["passed"]) == ("plusx.check/1", RIGHT, False)
    assert (record["input"], record["assumed"]) == ([3, 40, 40], [])
    (finding,) = record["findings"]
    assert finding["code"] == "relu_before_add"
    section = DOC.split("## plusx.check/1")[1].split("\n## ")[0]
    assert [key for key in (*record, *finding) if not re.search(rf"\b{key}\b", section)] == []
    assert len(finding["places"]) == 9
    assert finding["what"] == "relu 在加法之前，而不是之后。"


def test_a_file_is_a_network_everywhere(here, quick, capsys):
    assert main(["diff", "net.py:Net", RIGHT]) == 0
    assert "No difference" in capsys.readouterr().out
    assert main(["draw", "net.py:Net"]) == 0
    assert RIGHT.split()[0] in capsys.readouterr().out
    assert main(["show", "net.py:Net", "classes=7", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"] == f"{RIGHT} classes=7"


def test_what_it_is_meant_to_be_can_be_said(here, quick, capsys):
    assert main(["check", "net.py:Net", "--network", "resnet20 widths=8,16,32 stem_width=8"]) == 1
    assert "The zeros of the shortcut stand elsewhere" in capsys.readouterr().out


def test_arguments_are_passed(here, quick, capsys):
    assert main(["check", "net.py:Net", "--args", "num_classes=7, n=1"]) == 0
    assert "depths=1,1,1 widths=8,16,32 stem_width=8 shortcut_align=centre classes=7" in capsys.readouterr().out


def test_a_file_of_a_package_has_its_relative_imports(here, quick, capsys, monkeypatch):
    Path("mine").mkdir()
    Path("mine/__init__.py").write_text("", encoding="utf-8")
    shutil.move("net.py", "mine/blocks.py")
    Path("mine/net.py").write_text("from .blocks import Net\n", encoding="utf-8")
    assert main(["check", "mine/net.py:Net"]) == 0
    assert f"mine/net.py:Net is {RIGHT}.\n" in capsys.readouterr().out


# ---- broken files: one line that says where ----

LINE = "class Net:\n"
BROKEN = {
    "syntax": ("class Net(\n", ":Net", r"net\.py cannot be imported: SyntaxError: .+ \(net\.py:1\)\."),
    "import": ("\nimport no_such_module_of_mine\n", ":Net", r"cannot be imported: ModuleNotFoundError: .*no_such_module_of_mine.* \(net\.py:2\)\."),
    "raises": ("x = 1\ny = 1 / 0\n", ":Net", r"cannot be imported: ZeroDivisionError: division by zero \(net\.py:2\)\."),
    "exits": ("import sys\nsys.exit(3)\n", ":Net", r"net\.py:2 calls exit\(3\), so the network cannot be read\. Remove it\."),
    "dies": ("import os\nos._exit(7)\n", ":Net", r"ended with status 7 before it answered\."),
    "unnamed": ("class Net(object): ...\n", "", r"net\.py is Python\. Name the network in it, like net\.py:Net\."),
    "no such name": (QUICK + "class Net(nn.Module): ...\n", ":Nett", r"net\.py has no Nett\. Did you mean Net\? It has Net\."),
    "needs arguments": (QUICK + "class Net(nn.Module):\n    def __init__(self, depth, width): ...\n", ":Net", r"Net of net\.py needs the arguments depth, width\. Give them like --args 'depth=…'\."),
    "no module": ("def net():\n    return 3\n", ":net", r"net of net\.py is of type int, which is not a torch\.nn\.Module\."),
    "fails to be made": (QUICK + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        nn.Conv2d(3, 8, 0, groups=2)\n", ":Net", r"cannot be made: ValueError: .+ \(net\.py:6\)\."),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_explained_in_one_line(name, tmp_path, monkeypatch, capsys, request):
    monkeypatch.chdir(tmp_path)
    source, what, expected = BROKEN[name]
    if source.startswith(QUICK):
        request.getfixturevalue("quick")
    Path("net.py").write_text(source, encoding="utf-8")
    assert main(["check", f"net.py{what}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("plusx: ")
    assert re.search(expected, last), last
    assert "Traceback" not in err


def test_a_file_that_never_ends_is_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("while True: ...\n", encoding="utf-8")
    assert main(["check", "net.py:Net", "--seconds", "1"]) == 3
    assert "net.py was stopped after 1 s" in capsys.readouterr().err


def test_what_a_file_prints_is_no_answer(here, capfd):
    text = Path("net.py").read_text(encoding="utf-8")
    noise = 'import os, sys\nprint(\'{"read": 1}\')\nos.write(1, b"noise")\nsys.stderr.write("more")\n'
    Path("noisy.py").write_text(noise + text, encoding="utf-8")
    assert main(["check", "noisy.py:Net"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("noisy.py:Net is resnet20")
    assert "more" not in err


def test_a_forward_pass_that_fails_is_a_finding_with_its_line(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = (
        QUICK + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 8, 3)\n    def forward(self, x):\n        return self.conv(x.to('cuda:99'))\n"
    )
    Path("net.py").write_text(source, encoding="utf-8")
    assert main(["check", "net.py:Net"]) == 1
    out = capsys.readouterr().out
    assert "net.py:Net could not be compared with a ResNet." in out
    assert "deviation at net.py:8" in out
    assert "Mend this line: return self.conv(x.to('cuda:99'))" in out


def test_a_word_that_is_no_file_is_refused(capsys):
    assert main(["check", "resnet50"]) == 2
    assert "resnet50 names no Python file. Write FILE.py:NAME, like net.py:Net." in capsys.readouterr().err
    assert main(["check", "nowhere.py:Net"]) == 2
    assert "There is no file nowhere.py." in capsys.readouterr().err
    assert main(["show", "nowhere.py:Net"]) == 2


@pytest.mark.parametrize("text", ["3", "a=b", "a=__import__('os')", "**{}", "a=1)(", "a" * 9999])
def test_arguments_are_literals(text, here, capsys):
    assert main(["check", "net.py:Net", "--args", text]) == 2
    assert "is not a list of arguments. Write literals" in capsys.readouterr().err
