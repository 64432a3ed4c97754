"""The shipped recipes, one file each. CONTRACT in each says what the recipe gave, on what machine, how often."""

from __future__ import annotations

NAMES: tuple[str, ...] = ("default", "digits")
