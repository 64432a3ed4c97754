"""Nothing that reads a training's output, or no longer does, ends it."""

from __future__ import annotations

import errno
import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plusx.bundles import open_bundle, read_lines
from plusx.cli import streams
from plusx.cli.main import main
from plusx.cli.streams import LossyStream, unstoppable_output
from plusx.training.signals import Stop, stop_on_signals
from waiting import HANG

WORDS = [
    "train", *"resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 --data digits --threads 1 --workers 0".split(),
    "--recipe", "digits epochs=2 batch=128",
]  # fmt: skip


class Refusing(io.StringIO):
    """A stream that takes `most` texts, and no more."""

    def __init__(self, error: Exception, most: int = 0) -> None:
        super().__init__()
        self.error, self.most = error, most

    def write(self, text: str) -> int:
        if self.most <= 0:
            raise self.error
        self.most -= 1
        return super().write(text)

    def flush(self) -> None:
        if self.most <= 0:
            raise self.error


REFUSALS = [
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
    ValueError("I/O operation on closed file"),
]


@pytest.mark.parametrize("most", [0, 5])
@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: error.args[-1])
def test_output_that_cannot_be_written_ends_no_training(
    error: Exception, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0, a bundle, and a word in the run's own log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", Refusing(error))
    monkeypatch.setattr(sys, "stderr", Refusing(error, most))
    assert main([*WORDS, "--out", "run"]) == 0
    assert open_bundle("run").metrics["n"] == 359
    rows = list(read_lines(Path("run/metrics.jsonl")))
    assert rows[-1]["event"] == "finished"
    (dropped,) = [row for row in rows if row["event"] == "dropped"]
    assert "TrainingLog failed and is no longer called" in dropped["reason"]


def test_without_it_such_a_training_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LossyStream, "_try", lambda self, what, *values: getattr(self.stream, what)(*values))
    monkeypatch.setattr(sys, "stdout", Refusing(REFUSALS[1]))
    monkeypatch.setattr(sys, "stderr", Refusing(REFUSALS[1]))
    with pytest.raises(OSError, match="No space left"):
        main([*WORDS, "--out", "run"])


def test_the_interpreter_s_last_flush_says_nothing() -> None:
    """A real device without room; Python would end with 120 for what is still in its buffer."""
    script = (
        "import sys; from plusx.cli.streams import unstoppable_output\n"
        "with unstoppable_output(): print('x' * 10); print('y', file=sys.stderr)\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=full, timeout=HANG)
    assert done.returncode == 0


def test_what_was_printed_comes_through_and_what_is_closed_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    streams.prepare()
    with unstoppable_output():
        print("one")
        print("two", file=sys.stderr)
        assert not sys.stderr.isatty()
    assert stream.getvalue() == "one\n" and sys.stdout is stream
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    streams.prepare()
    with unstoppable_output():
        print("naïve 图 → caf\udce9")
        print("two")
    ascii_only.flush()
    assert ascii_only.buffer.getvalue() == b"na\\xefve \\u56fe -> caf\xe9\ntwo\n"  # type: ignore[attr-defined]


# ---- SIGHUP ----


HANG_UP = """
import signal
from plusx.training.signals import Stop, stop_on_signals

signal.signal(signal.SIGHUP, signal.SIG_DFL)
for numbers in ([signal.SIGHUP], [signal.SIGHUP, signal.SIGHUP], [signal.SIGTERM, signal.SIGHUP]):
    stop = Stop()
    with stop_on_signals(stop):
        for number in numbers:
            signal.raise_signal(number)
        assert stop.signal == numbers[0], (numbers, stop.signal)
stop = Stop()
with stop_on_signals(stop):
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    assert stop.signal == signal.SIGTERM
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        print("interrupted by the second request of a person")
"""


def test_a_closed_terminal_asks_to_stop_and_never_interrupts() -> None:
    """It comes together with SIGTERM often, and in either order; only a repeated request of a person's is one to end at once."""
    done = subprocess.run([sys.executable, "-c", HANG_UP], capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stdout) == (0, "interrupted by the second request of a person\n"), done.stderr


def test_where_it_was_ignored_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """nohup, disown: the training goes on when its terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = Stop()
        with stop_on_signals(stop):
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
