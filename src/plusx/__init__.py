"""plusx: every ResNet from one line of text. See it, build it, load any weights into it, cut it, train it, ship it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from plusx.errors import PlusxError
from plusx.graph import Graph, lower
from plusx.specs import PRESETS as presets
from plusx.specs import ResNetSpec
from plusx.specs import parse as spec

__version__ = "0.1.0"

LAZY = {
    "analyse": "plusx.analysis",
    "build": "plusx.nn",
    "ResNet": "plusx.nn",
    **{f"resnet{depth}": "plusx.nn.shorthands" for depth in (18, 34, 50, 101, 152)},
}
"""Names that load their room on first use: the core stays quick, and torch-free."""

__all__ = ["Graph", "PlusxError", "ResNetSpec", "lower", "presets", "spec", *LAZY]


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'plusx' has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
