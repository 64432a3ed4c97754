"""The line of a download: bytes, speed and time left on a terminal, nothing in a pipe, and waits in both."""

from __future__ import annotations

import io

import pytest

from plusx.cli import downloads
from plusx.cli.downloads import DownloadLine
from plusx.cli.printing import speaking
from plusx.i18n import _


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(downloads.time, "monotonic", lambda: now[0])
    return now


def test_a_line_on_a_terminal(clock: list[float]) -> None:
    out = Terminal()
    line = DownloadLine(out)
    line.started("net.pth", 10_000_000, 110_000_000)
    line.moved(20_000_000)
    assert out.getvalue() == "", "not more often than the eye can follow"
    clock[0] += 2
    line.moved(30_000_000)
    assert "net.pth  30.0 of 110.0 MB, 10.0 MB/s, 0:08 left" in out.getvalue()
    line.started("net.pth", 0, None)
    clock[0] += 1
    with speaking("zh"):
        line.moved(5_000_000)
    assert "net.pth  5.0 MB，5.0 MB/s" in out.getvalue()
    line.ended()
    line.ended()
    assert out.getvalue().endswith("\r\033[K") and out.getvalue().count("\n") == 0


def test_silence_in_a_pipe_except_for_waits(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    line = DownloadLine(out)
    line.started("net.pth", 0, 10)
    clock[0] += 9
    line.moved(5)
    line.ended()
    assert out.getvalue() == ""
    line.waits(_("another process downloads {name}; waiting for it", name="net.pth"))
    assert capsys.readouterr().err == "note: another process downloads net.pth; waiting for it\n"
