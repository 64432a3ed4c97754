"""Commands that start processes of their own, as torchrun does: none of them outlives its test."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from waiting import HANG

_MARK = "PLUSX_TEST_PROCESSES"


@contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The process of a command; at the end it and all that it has started, in whatever session, are killed and waited for."""
    mark = secrets.token_hex(8)
    env = {**os.environ, **options.pop("env", {}), _MARK: mark}
    process = subprocess.Popen(command, text=True, env=env, **options)
    try:
        yield process
    finally:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def run(command: list[str], timeout: float = HANG, **options: Any) -> subprocess.CompletedProcess[str]:
    """subprocess.run with captured text, that leaves no process behind when the time is over either."""
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def marked(mark: str) -> list[int]:
    """The processes that inherited `mark` in their environment (Linux; elsewhere none are found)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found
