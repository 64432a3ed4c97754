"""The environment is read in one place, and what cannot be meant is one clear line."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import plusx
from plusx import settings
from plusx.cli.main import main
from plusx.errors import SpecError

SRC = Path(plusx.__file__).parent


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", "²", "1e3", "1025", "9" * 5000])
def test_threads_that_cannot_be_meant_are_one_line(text, monkeypatch):
    monkeypatch.setenv("PLUSX_THREADS", text)
    with pytest.raises(SpecError, match=r"^PLUSX_THREADS=.*1 to 1024") as raised:
        settings.threads()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "count"), [("1", 1), (" 8 ", 8), ("1024", 1024), ("", None)])
def test_threads_that_can_be_meant(text, count, monkeypatch):
    monkeypatch.setenv("PLUSX_THREADS", text)
    assert settings.threads() == count


@pytest.mark.parametrize(
    "words",
    [
        ["data", "check", "photos"],
        ["train", "resnet18", "--data", "photos", "--out", "run"],
        ["train", "resnet18", "--data", "digits", "--out", "run"],
        ["doctor"],
    ],
)
def test_every_command_that_asks_says_it_in_one_line(words, tmp_path, monkeypatch, capsys):
    from training.tinyrun import write_photos

    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUSX_THREADS", "two")
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("plusx: PLUSX_THREADS='two' is not a whole number")
    assert said.err.count("\n") == 1 and not Path("run").exists()


@pytest.mark.parametrize(("text", "is_offline"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline(text, is_offline, monkeypatch):
    monkeypatch.setenv("PLUSX_OFFLINE", text)
    assert settings.offline() is is_offline


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLUSX_CACHE", "~/mine")
    assert settings.cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("PLUSX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/xdg")
    assert settings.cache_dir() == Path("/var/xdg/plusx")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert settings.cache_dir() == tmp_path / ".cache/plusx"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become an unknown user")
def test_a_user_without_a_home_is_told_of_plusx_cache():
    code = "import os, platformdirs; platformdirs.user_cache_dir(); from plusx import settings; os.setuid(54321); settings.cache_dir()"
    env = {key: value for key, value in os.environ.items() if key not in ("HOME", "PLUSX_CACHE", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
    assert "no home folder for a cache. Set PLUSX_CACHE" in done.stderr


def readings(source: str) -> set[str]:
    """The environment variables of plusx that a source names in a reading of os.environ."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            where, name = ast.unparse(node.value), node.slice.value
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            where, name = ast.unparse(node.func), node.args[0].value
        else:
            continue
        if where.startswith(("os.environ", "os.getenv", "environ", "getenv")) and isinstance(name, str):
            found.add(name)
    return {name for name in found if name.startswith("PLUSX_") or name in ("NO_COLOR", "XDG_CACHE_HOME")}


def test_only_settings_reads_the_environment_of_plusx():
    read = {path.name: readings(path.read_text(encoding="utf-8")) for path in SRC.rglob("*.py")}
    assert {name for name, found in read.items() if found} == {"settings.py"}
    assert read["settings.py"] >= {"PLUSX_THREADS", "PLUSX_LANG", "PLUSX_CACHE", "PLUSX_OFFLINE", "NO_COLOR"}
