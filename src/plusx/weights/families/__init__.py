"""Ecosystems: how each names a ResNet's tensors, and what it means by them. One table of names, one of conventions."""

from plusx.weights.families import classic, layered
from plusx.weights.families.family import Family, Seen
from plusx.weights.families.naming import Naming, Rule

NAMINGS: tuple[Naming, ...] = (classic.CLASSIC, classic.SEQUENTIAL, classic.LUA, *layered.NAMINGS)
FAMILIES: tuple[Family, ...] = (*classic.FAMILIES, *layered.FAMILIES)

__all__ = ["FAMILIES", "NAMINGS", "Family", "Naming", "Rule", "Seen"]
