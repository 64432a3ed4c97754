"""Prediction without torch: numpy and one engine, OpenVINO or ONNX Runtime. Importing this room loads neither."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plusx.runtime.inputs import Item, find
    from plusx.runtime.predicting import Prediction, Predictor, predictor

__all__ = ["Item", "Prediction", "Predictor", "find", "predictor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'plusx.runtime' has no attribute {name!r}")
    return getattr(import_module("plusx.runtime." + ("inputs" if name in ("Item", "find") else "predicting")), name)
