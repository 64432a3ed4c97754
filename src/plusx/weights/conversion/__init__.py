"""A checkpoint's tensors under plusx's names, and plusx's tensors for other systems, by exact arithmetic."""
