"""Named arrays to and from safetensors bytes, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from plusx.errors import BundleError
from plusx.i18n import _

Tensors = dict[str, NDArray[np.generic]]


def tensors_to_bytes(tensors: Mapping[str, NDArray[np.generic]]) -> bytes:
    """safetensors bytes; shapes kept as they are, 0-d too. Raises BundleError for a type the format lacks."""
    from safetensors import SafetensorError
    from safetensors.numpy import save

    # order="C" and not ascontiguousarray, which would turn 0-d counters into 1-d ones
    rows = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    try:
        return save(rows)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        kinds = ", ".join(sorted({str(t.dtype) for t in rows.values()}))
        raise BundleError(
            _("Tensors of types {kinds} cannot be stored. Convert them to float32.", kinds=kinds)
        ) from error


def bytes_to_tensors(raw: bytes, name: str) -> Tensors:
    """The arrays in safetensors bytes. Raises BundleError, naming `name`, for damage."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(raw)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            _("{name} is not a complete safetensors file ({n:,} bytes). Use another copy.", name=name, n=len(raw))
        ) from error
