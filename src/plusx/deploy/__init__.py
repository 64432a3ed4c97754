"""From a bundle to something to serve: exported, quantised, proven, measured. Needs torch for the proof."""

from plusx.deploy.export import Exported, Order, export

__all__ = ["Exported", "Order", "export"]
