"""safetensors files: a JSON header that says where each tensor lies, then the bytes; all of it checked before any is used.

Format: github.com/huggingface/safetensors, README, "Format": 8 bytes header length, header, then tensors without gaps.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeGuard

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.weights.containers.mapped_file import shown
from plusx.weights.containers.tensors import ITEM_SIZES, MOST_DIMENSIONS, contiguous
from plusx.weights.stored import StoredFile, StoredTensor

_TYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32", "U64": "uint64",
    "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
_MOST_HEADER = 8 << 20
"""A ResNet-152's is 90 kB. JSON takes up to fifty times its length in memory."""


def is_safetensors(raw: memoryview) -> bool:
    """Whether bytes begin with a plausible header length and a JSON object."""
    return len(raw) > 8 and raw[8] == 0x7B and int.from_bytes(raw[:8], "little") < 1 << 48


def read_safetensors(path: Path, raw: memoryview) -> StoredFile:
    """The tensors, flat, and `__metadata__`. Raises WeightsError."""
    size = int.from_bytes(raw[:8], "little")
    if size > len(raw) - 8:
        raise _damaged(path, _("its header has {size} bytes and the file {count}", size=size, count=len(raw)))
    if size > _MOST_HEADER:
        raise WeightsError(
            _(
                "{path} has a header of {size} bytes, more than {most_header}. It is no checkpoint of a ResNet.",
                path=path,
                size=size,
                most_header=_MOST_HEADER,
            )
        )
    header = _header(path, bytes(raw[8 : 8 + size]))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _damaged(path, _("its __metadata__ is not text"))
    data = raw[8 + size :]
    places: list[tuple[int, int, str]] = []
    tree: dict[str, StoredTensor] = {}
    for name, facts in header.items():
        dtype, shape, begin, end = _facts(path, name, facts)
        if end > len(data):
            raise _damaged(path, _("{name} reaches outside the file", name=shown(name)))
        places.append((begin, end, name))
        tree[name] = contiguous(_slice(data, begin, end), dtype, shape)
    at = 0
    for begin, end, name in sorted(places):
        if begin != at:
            raise _damaged(path, _("{name} overlaps another tensor or leaves a gap", name=shown(name)))
        at = end
    if at != len(data):
        raise _damaged(path, _("{count} bytes belong to no tensor", count=len(data) - at))
    return StoredFile(path, "safetensors", tree, metadata=metadata)


def _slice(data: memoryview, begin: int, end: int) -> Any:
    return lambda: data[begin:end]


def _damaged(path: Path, why: Message) -> WeightsError:
    return WeightsError(_("{path} is a damaged safetensors file: {why}. Fetch it again.", path=path, why=why))


def _header(path: Path, text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            raise _damaged(path, _("its header names a tensor twice"))
        return out

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, _("its header is no JSON")) from error
    if not isinstance(header, dict):
        raise _damaged(path, _("its header is no JSON object"))
    return header


def _facts(path: Path, name: str, facts: Any) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(facts, dict) or not isinstance(facts.get("dtype"), str):
        raise _damaged(path, _("{name} is not described", name=shown(name)))
    dtype = _TYPES.get(facts["dtype"])
    if dtype is None:
        raise WeightsError(
            _(
                "{path} holds {name} as {kind}, which is not read. Save it as F32, F16 or BF16.",
                path=path,
                name=shown(name),
                kind=shown(facts["dtype"], 20),
            )
        )
    shape, places = facts.get("shape"), facts.get("data_offsets")
    if not _numbers(shape) or len(shape) > MOST_DIMENSIONS or not _numbers(places) or len(places) != 2:
        raise _damaged(path, _("{name} has a shape or place that is none", name=shown(name)))
    begin, end = places
    if math.prod(shape) * ITEM_SIZES[dtype] != end - begin:
        raise _damaged(path, _("{name} has {count} bytes, not those of its shape", name=shown(name), count=end - begin))
    return dtype, tuple(shape), begin, end


def _numbers(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
