"""The names of ops and tensors in other ecosystems. Imports the standard library alone."""

from plusx.names.maps import ECOSYSTEMS, inverse, key_names, names_of, op_names

__all__ = ["ECOSYSTEMS", "inverse", "key_names", "names_of", "op_names"]
