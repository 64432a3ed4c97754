"""The exact costs and receptive fields of a network, without torch. Imports the standard library only."""

from plusx.analysis.analyse import Analysis, OpRow, StageRow, Totals, analyse
from plusx.analysis.depth import Depth, depth
from plusx.analysis.geometry import Geometry

__all__ = ["Analysis", "Depth", "Geometry", "OpRow", "StageRow", "Totals", "analyse", "depth"]
