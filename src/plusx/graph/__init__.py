"""The graph of a network, in which every number and every name is decided. Imports the standard library alone."""

from plusx.graph.lower import Network, lower
from plusx.graph.model import Block, GateFields, Graph, Op, Stage, Tensor

__all__ = ["Block", "GateFields", "Graph", "Network", "Op", "Stage", "Tensor", "lower"]
