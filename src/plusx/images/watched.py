"""Slow images in a process of their own, which is ended at a deadline: a thread inside C code can't be stopped.

Only files that can take long come here (`is_slow`). A child waits for the next image, so its start is paid once.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.i18n import _
from plusx.i18n.stored import loaded_message
from plusx.images.limits import QUICK_BYTES, QUICK_JPEG_BYTES

DEADLINE_S = 10
"""Processor seconds that one image may take. The clock on the wall would refuse good images on a busy machine."""
PATIENCE_S = 60
"""Seconds that it may take by the clock on the wall, where the processor is shared or the system counts no processor time."""

_idle: list[subprocess.Popen[bytes]] = []
_lock = threading.Lock()

if hasattr(os, "register_at_fork"):  # two processes must not talk to one child
    os.register_at_fork(after_in_child=lambda: _idle.clear())


def is_slow(raw: bytes) -> bool:
    """Whether a file is to be decoded by a child: it is large."""
    jpeg = raw[:3] == b"\xff\xd8\xff"
    return len(raw) > (QUICK_JPEG_BYTES if jpeg else QUICK_BYTES) and bool(sys.executable)


def call(task: str, raw: bytes, **words: Any) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    """What a task of `watched_child.serve` makes of the bytes of a file: plain values, and an array. Raises DataError, also at the deadline."""
    with _lock:
        child = _idle.pop() if _idle else None
    try:
        child = child or _started()
    except OSError as error:
        raise DataError(_("no process could be started to decode it ({reason})", reason=error.strerror)) from error
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(PATIENCE_S, end)
    timer.daemon = True
    timer.start()
    try:
        answer, array = _asked(child, raw, {"task": task, "size": len(raw), "deadline_s": DEADLINE_S, **words})
    except BaseException as error:
        child.kill()
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        if not isinstance(error, OSError | ValueError):
            raise
        if late.is_set() or code == -getattr(signal, "SIGXCPU", 0):
            raise DataError(
                _("decoding it takes longer than {seconds} s (make it smaller)", seconds=DEADLINE_S)
            ) from error
        raise DataError(_("the process that decoded it ended; there may not be enough memory for it")) from error
    finally:
        timer.cancel()
    with _lock:
        _idle.append(child)
    if "error" in answer:
        raise DataError(loaded_message(answer["error"]))  # pyright: ignore[reportArgumentType]
    return answer["values"], array


def _asked(
    child: subprocess.Popen[bytes], raw: bytes, words: dict[str, Any]
) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    """The child's answer, and the array behind it. Raises OSError or ValueError where the child ended."""
    source, target = child.stdout, child.stdin
    assert isinstance(source, io.BufferedReader) and target is not None
    target.write(json.dumps(words).encode() + b"\n")
    target.write(raw)
    target.flush()
    answer = json.loads(source.readline())
    if answer.get("shape") is None:
        return answer, None
    array: NDArray[np.uint8] = np.empty(answer["shape"], np.uint8)
    if array.size and source.readinto(array.data.cast("B")) != array.size:
        raise OSError(errno.EPIPE, "cut short")
    return answer, array


def _started() -> subprocess.Popen[bytes]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from plusx.images.watched_child import serve; serve()"
    # a session of its own, so that Ctrl-C reaches the parent alone; the child ends when its stdin does
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
