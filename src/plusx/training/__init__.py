"""Training: `fit` and `resume`, recipes, run options, events. Importing this room loads no torch; its names do, on use.

`api` calls `run.TrainingRun`, which decides everything; `loop.TrainingLoop` makes the steps with `step.Trainer`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

LAZY = {
    "fit": "plusx.training.api",
    "resume": "plusx.training.api",
    "find_lr": "plusx.training.lr_range",
    "RunOptions": "plusx.training.options",
    "TrainingRun": "plusx.training.run",
    "Recipe": "plusx.training.recipe",
    "parse_recipe": "plusx.training.recipe",
    "Stop": "plusx.training.signals",
    "stop_on_signals": "plusx.training.signals",
    **dict.fromkeys(
        ("Started", "Step", "Evaluated", "ImageSkipped", "Checkpointed", "Finished", "Event"), "plusx.training.events"
    ),
}

__all__ = list(LAZY)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'plusx.training' has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LAZY})
