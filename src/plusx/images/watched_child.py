"""The process that `watched` starts: it decodes one image after another, each within its deadline."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.i18n.stored import stored_message
from plusx.images import watched
from plusx.images.decode import decode, probe
from plusx.images.traits import traits


def serve() -> None:
    """The child: answers until stdin ends. It ends itself at the deadline, also where its parent is gone."""
    watched.is_slow = lambda _raw: False  # here it is decoded

    def decoded(raw: bytes, mode: str, at_least_px: int | None) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        deep: list[int] = []
        image = decode(raw, mode, at_least_px=at_least_px, on_deep=deep.append)
        return {"deep": deep[0] if deep else None}, image

    tasks: dict[str, Any] = {
        "decode": decoded,
        "probe": lambda raw: (asdict(probe(raw)), None),
        "traits": lambda raw: ({"traits": traits(raw)}, None),
    }
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        words = json.loads(line)
        task, size, deadline_s = (words.pop(name) for name in ("task", "size", "deadline_s"))
        _limit_time(deadline_s)
        raw = source.read(size)
        try:
            values, array = tasks[task](raw, **words)
            answer = {"values": values, "shape": None if array is None else array.shape}
        except DataError as error:
            answer, array = {"error": stored_message(error.message)}, None
        target.write(json.dumps(answer).encode() + b"\n")
        if array is not None:
            target.write(np.ascontiguousarray(array).data)
        target.flush()


def _limit_time(seconds: int) -> None:
    """The system ends this process after so many more processor seconds, in C code too."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock alone
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    whole = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (whole, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
