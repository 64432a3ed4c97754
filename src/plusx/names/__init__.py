"""What the same op, or the same tensor, is called elsewhere. Standard library alone."""

from plusx.names.maps import ECOSYSTEMS, inverse, key_names, names_of, op_names

__all__ = ["ECOSYSTEMS", "inverse", "key_names", "names_of", "op_names"]
