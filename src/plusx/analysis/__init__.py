"""What a network costs and sees, exactly and without torch. Standard library alone."""

from plusx.analysis.analyse import Analysis, Row, StageRow, Totals, analyse
from plusx.analysis.depth import Depth, depth
from plusx.analysis.geometry import Geometry

__all__ = ["Analysis", "Depth", "Geometry", "Row", "StageRow", "Totals", "analyse", "depth"]
