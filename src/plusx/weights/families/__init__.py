"""Ecosystems: how each names a ResNet's tensors, and what it means by them. One table of names, one of conventions."""

from plusx.weights.families import other_systems, torchvision_like
from plusx.weights.families.family import Family, Seen
from plusx.weights.families.naming import Naming, Rule

NAMINGS: tuple[Naming, ...] = (*torchvision_like.NAMINGS, *other_systems.NAMINGS)
FAMILIES: tuple[Family, ...] = (*torchvision_like.FAMILIES, *other_systems.FAMILIES)

__all__ = ["FAMILIES", "NAMINGS", "Family", "Naming", "Rule", "Seen"]
