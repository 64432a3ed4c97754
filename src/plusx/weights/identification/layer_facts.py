"""What the file itself states about its layers (whole-model pickles, TorchScript, graphs), as fields of the spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from plusx.errors import SpecError
from plusx.graph import Op, lower
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec
from plusx.specs.keys import POLICIES
from plusx.weights.stored import LayerFacts

ACTIVATIONS = {
    "ReLU": "relu", "LeakyReLU": "leaky_relu", "SiLU": "silu", "Swish": "silu", "GELU": "gelu", "Hardswish": "hardswish",
}  # fmt: skip
POOLS = ("MaxPool2d",)
Settled = dict[str, tuple[Any, Message]]


class Layers:
    """The file's layers by plusx's module paths; `inside` are all that lie under the network's prefix."""

    def __init__(self, layers: Mapping[str, LayerFacts], keys: Mapping[str, str], prefix: str) -> None:
        self._layers = layers
        self._paths: dict[str, str] = {}
        for ours, theirs in keys.items():
            path, _, tensor = ours.rpartition(".")
            if path not in self._paths or tensor == "running_var":  # Caffe keeps a norm's scale in a layer of its own
                self._paths[path] = re.sub(r"([./][^./]*|\[\d+\])$", "", theirs)
        self.inside = {name: fact for name, fact in layers.items() if self._is_under(name, prefix)}

    @property
    def padded(self) -> bool:
        """Whether the file pads in layers of their own."""
        return any(fact.kind == "ZeroPad2d" for fact in self.inside.values())

    def _is_under(self, name: str, prefix: str) -> bool:
        return any(f"{name}.".startswith(part) for part in _tails(prefix))

    def of(self, path: str) -> LayerFacts | None:
        """Facts of the module that plusx calls `path`; wrappers' keys may be missing in the file's own paths."""
        theirs = self._paths.get(path, "")
        return next(
            (self._layers[tail.rstrip(".")] for tail in _tails(f"{theirs}.") if tail.rstrip(".") in self._layers), None
        )


def _tails(path: str) -> Iterator[str]:
    """A dotted path, and what is left when its first parts go: `a.b.` gives `a.b.`, `b.` and nothing."""
    while path:
        yield path
        path = path.partition(".")[2]
    yield ""


def pair(value: Any) -> tuple[int, int] | None:
    """Two sizes from one or two numbers; None for other things, such as text."""
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, int) for part in value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return (value[0], value[1])  # pyright: ignore[reportUnknownVariableType]
    return None


def fields_of_layers(layers: Layers, spec: ResNetSpec) -> Settled:
    """The fields that the layers show, each with its reason."""
    found: Settled = {}
    found |= _strides(layers, spec)
    found |= _pool(layers, spec)
    found |= _activation(layers)
    found |= _norm(layers)
    return found


def _strides(layers: Layers, spec: ResNetSpec) -> Settled:
    strides: list[int] = []
    dilations: list[int] = []
    places: set[str] = set()
    convs = (1, 2, 3) if spec.block == "bottleneck" else (1, 2)
    for stage, depth in enumerate(spec.depths, 1):
        first = [layers.of(f"layer{stage}.0.conv{k}") for k in convs]
        if any(fact is None or pair(fact.attributes.get("stride")) is None for fact in first):
            return {}
        by_conv = [pair(fact.attributes["stride"]) or (1, 1) for fact in first if fact]
        strides.append(max(stride[0] for stride in by_conv))
        places |= {"1x1" if k == 1 else "3x3" for k, stride in zip(convs, by_conv, strict=True) if stride[0] > 1}
        last = layers.of(f"layer{stage}.{depth - 1}.conv2")
        dilations.append((pair(last.attributes.get("dilation", 1)) or (1, 1))[0] if last else 1)
    why = _("the file's own layers")
    found: Settled = {"strides": (tuple(strides), why), "dilations": (tuple(dilations), why)}
    if spec.block == "bottleneck" and len(places) == 1:
        found["stride_in"] = (places.pop(), why)
    stem = layers.of("conv1")
    if stem and spec.stem == "7x7" and pair(stem.attributes.get("padding")) is not None:
        found["padding"] = ("valid" if pair(stem.attributes["padding"]) == (0, 0) else "same", why)
    return found


def _pool(layers: Layers, spec: ResNetSpec) -> Settled:
    pools = [fact for fact in layers.inside.values() if fact.kind in POOLS]
    if not pools:
        named = any(name.rpartition(".")[2] == "maxpool" for name in layers.inside)
        whole = any(fact.kind in ACTIVATIONS for fact in layers.inside.values())
        return (
            {"stem_pool": ("none", _("the file's layers have no pool"))}
            if named or (whole and spec.stem == "3x3")
            else {}
        )
    attributes = pools[0].attributes
    if attributes.get("padding") == "valid" and layers.padded:
        return {}  # Keras pads with zeros first, which after relu is the same; its family says so
    shape = [pair(attributes.get(name)) for name in ("kernel_size", "stride", "padding")]
    ceil = bool(attributes.get("ceil_mode"))
    if shape == [(3, 3), (2, 2), (1, 1)] and not ceil:
        return {"stem_pool": ("max", _("the file's own pool"))}
    if shape == [(3, 3), (2, 2), (0, 0)] and ceil:
        return {"stem_pool": ("caffe", _("the file's own pool"))}
    return {}


def _activation(layers: Layers) -> Settled:
    kinds = {ACTIVATIONS[fact.kind] for fact in layers.inside.values() if fact.kind in ACTIVATIONS}
    return {"act": (kinds.pop(), _("the file's own layers"))} if len(kinds) == 1 else {}


def _norm(layers: Layers) -> Settled:
    fact = layers.of("layer1.0.bn1")
    if fact is None:
        return {}
    if fact.kind == "GroupNorm" and isinstance(fact.attributes.get("num_groups"), int):
        return {"norm": (f"group{fact.attributes['num_groups']}", _("the file's own layers"))}
    return {"norm": ("frozen", _("the file's own layers"))} if "Frozen" in fact.kind else {}


def refusal(layers: Layers, settled: Settled) -> Message | None:
    """Why plusx has no network with such layers, if it has none."""
    fact = layers.of("layer1.0.bn1")
    if fact is not None and fact.kind.startswith("InstanceNorm"):
        return _("its norms are instance norms, which plusx lacks")
    if fact is not None and fact.kind.startswith("BatchNorm") and fact.attributes.get("track_running_stats") is False:
        return _("its batch norms keep no statistics and use those of each batch, which plusx lacks")
    odd = [fact for fact in layers.inside.values() if fact.kind in POOLS]
    if odd and "stem_pool" not in settled and not (odd[0].attributes.get("padding") == "valid" and layers.padded):
        return _(
            "its stem pools with {attributes}, where plusx pools 3x3 with stride 2", attributes=dict(odd[0].attributes)
        )
    return None


def disagreement(layers: Layers, spec: ResNetSpec) -> tuple[ResNetSpec, Message | None]:
    """The spec whose dilation policy gives every convolution's own stride, dilation and padding; else what differs."""
    first: Message | None = None
    for policy in dict.fromkeys((spec.dilate, *POLICIES)):
        try:
            tried = spec if policy == spec.dilate else spec.replace(dilate=policy)
            different = _differing(layers, tried)
        except SpecError:
            continue
        if different is None:
            return tried, None
        first = first or different
    return spec, first


def _differing(layers: Layers, spec: ResNetSpec) -> Message | None:
    for op in lower(spec).ops:
        fact = layers.of(op.path or "") if op.kind == "conv" else None
        if fact is None:
            continue
        padding = fact.attributes.get("padding")
        if padding == "same" and op.stride > 1 and op.kernel > 1:
            return _(
                "{path} is padded as TensorFlow does with stride {stride} (unevenly), where plusx pads evenly",
                path=op.path,
                stride=op.stride,
            )
        if padding == "valid" and op.padding and not layers.padded:
            return _("{path} is not padded in the file", path=op.path)
        for name, ours in _geometry(op).items():
            theirs = pair(fact.attributes.get(name, ours))
            if theirs is not None and theirs != (ours, ours):
                return _(
                    "{path} has {name}={theirs} in the file and {name}={ours} in {spec}",
                    path=op.path,
                    name=name,
                    theirs=theirs[0],
                    ours=ours,
                    spec=spec,
                )
    return None


def _geometry(op: Op) -> dict[str, int]:
    """What a convolution computes by; a kernel of one cell has no dilation, whatever a file says."""
    geometry = {"stride": op.stride, "padding": op.padding}
    return geometry if op.kernel == 1 else geometry | {"dilation": op.dilation}


def eps_of(layers: Layers, norms: list[str]) -> dict[str, float]:
    """The eps of each norm (plusx's path) that the file states."""
    found: dict[str, float] = {}
    for path in norms:
        fact = layers.of(path)
        eps = None if fact is None else fact.attributes.get("eps")
        if isinstance(eps, int | float) and not isinstance(eps, bool) and 0 <= eps < 1:
            found[path] = float(eps)
    return found
