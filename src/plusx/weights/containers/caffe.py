"""Trained networks of Caffe (`.caffemodel`), old and new layer lists, read by the wire reader; Caffe is not needed.

Blobs are named by layer and number, `conv1[0]`. Field numbers: caffe/src/caffe/proto/caffe.proto, messages NetParameter,
LayerParameter (field `layer`), V1LayerParameter (field `layers`), BlobProto and the layers' own parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.weights.containers.mapped_file import map_file
from plusx.weights.containers.protobuf_wire import Budget, WireMessage
from plusx.weights.stored import LayerFacts, StoredFile, StoredTensor


class Fields(NamedTuple):
    """Field numbers of one version of a layer."""

    name: int
    kind: int
    bottom: int
    top: int
    blobs: int
    convolution: int
    pooling: int
    norm: int
    inner: int
    relu: int
    eltwise: int


NEW = Fields(1, 2, 3, 4, 7, 106, 121, 139, 117, 123, 110)
OLD = Fields(4, 5, 2, 3, 6, 10, 19, 0, 17, 30, 24)
OLD_KINDS = {
    4: "Convolution",
    14: "InnerProduct",
    17: "Pooling",
    18: "ReLU",
    20: "Softmax",
    25: "Eltwise",
    22: "Split",
    6: "Dropout",
}
KINDS = {"Convolution": "Conv2d", "BatchNorm": "BatchNorm2d", "InnerProduct": "Linear", "ReLU": "ReLU"}
_LAYERS_NEW, _LAYERS_OLD = 100, 2


def matches(head: bytes) -> bool:
    """Whether a file may be a caffemodel: it begins with the network's name, followed by a layer or an input."""
    if len(head) < 4 or head[0] != 0x0A or head[1] >= 0x80:
        return False
    name, after = head[2 : 2 + head[1]], head[2 + head[1] : 4 + head[1]]
    plain = all(0x20 <= byte < 0x7F for byte in name)
    return plain and (not after or after[:1] in (b"\x12", b"\x1a", b"\x20", b"\x22", b"\x28") or after == b"\xa2\x06")


def read(path: Path) -> StoredFile:
    """Blobs by layer and number, and what each layer's parameters say. Raises WeightsError."""
    path = Path(path)
    budget = Budget(path.name)
    net = WireMessage(map_file(path), budget)
    fields = NEW if net.has(_LAYERS_NEW) else OLD
    tree: dict[str, StoredTensor] = {}
    facts: dict[str, LayerFacts] = {}
    for layer in net.messages(_LAYERS_NEW if fields is NEW else _LAYERS_OLD):
        name = layer.text(fields.name)
        kind = (
            layer.text(fields.kind)
            if fields is NEW
            else OLD_KINDS.get(layer.int(fields.kind), str(layer.int(fields.kind)))
        )
        blobs = [_blob(blob, f"{name}[{number}]", path) for number, blob in enumerate(layer.messages(fields.blobs))]
        for number, blob in enumerate(blobs):
            if f"{name}[{number}]" in tree:
                raise WeightsError(
                    _(
                        "{file} has two layers named {name!r} with weights. plusx cannot tell them apart.",
                        file=path.name,
                        name=name,
                    )
                )
            tree[f"{name}[{number}]"] = blob
        facts[name] = _facts(layer, kind, fields, blobs)
    if not tree:
        raise WeightsError(
            _(
                "{file} holds no layer with weights. Give the .caffemodel, not the description of the network.",
                file=path.name,
            )
        )
    return StoredFile(path, "caffe", tree, facts, {"name": net.text(1)})


def _blob(message: WireMessage, name: str, path: Path) -> StoredTensor:
    """A blob's tensor; the shape of old files is num, channels, height, width, ones and all."""
    if message.has(7):
        shape = tuple(int(n) for n in message.message(7).ints(1))
    else:
        shape = tuple(message.int(number) for number in (1, 2, 3, 4))
    dtype = "float64" if message.has(8) else "float32"
    values = message.fixed(8, "<f8") if message.has(8) else message.floats(5)
    if len(shape) > 32 or any(n < 0 for n in shape) or math.prod(shape) != len(values):
        raise WeightsError(
            _(
                "{file}: blob {name} has the shape {value} and {count} values, which do not agree. Fetch it again.",
                file=path.name,
                name=name,
                value=list(shape)[:8],
                count=len(values),
            )
        )
    load: Callable[[], Any] = lambda: values.reshape(shape)  # noqa: E731
    return StoredTensor(shape, dtype, load)


def _facts(layer: WireMessage, kind: str, fields: Fields, blobs: list[StoredTensor]) -> LayerFacts:
    attributes: dict[str, Any] = {
        "inputs": tuple(layer.texts(fields.bottom)),
        "outputs": tuple(layer.texts(fields.top)),
    }
    if kind == "Convolution":
        attributes |= _convolution(layer.message(fields.convolution))
    elif kind == "Pooling":
        return _pooling(layer.message(fields.pooling), attributes)
    elif kind == "BatchNorm":
        attributes["eps"] = layer.message(fields.norm).float(3, 1e-5)
        if len(blobs) > 2 and blobs[2].shape and math.prod(blobs[2].shape) == 1:
            attributes["factor"] = float(np.asarray(blobs[2].array()).reshape(-1)[0])
    elif kind == "InnerProduct":
        attributes["bias"] = bool(layer.message(fields.inner).int(2, 1))
    elif kind == "ReLU" and (slope := layer.message(fields.relu).float(1)):
        return LayerFacts("LeakyReLU", {**attributes, "negative_slope": slope})
    elif kind == "Eltwise":
        attributes["operation"] = {0: "mul", 1: "add", 2: "max"}.get(layer.message(fields.eltwise).int(1, 1), "?")
    return LayerFacts(KINDS.get(kind, kind), attributes)


def _pair(message: WireMessage, both: int, height: int, width: int, default: int) -> tuple[int, int]:
    """A size written once for both axes, once an axis, or as _h and _w."""
    if message.has(height) or message.has(width):
        return message.int(height, default), message.int(width, default)
    values = [int(n) for n in message.ints(both)]
    return (values[0], values[-1]) if values else (default, default)


def _convolution(message: WireMessage) -> dict[str, Any]:
    return {
        "kernel_size": _pair(message, 4, 11, 12, 1), "stride": _pair(message, 6, 13, 14, 1),
        "padding": _pair(message, 3, 9, 10, 0), "dilation": _pair(message, 18, 0, 0, 1), "groups": message.int(5, 1),
        "bias": bool(message.int(2, 1)), "out_channels": message.int(1),
    }  # fmt: skip


def _pooling(message: WireMessage, attributes: dict[str, Any]) -> LayerFacts:
    average = message.int(1) == 1
    if message.int(12):
        return LayerFacts("AdaptiveAvgPool2d" if average else "AdaptiveMaxPool2d", {**attributes, "output_size": 1})
    return LayerFacts("AvgPool2d" if average else "MaxPool2d", {
        **attributes, "kernel_size": _pair(message, 2, 5, 6, 1), "stride": _pair(message, 3, 7, 8, 1),
        "padding": _pair(message, 4, 9, 10, 0), "ceil_mode": message.int(13) == 0,
    })  # fmt: skip
