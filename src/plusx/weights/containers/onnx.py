"""ONNX files as they are: tensors and graph, read by a small wire reader; the onnx package is not needed.

Field numbers: onnx/onnx.proto3, messages ModelProto, GraphProto, NodeProto, AttributeProto and ValueInfoProto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.weights.containers.mapped_file import map_file
from plusx.weights.containers.onnx_tensors import Source, read_tensor
from plusx.weights.containers.protobuf_wire import Budget, WireMessage
from plusx.weights.stored import LayerFacts, StoredFile, StoredTensor


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One node; attributes as Python values, tensors as StoredTensor, sub-graphs by their number of nodes alone."""

    kind: str
    """The operator, with its domain in front where it is not ONNX's own."""
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnnxValue:
    """An input or output of the graph; a size is None where the file leaves it open."""

    name: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """The nodes in the order in which they are computed, and where data comes in and goes out."""

    nodes: tuple[OnnxNode, ...]
    inputs: tuple[OnnxValue, ...]
    """Without those that are initializers."""
    outputs: tuple[OnnxValue, ...]
    opset: int


@dataclass(frozen=True, slots=True)
class SubGraph:
    """The body of an If, Loop or Scan: counted, not read."""

    nodes: int


def matches(head: bytes) -> bool:
    """Whether a file may be ONNX: it starts with its IR version, then a field of text or a message."""
    return (
        len(head) > 2 and head[0] == 0x08 and 1 <= head[1] <= 0x20 and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x3A, 0x42)
    )


def read(path: Path) -> StoredFile:
    """Tensors by name under `tensors` and the graph under `graph`. Raises WeightsError."""
    path = Path(path)
    budget = Budget(path.name)
    model = WireMessage(map_file(path), budget)
    graph = model.message(7)
    if not graph.has(1) and not graph.has(5):
        raise WeightsError(_("{file} holds no ONNX graph. Export the model again.", file=path.name))
    source = Source(path, budget)
    tensors = dict(read_tensor(each, source) for each in graph.messages(5))
    if graph.has(15):
        raise WeightsError(
            _("{file} holds sparse initializers, which plusx does not read. Export dense ones.", file=path.name)
        )
    nodes = tuple(_node(each, source) for each in graph.messages(1))
    inputs = tuple(value for value in map(_value, graph.messages(11)) if value.name not in tensors)
    outputs = tuple(_value(each) for each in graph.messages(12))
    opset = max((each.int(2) for each in model.messages(8) if each.text(1) in ("", "ai.onnx")), default=1)
    metadata = {"producer_name": model.text(2), "producer_version": model.text(3), "opset": str(opset)}
    metadata |= {each.text(1): each.text(2) for each in model.messages(14)}
    tree = {"tensors": tensors, "graph": OnnxGraph(nodes, inputs, outputs, opset)}
    return StoredFile(path, "onnx", tree, _facts(nodes, tensors), metadata)


def _node(message: WireMessage, source: Source) -> OnnxNode:
    domain, kind = message.text(7), message.text(4)
    if domain not in ("", "ai.onnx"):
        kind = f"{domain}.{kind}"
    attributes = dict(_attribute(each, source) for each in message.messages(5))
    return OnnxNode(kind, message.text(3), tuple(message.texts(1)), tuple(message.texts(2)), attributes)


# AttributeProto.type: the field of each, and how it is read
_FLOAT, _INT, _TEXT, _TENSOR, _GRAPH, _FLOATS, _INTS, _TEXTS = 1, 2, 3, 4, 5, 6, 7, 8


def _attribute(message: WireMessage, source: Source) -> tuple[str, Any]:
    name, kind = message.text(1), message.int(20)
    if kind == 0:  # files before IR version 2 leave the type out
        fields = {2: _FLOAT, 3: _INT, 4: _TEXT, 5: _TENSOR, 6: _GRAPH, 7: _FLOATS, 8: _INTS, 9: _TEXTS}
        kind = next((fields[number] for number in fields if message.has(number)), _INTS)
    value: Any = None
    if kind == _FLOAT:
        value = message.float(2)
    elif kind == _INT:
        value = message.int(3)
    elif kind == _TEXT:
        value = _loose(message.blocks(4))
    elif kind == _TENSOR:
        value = read_tensor(message.message(5), source)[1]
    elif kind == _GRAPH:
        value = SubGraph(len(message.message(6).blocks(1)))
    elif kind == _FLOATS:
        value = tuple(float(number) for number in message.floats(7))
    elif kind == _INTS:
        value = tuple(int(number) for number in message.ints(8))
    elif kind == _TEXTS:
        value = tuple(_loose([block]) for block in message.blocks(9))
    return name, value


def _loose(blocks: list[memoryview]) -> str:
    return bytes(blocks[-1]).decode("utf-8", "replace") if blocks else ""


def _value(message: WireMessage) -> OnnxValue:
    tensor = message.message(2).message(1)
    if not tensor.has(2):
        return OnnxValue(message.text(1), None)
    sizes = [each.int(1) if each.has(1) else None for each in tensor.message(2).messages(1)]
    return OnnxValue(message.text(1), tuple(size if size is not None and size > 0 else None for size in sizes))


def _facts(nodes: tuple[OnnxNode, ...], tensors: Mapping[str, StoredTensor]) -> dict[str, LayerFacts]:
    """What nodes say of the layers whose tensors bear torch's names (`layer1.0.conv1.weight`)."""
    found: dict[str, LayerFacts] = {}
    for node in nodes:
        if len(node.inputs) < 2 or node.inputs[1] not in tensors or not node.inputs[1].endswith(".weight"):
            continue
        path, said = node.inputs[1].removesuffix(".weight"), node.attributes
        if node.kind == "Conv":
            pads = said.get("pads", (0, 0, 0, 0))
            padding = tuple(pads[:2]) if pads[:2] == pads[2:] else tuple(pads)
            found[path] = LayerFacts("Conv2d", {
                "stride": said.get("strides", (1, 1)), "padding": padding, "dilation": said.get("dilations", (1, 1)),
                "groups": said.get("group", 1), "kernel_size": tensors[node.inputs[1]].shape[2:],
            })  # fmt: skip
        elif node.kind == "BatchNormalization":
            found[path] = LayerFacts("BatchNorm2d", {"eps": said.get("epsilon", 1e-5)})
        elif node.kind == "Gemm":
            found[path] = LayerFacts("Linear")
    return found
