"""Tensors of ONNX files: every data type, inside the file or in another file of the same folder, read when asked for.

Field numbers and the packing of each type: onnx/onnx.proto3, message TensorProto.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.files import open_regular
from plusx.i18n import _
from plusx.weights.containers.protobuf_wire import Budget, WireMessage
from plusx.weights.stored import StoredTensor

MOST_DIMS = 16
_EXTERNAL = 1

PLAIN = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
}  # fmt: skip
BFLOAT16, TEXT = 16, 8
FLOAT8 = {17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 24: "float8_e8m0fnu"}
SMALL = {21: ("uint4", 4), 22: ("int4", 4), 23: ("float4_e2m1fn", 4), 25: ("uint2", 2), 26: ("int2", 2)}
FLOAT4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
# which field holds the values where raw_data does not: number, how it is packed
_FIELD = {
    1: (4, "<f4"), 14: (4, "<f4"), 11: (10, "<f8"), 15: (10, "<f8"), 7: (7, "ints"), 12: (11, "ints"), 13: (11, "ints"),
}  # fmt: skip


@dataclass
class Source:
    """The file that tensors come from, and what its external files have given so far."""

    path: Path
    budget: Budget
    taken: dict[Path, list[tuple[int, int]]] = field(default_factory=dict)


def read_tensor(message: WireMessage, source: Source) -> tuple[str, StoredTensor]:
    """The name of a TensorProto and the tensor, its shape checked against the bytes that are there. Raises WeightsError."""
    name, kind = message.text(8), message.int(2)
    shape = _shape(message, source, name)
    if message.has(3):
        raise WeightsError(
            _(
                "{file}: tensor {name!r} is cut into segments, which no exporter writes.",
                file=source.path.name,
                name=name,
            )
        )
    if kind == TEXT:
        return name, _text_tensor(message, source, name, shape)
    dtype, bits = _dtype(kind, source, name)
    size = (math.prod(shape) * bits + 7) // 8
    if message.int(14) == _EXTERNAL:
        file, offset = _external(message, source, name, size)
        return name, StoredTensor(shape, dtype, lambda: _decode(_bytes(file, offset, size, name), kind, shape))
    if message.has(9):
        raw = message.blocks(9)[-1]
        if len(raw) != size:
            raise _wrong_size(source, name, shape, dtype, len(raw), size)
        return name, StoredTensor(shape, dtype, lambda: _decode(raw, kind, shape))
    values = _typed(message, kind)
    if values.nbytes != size:
        raise _wrong_size(source, name, shape, dtype, values.nbytes, size)
    return name, StoredTensor(shape, dtype, lambda: _decode(values.tobytes(), kind, shape))


def _shape(message: WireMessage, source: Source, name: str) -> tuple[int, ...]:
    shape = tuple(int(n) for n in message.ints(1))
    if len(shape) > MOST_DIMS or any(n < 0 for n in shape):
        raise WeightsError(
            _(
                "{file}: tensor {name!r} has the shape {value}, which is impossible. The file is damaged.",
                file=source.path.name,
                name=name,
                value=list(shape)[:20],
            )
        )
    return shape


def _dtype(kind: int, source: Source, name: str) -> tuple[str, int]:
    if kind in PLAIN:
        return PLAIN[kind], np.dtype(PLAIN[kind]).itemsize * 8
    if kind == BFLOAT16:
        return "bfloat16", 16
    if kind in FLOAT8:
        return FLOAT8[kind], 8
    if kind in SMALL:
        return SMALL[kind]
    raise WeightsError(
        _(
            "{file}: tensor {name!r} has data type {kind}, which ONNX does not define.",
            file=source.path.name,
            name=name,
            kind=kind,
        )
    )


def _wrong_size(source: Source, name: str, shape: tuple[int, ...], dtype: str, there: int, needed: int) -> WeightsError:
    return WeightsError(
        _(
            "{file}: tensor {name!r} of shape {shape} and type {dtype} needs {needed} bytes and has {there}. The file is damaged. Export it again.",
            file=source.path.name,
            name=name,
            shape=list(shape),
            dtype=dtype,
            needed=needed,
            there=there,
        )
    )


def _text_tensor(message: WireMessage, source: Source, name: str, shape: tuple[int, ...]) -> StoredTensor:
    values = [bytes(block).decode("utf-8", "replace") for block in message.blocks(6)]
    if len(values) != math.prod(shape):
        raise _wrong_size(source, name, shape, "string", len(values), math.prod(shape))
    return StoredTensor(shape, "str", lambda: np.array(values, dtype=np.str_).reshape(shape))


def _typed(message: WireMessage, kind: int) -> NDArray[Any]:
    """The values of a typed field, as the bytes that raw_data would have."""
    number, packed = _FIELD.get(kind, (5, "ints"))
    if packed != "ints":
        return message.fixed(number, packed)
    values = message.ints(number)
    if kind in PLAIN:
        return values.astype(PLAIN[kind] if kind != 10 else "uint16")  # float16 stands as its bit pattern
    return values.astype("uint16" if kind == BFLOAT16 else "uint8")


def _decode(raw: Any, kind: int, shape: tuple[int, ...]) -> NDArray[Any]:
    if kind in PLAIN:
        return np.frombuffer(raw, np.dtype(PLAIN[kind]).newbyteorder("<")).reshape(shape)
    if kind == BFLOAT16:
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    codes = np.frombuffer(raw, np.uint8)
    if kind in FLOAT8:
        return float8_values(FLOAT8[kind])[codes].reshape(shape)
    name, bits = SMALL[kind]
    parts = np.stack([(codes >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)], axis=-1).reshape(-1)
    parts = parts[: math.prod(shape)].reshape(shape)
    if name.startswith("float"):
        return FLOAT4[parts]
    if name.startswith("uint"):
        return parts
    return np.where(parts >= 1 << (bits - 1), parts.astype(np.int8) - (1 << bits), parts.astype(np.int8)).astype(
        np.int8
    )


def float8_values(name: str) -> NDArray[np.float32]:
    """The value of each of the 256 codes of an 8-bit float type (OCP MX for e4m3fn, e5m2 and e8m0; fnuz: Noune et al. 2022)."""
    codes = np.arange(256)
    if name == "float8_e8m0fnu":
        return np.where(codes == 255, np.nan, np.ldexp(1.0, codes - 127)).astype(np.float32)
    mantissa_bits = 3 if "e4m3" in name else 2
    fnuz = name.endswith("fnuz")
    bias = (7 if mantissa_bits == 3 else 15) + fnuz
    exponent, mantissa = (codes & 0x7F) >> mantissa_bits, codes & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    size = np.where(exponent == 0, np.ldexp(fraction, 1 - bias), np.ldexp(1 + fraction, exponent - bias))
    values = np.where(codes >= 128, -size, size)
    if fnuz:
        values[128] = np.nan
    elif mantissa_bits == 3:
        values[[0x7F, 0xFF]] = np.nan
    else:
        top = exponent == 31
        values[top] = np.where(mantissa[top] == 0, np.where(codes[top] >= 128, -np.inf, np.inf), np.nan)
    return values.astype(np.float32)


def _external(message: WireMessage, source: Source, name: str, size: int) -> tuple[Path, int]:
    """The file and offset of a tensor's bytes; only a plain file in the folder of the model is ever opened."""
    entries = {entry.text(1): entry.text(2) for entry in message.messages(13)}
    file = inside(source.path, entries.get("location", ""), name)
    numbers = [entries.get("offset", "0"), entries.get("length", str(size))]
    if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
        raise WeightsError(
            _(
                "{file}: tensor {name!r} has the offset and length {numbers} in {data_file}, which are no numbers.",
                file=source.path.name,
                name=name,
                numbers=numbers,
                data_file=file.name,
            )
        )
    offset, length = (int(number) for number in numbers)
    there = file.stat().st_size
    if length != size or offset + length > there:
        raise WeightsError(
            _(
                "{file}: tensor {name!r} needs {size} bytes and names bytes {offset} to {end} of {data_file}, which has {there}. The two files do not belong together. Fetch both again.",
                file=source.path.name,
                name=name,
                size=size,
                offset=offset,
                end=offset + length,
                data_file=file.name,
                there=there,
            )
        )
    _no_overlap(source, file, (offset, offset + length), name)
    return file, offset


def inside(model: Path, location: str, name: str) -> Path:
    """The external file `location` beside `model`. Raises WeightsError for one outside the folder, a link, or none at all."""
    parts = PurePosixPath(location).parts
    if (
        not parts
        or location.startswith(("/", "\\"))
        or ".." in parts
        or ":" in location
        or "\\" in location
        or "\0" in location
    ):
        raise WeightsError(
            _(
                "{file}: tensor {name!r} names the file {location!r}, but only files beside the model are read. Put it into the same folder and export again.",
                file=model.name,
                name=name,
                location=location,
            )
        )
    file, folder = model.parent.joinpath(*parts), model.parent.resolve()
    try:
        if not file.resolve().is_relative_to(folder) or file.is_symlink():
            raise WeightsError(
                _(
                    "{file}: tensor {name!r} names {location!r}, which is a link and not followed. Put the file itself there.",
                    file=model.name,
                    name=name,
                    location=location,
                )
            )
        found = file.is_file()
    except (OSError, RuntimeError, ValueError):
        found = False
    if not found:
        raise WeightsError(
            _(
                "{file} keeps tensor {name!r} in the file {location!r}, which is not beside it. Fetch that file too.",
                file=model.name,
                name=name,
                location=location,
            )
        )
    return file


def _no_overlap(source: Source, file: Path, span: tuple[int, int], name: str) -> None:
    """Two tensors may share all their bytes (tied weights) but not some of them."""
    from bisect import bisect_left, insort

    spans = source.taken.setdefault(file, [])
    place = bisect_left(spans, span)
    if place < len(spans) and spans[place] == span:
        return
    for other in spans[max(place - 1, 0) : place + 1]:
        if other[0] < span[1] and span[0] < other[1]:
            raise WeightsError(
                _(
                    "{file}: tensor {name!r} overlaps another one in {data_file}. The file is damaged.",
                    file=source.path.name,
                    name=name,
                    data_file=file.name,
                )
            )
    insort(spans, span)


def _bytes(file: Path, offset: int, size: int, name: str) -> bytes:
    try:
        with open_regular(file) as stream:
            stream.seek(offset)
            raw = stream.read(size)
    except OSError:
        raise WeightsError(_("{file} cannot be read. Check the disk and its permissions.", file=file.name)) from None
    if len(raw) != size:
        raise WeightsError(
            _("{file} has become shorter while tensor {name!r} was read. Fetch it again.", file=file.name, name=name)
        )
    return raw
