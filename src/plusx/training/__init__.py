"""Training: recipes, the loop, checkpoints. Importing this room loads no torch; its names do, on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

LAZY = {
    "fit": "plusx.training.fitting",
    "resume": "plusx.training.fitting",
    "Hands": "plusx.training.work",
    "evaluate": "plusx.training.evaluation",
    "load_network": "plusx.training.evaluation",
    "Recipe": "plusx.training.recipe",
    "parse_recipe": "plusx.training.recipe",
    "Stop": "plusx.training.signals",
    "stop_on_signals": "plusx.training.signals",
    **dict.fromkeys(
        ("Started", "Step", "Evaluated", "Skipped", "Checkpointed", "Finished", "Event"), "plusx.training.events"
    ),
}

__all__ = list(LAZY)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'plusx.training' has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LAZY})
