"""torch's operators as layers: which arguments of `conv2d`, `max_pool2d`, … are which attributes of `Conv2d`, `MaxPool2d`, ….

Signatures: aten/src/ATen/native/native_functions.yaml. Functions of torch.nn.functional have the same order of arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plusx.weights.stored import LayerFacts


@dataclass(frozen=True)
class Operator:
    """One operator: the layer that it is, `places` of that layer's attributes among its arguments, and what they are if absent.

    `tensors` are the places of what the layer stores.
    """

    kind: str
    places: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, int] = field(default_factory=dict)


_WEIGHT = {"weight": 1, "bias": 2}
_NORM = {**_WEIGHT, "running_mean": 3, "running_var": 4}


def _conv(sides: int) -> Operator:
    places = {"stride": 3, "padding": 4, "dilation": 5, "groups": 6}
    absent = {"stride": (1,) * sides, "padding": (0,) * sides, "dilation": (1,) * sides, "groups": 1}
    return Operator(f"Conv{sides}d", places, absent, _WEIGHT)


def _pool(kind: str, **places: int) -> Operator:
    absent = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True}
    return Operator(kind, places, {name: value for name, value in absent.items() if name in places})


_MAX = {"kernel_size": 1, "stride": 2, "padding": 3, "dilation": 4, "ceil_mode": 5}
_AVG = {"kernel_size": 1, "stride": 2, "padding": 3, "ceil_mode": 4, "count_include_pad": 5, "divisor_override": 6}
_WHOLE = {"stride": 3, "padding": 4, "dilation": 5, "transposed": 6, "output_padding": 7, "groups": 8}

OPERATORS: dict[str, Operator] = {
    **{f"conv{sides}d": _conv(sides) for sides in (1, 2, 3)},
    "convolution": Operator("Conv", _WHOLE, {}, _WEIGHT),
    "convolution_mode": Operator("Conv", {"stride": 3, "padding": 4, "dilation": 5, "groups": 6}, {}, _WEIGHT),
    **{f"max_pool{sides}d": _pool(f"MaxPool{sides}d", **_MAX) for sides in (1, 2, 3)},
    "max_pool2d_with_indices": _pool("MaxPool2d", **_MAX),
    **{f"avg_pool{sides}d": _pool(f"AvgPool{sides}d", **_AVG) for sides in (2, 3)},
    "adaptive_avg_pool2d": Operator("AdaptiveAvgPool2d", {"output_size": 1}),
    "adaptive_max_pool2d": Operator("AdaptiveMaxPool2d", {"output_size": 1}),
    "mean": Operator("Mean", {"dim": 1, "keepdim": 2}, {"keepdim": False}),
    "batch_norm": Operator("BatchNorm2d", {"momentum": 6, "eps": 7}, {}, _NORM),
    "native_batch_norm_legit_no_training": Operator("BatchNorm2d", {"momentum": 5, "eps": 6}, {}, _NORM),
    "instance_norm": Operator("InstanceNorm2d", {"momentum": 6, "eps": 7}, {}, _NORM),
    "group_norm": Operator("GroupNorm", {"num_groups": 1, "eps": 4}, {"eps": 1e-5}, {"weight": 2, "bias": 3}),
    "native_group_norm": Operator("GroupNorm", {"num_groups": 6, "eps": 7}, {}, _WEIGHT),
    "layer_norm": Operator("LayerNorm", {"normalized_shape": 1, "eps": 4}, {"eps": 1e-5}, {"weight": 2, "bias": 3}),
    "linear": Operator("Linear", {}, {}, _WEIGHT),
    "addmm": Operator("Linear", {}, {}, {}),
    "pad": Operator("Pad", {"pad": 1, "mode": 2, "value": 3}, {"mode": "constant"}),
    "relu": Operator("ReLU"), "relu6": Operator("ReLU6"), "silu": Operator("SiLU"), "gelu": Operator("GELU"),
    "selu": Operator("SELU"), "mish": Operator("Mish"), "sigmoid": Operator("Sigmoid"), "tanh": Operator("Tanh"),
    "hardswish": Operator("Hardswish"), "hardsigmoid": Operator("Hardsigmoid"), "prelu": Operator("PReLU", {}, {}, {"weight": 1}),
    "elu": Operator("ELU", {"alpha": 1}, {"alpha": 1.0}),
    "leaky_relu": Operator("LeakyReLU", {"negative_slope": 1}, {"negative_slope": 0.01}),
    "hardtanh": Operator("Hardtanh", {"min_val": 1, "max_val": 2}, {"min_val": -1.0, "max_val": 1.0}),
}  # fmt: skip


def facts_of(name: str, args: Sequence[Any]) -> LayerFacts | None:
    """The layer that a call is, with torch's attributes; an argument that is not a literal is omitted. None for no layer."""
    operator = OPERATORS.get(name)
    if operator is None:
        return None
    attributes: dict[str, Any] = {}
    for attribute, place in operator.places.items():
        value = args[place] if place < len(args) else operator.absent.get(attribute, _ABSENT)
        if isinstance(value, list | tuple):
            value = tuple(value)
        if isinstance(value, bool | int | float | str | tuple | None):
            attributes[attribute] = value
    return _settled(operator.kind, attributes)


_ABSENT = object()


def _settled(kind: str, attributes: dict[str, Any]) -> LayerFacts:
    """The layer as torch.nn would have it."""
    if kind == "Conv":
        stride = attributes.get("stride")
        transposed = "Transpose" if attributes.pop("transposed", False) is True else ""
        if not transposed:
            attributes.pop("output_padding", None)
        kind = f"Conv{transposed}{len(stride)}d" if isinstance(stride, tuple) and stride else "Conv2d"
    if "kernel_size" in attributes and attributes.get("stride") in (None, ()):
        attributes["stride"] = attributes["kernel_size"]  # torch: a pool's stride is its size unless given
    if kind == "Hardtanh" and (attributes.get("min_val"), attributes.get("max_val")) == (0.0, 6.0):
        return LayerFacts("ReLU6", {})
    return LayerFacts(kind, attributes)
