"""What a network is: the one room that decides numbers and names. Standard library alone."""

from plusx.graph.lower import Network, lower
from plusx.graph.model import Block, GateFields, Graph, Op, Stage, Tensor

__all__ = ["Block", "GateFields", "Graph", "Network", "Op", "Stage", "Tensor", "lower"]
