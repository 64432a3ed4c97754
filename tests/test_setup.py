"""scripts/setup.py and the Makefile's checks: what is installed and announced, and the one line when it cannot be."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from waiting import HANG

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """The script as a module, on a Linux machine, with an environment folder of its own and pip calls written down."""
    spec = importlib.util.spec_from_file_location("plusx_setup", ROOT / "scripts/setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("TORCH", "TORCH_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "VENV", tmp_path)
    monkeypatch.setattr(module, "PYTHON", tmp_path / "bin/python")
    monkeypatch.setattr(module, "default_is_cuda", lambda: True)
    monkeypatch.setattr(module, "check_torch", lambda: None)
    module.asked = []
    monkeypatch.setattr(module, "pip", lambda *words: module.asked.append(words))
    return module


def pip_lists(setup, monkeypatch, **listings: str) -> None:
    """Let `pip index versions NAME` print these."""
    monkeypatch.setattr(
        setup.subprocess, "run", lambda command, **_: SimpleNamespace(stdout=listings.get(command[-1], ""))
    )


def stopped(call, capsys) -> tuple[int, str]:
    """Exit code and last line of something that must stop."""
    with pytest.raises(SystemExit) as stop:
        call()
    return stop.value.code, capsys.readouterr().err.splitlines()[-1]


# ---- which torch ----


def test_by_default_pip_decides(setup):
    setup.install_torch()
    assert setup.asked == [("torch>=2.10", "torchvision>=0.25", "scikit-learn>=1.5")]


def test_cpu_takes_the_newest_cpu_build_by_number(setup, monkeypatch):
    pip_lists(setup, monkeypatch, torch="torch (2.15.0)\nAvailable versions: 2.15.0, 2.9.1+cpu, 2.13.0+cpu, 2.13.0")
    assert setup.cpu_requirements() == ["torch==2.13.0+cpu"]


def test_cpu_prefers_a_pair_that_fits(setup, monkeypatch):
    pip_lists(setup, monkeypatch, torch="2.15.0+cpu, 2.14.1+cpu", torchvision="0.29.1+cpu, 0.28.0+cpu")
    assert setup.cpu_requirements() == ["torchvision==0.29.1+cpu", "torch>=2.10"]


@pytest.mark.parametrize("listing", ["", "Available versions: 2.15.0, 2.14.1", "Available versions: 2.9.1+cpu"])
def test_cpu_without_such_a_build_is_one_line(setup, monkeypatch, capsys, listing):
    pip_lists(setup, monkeypatch, torch=listing)
    code, line = stopped(setup.cpu_requirements, capsys)
    assert code == 2
    assert line.startswith("plusx: TORCH=cpu: pip sees no CPU build of torch; set TORCH_INDEX_URL")


def test_cpu_is_the_plain_build_where_there_is_no_other(setup, monkeypatch):
    monkeypatch.setattr(setup, "default_is_cuda", lambda: False)
    assert setup.cpu_requirements() == ["torch", "torchvision"]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"TORCH": "torch==2.14.1 torchvision==0.29.1"}, ("torch==2.14.1", "torchvision==0.29.1")),
        ({"TORCH": "torch==2.14.1"}, ("torch==2.14.1", "torchvision")),
        (
            {"TORCH": "cpu", "TORCH_INDEX_URL": "file:///wheels"},
            ("--index-url", "file:///wheels", "torch", "torchvision"),
        ),
    ],
)
def test_requirements_and_index_of_the_users_own(setup, monkeypatch, env, words):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    setup.install_torch()
    assert setup.asked == [words]


def test_the_choice_of_torch_is_remembered(setup, monkeypatch):
    """Else `TORCH=cpu make demo; make test` would replace the CPU build by gigabytes of CUDA."""
    monkeypatch.setenv("TORCH", "torch==2.14.1")
    setup.install_torch()
    asked = setup.key("train")
    monkeypatch.delenv("TORCH")
    assert setup.wish()["torch"] == "torch==2.14.1"
    assert setup.key("train") == asked
    monkeypatch.setenv("TORCH", "torch==2.13.0")
    assert setup.key("train") != asked
    assert setup.key("base") == setup.key("base")


# ---- when it is done, and what it costs ----


def test_only_requirements_make_a_stage_run_again(setup, monkeypatch, tmp_path):
    copy = tmp_path / "pyproject.toml"
    shutil.copy(ROOT / "pyproject.toml", copy)
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    before = setup.key("base")
    copy.write_text(copy.read_text().replace("line-length = 120", "line-length = 100"))
    assert setup.key("base") == before
    copy.write_text(copy.read_text().replace('"numpy>=1.26"', '"numpy>=2.0"'))
    assert setup.key("base") != before


def test_sizes_are_told_and_a_full_disk_is_one_line(setup, monkeypatch, capsys):
    setup.announce(["base", "train", "dev"])
    told = capsys.readouterr().err
    for words in ("numpy", "3 GB to download, 5.6 GB on disk", "TORCH=cpu", "tools for dev"):
        assert words in told
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000_000))
    code, line = stopped(lambda: setup.announce(["base", "train"]), capsys)
    assert (code, line.split(" at ")[0]) == (3, "plusx: 5000 MB are free")


def test_python_without_venv_names_the_debian_package(setup, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    code, line = stopped(setup.make_venv, capsys)
    assert (code, line) == (2, "plusx: this Python cannot make environments; on Debian: apt install python3-venv")


# ---- the Makefile ----


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, timeout=HANG)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("exists", [True, False])
def test_no_python_or_an_old_one_is_one_line(tmp_path, exists):
    old = tmp_path / "python3.9"
    if exists:
        old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.18 && exit 0\nexit 1\n')
        old.chmod(0o755)
    done = make("python", f"PYTHON={old}")
    told = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode == 2
    assert len(told) == 1
    assert ("3.11 or newer is needed" in told[0]) and ("Python 3.9.18" in told[0]) == exists


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_help_lists_what_can_be_made():
    told = make("help").stdout
    for target in ("demo", "test", "test-slow", "test-parity", "test-browser", "bench", "drawings", "check", "clean"):
        assert f"make {target} " in told
