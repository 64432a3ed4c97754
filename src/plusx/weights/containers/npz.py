"""numpy's archives (.npz) and single arrays (.npy): numbers only, objects are refused.

Format: numpy.lib.format, "Format Version 1.0" to 3.0. The header is a Python literal; it is matched as text and not evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.weights.containers.mapped_file import shown
from plusx.weights.containers.tensors import ITEM_SIZES, MOST_DIMENSIONS, Allowance, contiguous
from plusx.weights.containers.zips import Zip
from plusx.weights.stored import StoredFile, StoredTensor

NPY_MAGIC = b"\x93NUMPY"
_DESCR, _ORDER, _SHAPE = (
    re.compile(rb"'descr':\s*'([<>|=]?)([biufc])(\d{1,2})'"),
    re.compile(rb"'fortran_order':\s*(True|False)"),
    re.compile(rb"'shape':\s*\(([\d,\s]*)\)"),
)
_MOST_HEADER = 10_000
_NAMES = {
    "b1": "bool", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
    "u8": "uint64", "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128",
}  # fmt: skip


def array_of(view: Callable[[], memoryview], size: int, what: str, allowance: Allowance) -> StoredTensor:
    """The array of a .npy file whose bytes `view` gives. Raises WeightsError."""
    raw = view()
    head = bytes(raw[:12])
    if head[:6] != NPY_MAGIC or len(head) < 12 or head[6] not in (1, 2, 3):
        raise WeightsError(_("{what} is no numpy array. Fetch it again.", what=what))
    begin = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:begin], "little")
    text = bytes(raw[begin : begin + min(length, _MOST_HEADER)])
    kind, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if kind is None and b"'descr'" in text:
        raise WeightsError(
            _("{what} holds Python objects or records, which are not read. Save plain numbers.", what=what)
        )
    if kind is None or order is None or shape is None or length > _MOST_HEADER:
        raise WeightsError(_("{what} has a damaged header. Fetch it again.", what=what))
    dtype = _NAMES.get((kind[2] + kind[3]).decode())
    sides = tuple(int(side[:18]) for side in shape[1].replace(b",", b" ").split())
    if dtype is None or len(sides) > MOST_DIMENSIONS or math.prod(sides) * ITEM_SIZES[dtype] != size - begin - length:
        raise WeightsError(_("{what} does not hold the numbers that its header announces. Fetch it again.", what=what))
    allowance.spend(size - begin - length, size)
    return contiguous(lambda: view()[begin + length :], dtype, sides, kind[1].decode() or "<", order[1] == b"True")


def read_npz(path: Path, archive: Zip) -> StoredFile:
    """An archive of arrays, by their names. Raises WeightsError."""
    allowance = Allowance(str(path), len(archive.raw))
    tree = {
        name.removesuffix(".npy"): array_of(_viewer(archive, name), entry.size, f"{path} ({shown(name)})", allowance)
        for name, entry in archive.entries.items()
    }
    return StoredFile(path, "npz", tree)


def _viewer(archive: Zip, name: str) -> Callable[[], memoryview]:
    return lambda: archive.view(name)


def read_npy(path: Path, raw: memoryview) -> StoredFile:
    """A single array, named as the file."""
    tensor = array_of(lambda: raw, len(raw), str(path), Allowance(str(path), len(raw)))
    return StoredFile(path, "npz", {path.stem: tensor})
