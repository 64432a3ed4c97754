"""Trainings that end themselves with SIGKILL at a chosen moment, in a child process."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch.optim import SGD

from plusx.bundles import atomic
from plusx.training import Event, model_evaluation, optimiser
from plusx.training import checkpoint as checkpoints

Begin = Callable[[], Iterator[Event]]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(at: int, real: Callable[..., Any], kill: Callable[..., None] = lambda *_: die()) -> Callable[..., Any]:
    """`real`, whose call number `at` never comes back."""
    calls = 0

    def call(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            kill(*arguments)
        return real(*arguments, **keywords)

    return call


def half_written(path: Path, content: bytes) -> None:
    """The first half of a file, on disk; then the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        os.fsync(file.fileno())
    die()


PHASES: dict[str, Callable[[int], None]] = {
    "gradient made, weights not yet": lambda at: setattr(SGD, "step", at_call(at, SGD.step)),
    "weights made, averages not yet": lambda at: setattr(optimiser.EMA, "update", at_call(at, optimiser.EMA.update)),
    "half a file written": lambda at: setattr(atomic, "_write_file", at_call(at, atomic._write_file, half_written)),
    "before an fsync": lambda at: setattr(atomic, "_fsync", at_call(at, atomic._fsync)),
    "between fsync and rename": lambda at: setattr(atomic, "_rename", at_call(at, atomic._rename)),
    "old checkpoints half removed": lambda at: setattr(atomic, "_remove", at_call(at, atomic._remove)),
    "state copied, not written": lambda at: setattr(checkpoints, "write", at_call(at, checkpoints.write)),
    "evaluation": lambda at: setattr(model_evaluation, "logits", at_call(at, model_evaluation.logits)),
}
"""Where a training can be, and how to end it there at the `at`-th time."""


def killed(begin: Begin, phase: str, at: int) -> bool:
    """Trains in a child that kills itself in a phase, or at the `at`-th event of a kind; False when it ended first.

    A fork rather than a new interpreter: importing torch is most of such a run, and one thread forks safely.
    """
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    try:
        if phase in PHASES:
            PHASES[phase](at)
        for event in begin():
            if phase == type(event).__name__ and getattr(event, "step", 0) >= at:
                die()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
