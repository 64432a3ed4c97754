"""Predicting and embedding without torch: numpy and one engine. Importing this room loads no engine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plusx.runtime.engines import EngineOptions
    from plusx.runtime.inputs import Item, find_images
    from plusx.runtime.predicting import Prediction, Predictor, open_predictor

__all__ = ["EngineOptions", "Item", "Prediction", "Predictor", "find_images", "open_predictor"]

_MODULES = {"EngineOptions": "engines", "Item": "inputs", "find_images": "inputs"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'plusx.runtime' has no attribute {name!r}")
    return getattr(import_module("plusx.runtime." + _MODULES.get(name, "predicting")), name)
