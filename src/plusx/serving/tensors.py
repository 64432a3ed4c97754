"""Tensors of the Open Inference Protocol (KServe's predict protocol, version 2) as images, and results as tensors.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, with Triton's extensions
binary_tensor_data and classification (triton-inference-server/server: docs/protocol).
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.i18n import _
from plusx.images import Preprocessing
from plusx.images.magic import HEAD_BYTES, format_of
from plusx.serving.refusals import Refusal

DATATYPES: dict[str, type[np.generic] | None] = {"UINT8": np.uint8, "FP32": np.float32, "BYTES": None}
"""What an input may hold: images as the network takes them, normalised images, and files of images."""
TOLERANCE = 0.02
"""By how much a normalised value may miss one of the 256 levels, in levels: float32 misses by less than 1e-4."""
MOST_IMAGES = 1 << 16


def element_count(shape: Sequence[int]) -> int:
    """The number of elements of a tensor. Raises Refusal for a shape that is none."""
    if not shape or len(shape) > 8 or not all(type(n) is int and 0 <= n < 1 << 31 for n in shape):
        raise Refusal(400, _("The shape {shape} is not a list of whole numbers from 0.", shape=str(shape)[:80]))
    return math.prod(shape)


def files_from_binary(data: bytes, count: int) -> list[bytes]:
    """The images of a BYTES tensor: each has its length before it, 4 bytes, little-endian.

    A single image may come without a length, as OpenVINO Model Server takes it. Raises Refusal.
    """
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(data) and len(found) < count:
        (size,) = struct.unpack_from("<I", data, at)
        if at + 4 + size > len(data):
            break
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if at == len(data) and len(found) == count:
        return found
    if count == 1 and format_of(data[:HEAD_BYTES]) is not None:
        return [data]
    raise Refusal(
        400,
        _("{size} bytes are not {count} images, each behind its length in 4 bytes (little-endian).",
          size=len(data), count=count)
    )  # fmt: skip


def files_from_json(data: Any, count: int) -> list[bytes]:
    """The images of a BYTES tensor in JSON: base64 texts. Raises Refusal."""
    texts = _flat(data)
    if len(texts) != count or not all(isinstance(text, str) for text in texts):
        raise Refusal(
            400, _("The data of a BYTES tensor of {count} images is a list of as many base64 texts.", count=count)
        )
    return [from_base64(text) for text in texts]


def from_base64(text: str) -> bytes:
    """Raises Refusal."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(
            400,
            _("{text!r} is not base64. JSON holds images as base64; send them as binary data instead.", text=text[:24]),
        ) from error


def array_from(data: Any, datatype: str, shape: Sequence[int]) -> NDArray[np.generic]:
    """A UINT8 or FP32 tensor from binary data or from the lists of JSON. Raises Refusal."""
    kind = DATATYPES[datatype]
    assert kind is not None
    count = element_count(shape)
    if isinstance(data, bytes):
        if len(data) != count * np.dtype(kind).itemsize:
            raise Refusal(
                400,
                _("A {datatype} tensor of shape {shape} has {wanted} bytes, not {found}.",
                  datatype=datatype, shape=list(shape), wanted=count * np.dtype(kind).itemsize, found=len(data))
            )  # fmt: skip
        return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(shape)
    values = _flat(data)
    if len(values) != count:
        raise Refusal(
            400,
            _(
                "A tensor of shape {shape} has {wanted} values, not {found}.",
                shape=list(shape),
                wanted=count,
                found=len(values),
            ),
        )
    if not all(type(value) in (int, float) for value in values):
        raise Refusal(400, _("The data of a {datatype} tensor holds something other than numbers.", datatype=datatype))
    if datatype == "UINT8" and not all(type(value) is int and 0 <= value <= 255 for value in values):
        raise Refusal(400, _("The data of a UINT8 tensor holds values other than the whole numbers 0 to 255."))
    try:
        return np.array(values, kind).reshape(shape)
    except OverflowError as error:
        raise Refusal(
            400, _("The data of a {datatype} tensor holds something other than numbers.", datatype=datatype)
        ) from error


def _flat(data: Any) -> list[Any]:
    """The values of nested lists in row-major order, which the protocol allows beside flat ones."""
    if not isinstance(data, list):
        raise Refusal(400, _("The data of a tensor is a list."))
    while any(isinstance(item, list) for item in data):
        if not all(isinstance(item, list) for item in data):
            raise Refusal(400, _("The data of a tensor mixes lists and values."))
        data = [value for item in data for value in item]
    return data


def levels_of(values: NDArray[np.float32], pre: Preprocessing) -> NDArray[np.uint8]:
    """uint8 (n, h, w, c) of float32 (n, c, h, w) that was made from it by (x · scale - mean) / std.

    A value between two levels is refused, because the network would see another image than was sent. Raises Refusal.
    """
    mean, std = (np.array(each, np.float64)[:, None, None] for each in (pre.mean, pre.std))
    exact = (values.astype(np.float64) * std + mean) / pre.scale
    if not np.isfinite(exact).all():
        raise Refusal(400, _("The FP32 tensor holds values that are not finite."))
    near = np.rint(exact)
    off = np.abs(exact - near)
    if off.size and (off.max() > TOLERANCE or near.min() < 0 or near.max() > 255):
        raise Refusal(
            400,
            _("The FP32 tensor is not an image of 8 bits after (x * {scale:.6g} - {mean}) / {std}. Send UINT8 (n, h, w, c), or the image files as BYTES.",
              scale=pre.scale, mean=list(pre.mean), std=list(pre.std))
        )  # fmt: skip
    return np.ascontiguousarray(near.astype(np.uint8).transpose(0, 2, 3, 1))


def bytes_tensor(texts: Sequence[str]) -> bytes:
    """A BYTES tensor: each text behind its length, 4 bytes, little-endian."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return b"".join(struct.pack("<I", len(raw)) + raw for raw in encoded)


def classification(values: NDArray[np.floating[Any]], classes: Sequence[str], k: int) -> list[str]:
    """`value:index:label` of the k largest of each row, as Triton's classification extension writes it."""
    order = np.argsort(-values, axis=-1, kind="stable")[:, :k]
    return [f"{row[i]:f}:{i}:{classes[i]}" for row, best in zip(values, order, strict=True) for i in best]
