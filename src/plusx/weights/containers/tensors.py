"""Stored tensors made from bytes in a file: shape, strides and type are checked first, values are read when asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.pickles import PickledArray
from plusx.weights.containers.mapped_file import shown
from plusx.weights.stored import StoredTensor

ITEM_SIZES = {
    "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4, "int32": 4, "uint64": 8, "int64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
}  # fmt: skip
MOST_DIMENSIONS = 32
_SPARE = 1 << 20


@dataclass
class Allowance:
    """How many bytes the tensors of one file may come to: views may repeat a storage, but not without end."""

    file: str
    size: int
    expanded: int = 0
    total: int = 0
    count: int = field(default=0)

    def spend(self, needed: int, stored: int) -> None:
        """Raises WeightsError where tensors ask for much more memory than the file has bytes."""
        self.expanded += max(0, needed - stored)
        self.total += needed
        self.count += 1
        if self.expanded > self.size // 2 + _SPARE or self.total > 8 * self.size + _SPARE or self.count > 1_000_000:
            raise WeightsError(
                _(
                    "{file} has {size} bytes and its tensors ask for more than {total} bytes of memory by repeating stored values. Save it again with contiguous tensors.",
                    file=self.file,
                    size=self.size,
                    total=self.total,
                )
            )


@dataclass
class Storage:
    """The bytes behind tensors: `view` gives them all. `size` is in bytes; `dtype` is None for one that has no type."""

    name: str
    dtype: str | None
    size: int
    view: Callable[[], memoryview]
    big_endian: bool = False


def strided(storage: Storage, dtype: str, offset: Any, shape: Any, strides: Any, allowance: Allowance) -> StoredTensor:
    """A tensor of a storage, as torch saves it; offset and strides count elements. Raises WeightsError."""
    file = allowance.file
    itemsize = ITEM_SIZES[dtype]
    if not (_sizes(shape) and _sizes(strides) and _sizes((offset,)) and len(shape) == len(strides)):
        raise WeightsError(
            _("{file} holds a tensor whose shape, strides or offset are no sizes. Fetch it again.", file=file)
        )
    shape, strides = tuple(shape), tuple(strides)
    count = math.prod(shape)
    extent = 0 if not count else 1 + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
    if (offset + extent) * itemsize > storage.size:
        raise WeightsError(
            _(
                "{file} holds a tensor of shape {shape} that reaches outside its storage {name} of {size} bytes. Fetch it again.",
                file=file,
                shape=tuple_text(shape),
                name=shown(storage.name),
                size=storage.size,
            )
        )
    allowance.spend(count * itemsize, storage.size)

    def load() -> NDArray[Any]:
        stored = _stored_type(dtype, storage.big_endian)
        flat = np.frombuffer(storage.view(), stored, extent, offset * itemsize) if extent else np.empty(0, stored)
        if extent == count and _contiguous(shape, strides):
            values = flat.reshape(shape)
        else:  # inside the storage, as checked above
            steps = [step * itemsize for step in strides]
            values = (
                np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, shape, steps))
                if count
                else flat.reshape(shape)
            )
        return widened(values.reshape(shape), dtype)

    return StoredTensor(shape, dtype, load)


def contiguous(
    view: Callable[[], memoryview], dtype: str, shape: tuple[int, ...], order: str = "<", fortran: bool = False
) -> StoredTensor:
    """A tensor of bytes that are known to be just its own."""

    def load() -> NDArray[Any]:
        stored = _stored_type(dtype, order == ">")
        flat = np.frombuffer(view(), stored) if math.prod(shape) else np.empty(0, stored)
        return widened(np.ascontiguousarray(flat.reshape(shape, order="F" if fortran else "C")).reshape(shape), dtype)

    return StoredTensor(shape, dtype, load)


def from_array(array: PickledArray) -> StoredTensor:
    """A numpy array of a pickle."""
    dtype = np.dtype(array.dtype).name
    return contiguous(lambda: memoryview(array.raw()), dtype, array.shape, array.dtype[0], array.fortran)


def widened(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Values in a type that numpy has, exactly; little-endian."""
    if dtype == "bool":
        return values != 0
    if dtype == "bfloat16":
        return (values.astype("<u4") << 16).view("<f4").reshape(values.shape)
    if dtype.startswith("float8"):
        return _float8(dtype)[values]
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("<"))


def _stored_type(dtype: str, big_endian: bool) -> np.dtype[Any]:
    kind = {"bool": "u1", "bfloat16": "u2"}.get(dtype, "u1" if dtype.startswith("float8") else dtype)
    return np.dtype(kind).newbyteorder(">" if big_endian else "<")


def _float8(dtype: str) -> NDArray[np.float32]:
    """All 256 values. The layouts: Micikevicius et al. 2022 (E4M3, E5M2); the -fnuz forms have one more in the bias."""
    codes = np.arange(256)
    if dtype == "float8_e8m0fnu":
        return np.where(codes == 255, np.nan, 2.0 ** (codes - 127.0)).astype(np.float32)
    mantissa_bits, bias = (3, 7) if "e4m3" in dtype else (2, 15)
    bias += dtype.endswith("uz")
    sign = np.where(codes & 128, -1.0, 1.0)
    exponent, mantissa = (codes & 127) >> mantissa_bits, codes & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    values = sign * np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    if dtype.endswith("uz"):
        values[128] = np.nan
    elif dtype == "float8_e4m3fn":
        values[[127, 255]] = np.nan
    else:  # E5M2 has infinities
        values[exponent == 31] = np.nan
        values[[124, 252]] = np.inf, -np.inf
    return values.astype(np.float32)


def _sizes(values: Any) -> bool:
    return (
        isinstance(values, tuple | list)
        and len(values) <= MOST_DIMENSIONS
        and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
    )


def _contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    wanted = 1
    for side, step in zip(reversed(shape), reversed(strides), strict=True):
        if side != 1 and step != wanted:
            return False
        wanted *= side
    return True


def tuple_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "()"
