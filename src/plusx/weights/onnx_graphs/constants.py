"""What an ONNX graph computes from constants alone, evaluated as far as exporters need it, within a bound.

Exporters leave weights behind chains of nodes: `ConstantOfShape` for light models, `Transpose` of TensorFlow kernels,
`Sqrt` and `Div` of unfolded norms, `Shape`, `Gather` and `Concat` for targets of a `Reshape`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.weights.containers.onnx import OnnxNode
from plusx.weights.containers.onnx_tensors import PLAIN
from plusx.weights.stored import StoredTensor

MOST_VALUES = 1 << 27
"""Values that all folded nodes of a file may make together; a ResNet-152 made by ConstantOfShape has 60 million."""
NONSENSE = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What attributes and shapes that contradict each other make numpy and Python raise."""
Array = NDArray[Any]
Attributes = Mapping[str, Any]


class Constants:
    """The constants of a graph by name: initializers, `Constant` nodes, and what `fold` made of them."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self._stored = dict(tensors)
        self._made: dict[str, Array] = {}
        self._left = MOST_VALUES

    def __contains__(self, name: str) -> bool:
        return name in self._made or name in self._stored

    def __getitem__(self, name: str) -> Array:
        return self._made[name] if name in self._made else self._stored[name].array()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._made[name].shape if name in self._made else self._stored[name].shape

    def same(self, name: str, other: str) -> None:
        """`name` is another name of `other`."""
        if other in self._made:
            self._made[name] = self._made[other]
        else:
            self._stored[name] = self._stored[other]

    def fold(self, node: OnnxNode) -> bool:
        """Whether the outputs of a node are constants now; its inputs are constants, or absent."""
        try:
            with np.errstate(all="ignore"):
                return self._fold(node)
        except NONSENSE:
            return False

    def _fold(self, node: OnnxNode) -> bool:
        if node.kind in ("Identity", "Dropout"):
            self.same(node.outputs[0], node.inputs[0])
            return True
        if node.kind == "Constant" and isinstance(node.attributes.get("value"), StoredTensor):
            self._stored[node.outputs[0]] = node.attributes["value"]
            return True
        if node.kind == "Shape" and set(node.attributes) <= {"start", "end"}:
            start, end = node.attributes.get("start") or 0, node.attributes.get("end")
            self._made[node.outputs[0]] = np.array(self.shape(node.inputs[0])[start:end], np.int64)
            return True
        if node.kind not in OPERATORS or len(node.outputs) != 1 or self._cost(node) > self._left:
            return False
        given = [self[name] if name else None for name in node.inputs]
        made = OPERATORS[node.kind](given, node.attributes)
        if made is None or made.size > self._left:
            return False
        self._left -= made.size
        self._made[node.outputs[0]] = made
        return True

    def _cost(self, node: OnnxNode) -> int:
        """An upper bound of the values that a node makes, before it makes them."""
        shapes = [self.shape(name) for name in node.inputs if name]
        if node.kind in ELEMENTWISE:
            rank = max((len(shape) for shape in shapes), default=0)
            padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
            return math.prod(max(sizes) for sizes in zip(*padded, strict=True))
        if node.kind == "Gather":
            return math.prod(shapes[0]) * max(math.prod(shapes[1]), 1) if len(shapes) > 1 else 0
        return sum(math.prod(shape) for shape in shapes)


def _shaped(value: Array, target: Array, attributes: Attributes) -> Array:
    sizes = [int(n) for n in target]
    if not attributes.get("allowzero"):
        sizes = [value.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return value.reshape(sizes)


def _filled(given: Sequence[Any], attributes: Attributes) -> Array | None:
    shape = tuple(int(n) for n in given[0])
    value = attributes.get("value")
    one = value.array().reshape(-1)[:1] if value is not None else np.zeros(1, np.float32)
    return np.broadcast_to(one.reshape(()), shape) if 0 <= math.prod(shape) <= MOST_VALUES else None


def _expanded(given: Sequence[Any], attributes: Attributes) -> Array | None:
    shape = np.broadcast_shapes(given[0].shape, tuple(int(n) for n in given[1]))
    return np.broadcast_to(given[0], shape) if math.prod(shape) <= MOST_VALUES else None


def _constant(given: Sequence[Any], attributes: Attributes) -> Array | None:
    kinds = {"value_float": "float32", "value_floats": "float32", "value_int": "int64", "value_ints": "int64"}
    found = [(name, kind) for name, kind in kinds.items() if attributes.get(name) is not None]
    return np.array(attributes[found[0][0]], found[0][1]) if found else None


def _axes(given: Sequence[Any], attributes: Attributes, at: int = 1) -> tuple[int, ...] | None:
    if len(given) > at and given[at] is not None:
        return tuple(int(n) for n in given[at].reshape(-1))
    axes = attributes.get("axes")
    return tuple(axes) if axes is not None else None


def _unsqueezed(given: Sequence[Any], attributes: Attributes) -> Array:
    return np.expand_dims(given[0], _axes(given, attributes) or ())


def _sliced(given: Sequence[Any], attributes: Attributes) -> Array:
    value = given[0]
    starts, ends = (_axes(given, {"axes": attributes.get(name)}, at) or () for name, at in (("starts", 1), ("ends", 2)))
    axes = _axes(given, attributes, 3) or tuple(range(len(starts)))
    steps = _axes(given, {}, 4) or (1,) * len(starts)
    parts = [slice(None)] * value.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at_start = step < 0 and end < -value.shape[axis]  # numpy counts a negative end from the back
        parts[axis] = slice(start, None if at_start else end, step)
    return value[tuple(parts)]


def _to(dtype: int) -> str:
    return "float32" if dtype == 16 else PLAIN[dtype]


def _divided(given: Sequence[Any], attributes: Attributes) -> Array:
    one, other = given
    return np.trunc(one / other).astype(one.dtype) if one.dtype.kind in "iu" else one / other


OPERATORS: dict[str, Callable[[Sequence[Any], Attributes], Array | None]] = {
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Expand": _expanded,
    "Transpose": lambda given, said: given[0].transpose(said.get("perm")),
    "Reshape": lambda given, said: _shaped(given[0], given[1] if len(given) > 1 else np.array(said["shape"]), said),
    "Unsqueeze": _unsqueezed,
    "Squeeze": lambda given, said: np.squeeze(given[0], _axes(given, said)),
    "Cast": lambda given, said: given[0].astype(_to(said["to"])),
    "CastLike": lambda given, said: given[0].astype(given[1].dtype),
    "Concat": lambda given, said: np.concatenate(given, axis=said.get("axis") or 0),
    "Gather": lambda given, said: np.take(given[0], given[1], axis=said.get("axis") or 0),
    "Slice": _sliced,
    "Add": lambda given, said: given[0] + given[1],
    "Sub": lambda given, said: given[0] - given[1],
    "Mul": lambda given, said: given[0] * given[1],
    "Div": _divided,
    "Sqrt": lambda given, said: np.sqrt(given[0]),
    "Reciprocal": lambda given, said: 1 / given[0],
    "Neg": lambda given, said: -given[0],
    "Pow": lambda given, said: np.power(given[0], given[1]).astype(given[0].dtype),
}


def tried(node: OnnxNode, given: Sequence[Array | None]) -> Array | None:
    """What a node that works with sizes computes for one batch size, None where it is more than sizes and places."""
    small = [value for value in given if value is not None]
    try:
        if any(value.size > MOST_PLACES for value in small) or node.kind not in SIZES:
            return None
        if node.kind in ELEMENTWISE and math.prod(np.broadcast_shapes(*(value.shape for value in small))) > MOST_PLACES:
            return None
        if node.kind == "Range":
            start, limit, delta = (int(value.reshape(-1)[0]) for value in small)
            return np.arange(start, limit, delta) if abs(limit - start) <= MOST_PLACES else None
        return OPERATORS[node.kind](given, node.attributes)
    except NONSENSE:
        return None


MOST_PLACES = 1 << 20
SIZES = frozenset(
    ("Range", "Add", "Sub", "Mul", "Div", "Concat", "Gather", "Squeeze", "Unsqueeze", "Reshape", "Cast", "Slice")
)
ELEMENTWISE = frozenset(("Add", "Sub", "Mul", "Div", "Pow"))
