"""The shipped recipes, one file each. A file's head says what the recipe gave, on what machine, how often."""

from __future__ import annotations

from plusx.training.recipe_keys import NAMES

__all__ = ["NAMES"]
