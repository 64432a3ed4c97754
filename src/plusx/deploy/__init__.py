"""From a bundle to something to serve: exported, quantised, proven, measured. Needs torch for the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plusx.deploy.exporting import Exported as Exported
    from plusx.deploy.exporting import Order as Order
    from plusx.deploy.exporting import export as export

__all__ = ["Exported", "Order", "export"]


def __getattr__(name: str) -> object:
    """Late, since `plusx bench` measures engines where no torch is."""
    if name not in __all__:
        raise AttributeError(f"module 'plusx.deploy' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("plusx.deploy.exporting"), name)
