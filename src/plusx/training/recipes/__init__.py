"""The shipped recipes, one file each. A file's head says what the recipe gave, on what machine, how often."""

from __future__ import annotations

NAMES: tuple[str, ...] = ("default", "digits")
