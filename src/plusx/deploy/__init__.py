"""Networks for serving: exported, quantised, proven and measured. The proof needs torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plusx.deploy.config import ExportConfig as ExportConfig
    from plusx.deploy.exporting import ExportResult as ExportResult
    from plusx.deploy.exporting import export as export

__all__ = ["ExportConfig", "ExportResult", "export"]


def __getattr__(name: str) -> object:
    """Imported on first use, since `plusx bench` also runs where torch is not installed."""
    if name not in __all__:
        raise AttributeError(f"module 'plusx.deploy' has no attribute {name!r}")
    return getattr(import_module("plusx.deploy." + ("config" if name == "ExportConfig" else "exporting")), name)
