"""plusx explore: it serves until it is interrupted, and says in a line what is wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from plusx.cli.main import main
from waiting import HANG


def test_it_serves_its_address_until_it_is_interrupted(tmp_path):
    command = [sys.executable, "-m", "plusx", "explore", "resnet18", "gate=se", "--no-browser", "--lang", "zh"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            assert address.endswith("/#net=resnet18+gate%3Dse&lang=zh")
            base = address.partition("#")[0]
            with urllib.request.urlopen(f"{base}about.json", timeout=HANG) as answer:
                assert b'"net": "resnet18 gate=se"' in answer.read()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=HANG)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "", "")


def test_the_browser_is_opened_at_the_address(monkeypatch, capsys):
    import webbrowser

    from plusx.explorer import server

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(server, "serve", lambda _app, listening: listening.close())
    assert main(["explore", "plain18"]) == 0
    assert opened == [capsys.readouterr().out.strip()]
    assert main(["explore", "--no-browser"]) == 0
    assert len(opened) == 1


def test_other_machines_are_served_only_when_told_and_it_is_said(monkeypatch, capsys):
    from plusx.explorer import server

    monkeypatch.setattr(server, "serve", lambda _app, listening: listening.close())
    assert main(["explore", "--no-browser"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["explore", "--no-browser", "--host", "0.0.0.0"]) == 0
    assert "other machines" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["resnet5O"], 2, "resnet50"),
        (["--port", "99999"], 2, "from 0 to 65535"),
        (["--host", "no.such.host.invalid"], 3, "there is no such address"),
        (["resnet50", "depths=9999,9999,9999,9999"], 2, "39996 blocks"),
        (["--export", "site", "--vendor", "wrong.tgz"], 2, "as it was published"),
        (["--export", "full"], 2, "is no site of plusx"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(words, code, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.tgz").write_bytes(b"no archive")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("kept")
    assert main(["explore", "--no-browser", *words]) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not Path("site").exists()
