"""The version of plusx, which files that it writes name."""

__version__ = "0.1.0"
