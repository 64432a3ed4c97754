"""Checkpoints of every ecosystem: read without executing anything, identified, translated to plusx's names, proven."""
