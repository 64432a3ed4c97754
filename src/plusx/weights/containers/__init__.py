"""Checkpoint files of every format as they are: `read` chooses the reader by what a file begins with, never by its name."""

from __future__ import annotations

from plusx.weights.containers.formats import read

__all__ = ["read"]
