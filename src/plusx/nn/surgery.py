"""Trained networks bent: each function returns a new ResNet whose spec says what it is, holding the kept tensors themselves."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from plusx.analysis.feature_info import check_place, feature_info
from plusx.errors import SpecError, unknown
from plusx.graph import Op, lower
from plusx.graph.kinds import GATES, NORMS
from plusx.nn.resnet import ResNet
from plusx.nn.transplant import fresh, transplant
from plusx.specs import ResNetSpec, stage_geometry

log = logging.getLogger("plusx")


def cut(net: ResNet, until: str) -> ResNet:
    """The network up to and with `until` (`stem`, `layer3`, `layer3.4`): (n, c_in, h, w) to that map; `.info` says what it is.

    Raises GeometryError for a place that is not there.

    >>> from plusx import build
    >>> print(cut(build("resnet18"), "layer2").info)
    128 channels, stride 8, field 99 px, first cell at 0.5 px
    """
    check_place(lower(net.spec), until)
    new = transplant(net, net.spec.replace(until=until, classes=0))
    log.info("cut at %s: %s", until, feature_info(new.spec, until))
    return new


def dilate(net: ResNet, output_stride: int) -> ResNet:
    """The same weights on a finer grid, exactly: `dilated(x)[..., ::s, ::s] == net(x)` for maps, batch norm in eval mode.

    Pooled features and logits do change, since they average over more cells. Raises SpecError where it cannot be exact.
    """
    spec = net.spec
    if spec.dilate != "exact":
        raise SpecError(
            f"dilate={spec.dilate} in {spec} already puts rates where no stride was exact; "
            f"build with output_stride={output_stride} dilate={spec.dilate} and load these weights instead"
        )
    written = any(rate > 1 for rate in spec.dilations) and spec.output_stride is None
    if written:
        raise SpecError(
            f"{spec} has written dilations, which output_stride={output_stride} would overrule; build it anew"
        )
    return transplant(net, spec.replace(output_stride=output_stride))


def adapt_input(net: ResNet, channels: int, bands: Sequence[int] | None = None) -> ResNet:
    """The network for images of `channels` channels; its first convolution is summed for one, else repeated and scaled.

    One channel: the sum over the old ones, so that grey copies of it would give the same. n: old channel i mod c, times
    c / n (timm models/_manipulate.py adapt_input_conv and segmentation_models.pytorch patch_first_conv, for c = 3).
    Fewer channels, but not one: `bands` says which old channels the new ones are, counted from 0, and the network answers
    as it did where all others were zero. Preprocessing is forgotten, unless the number stays. Raises SpecError.
    """
    spec = net.spec.replace(in_channels=channels)
    first = lower(spec).stem[0]
    key = f"{first.path}.weight"
    old = net.get_parameter(key)
    had = old.shape[1]
    chosen = _chosen_bands(channels, had, bands)
    if channels == had and chosen is None:
        return transplant(net, spec)
    with torch.no_grad():
        if chosen is not None:
            weight = old[:, chosen]
        elif channels == 1:
            weight = old.sum(1, keepdim=True)
        else:
            weight = old[:, [i % had for i in range(channels)]] * (had / channels)
    new = transplant(net, spec, {key: nn.Parameter(weight, requires_grad=old.requires_grad)})
    new.preprocessing = None
    return new


def _chosen_bands(channels: int, had: int, bands: Sequence[int] | None) -> list[int] | None:
    """The old channels to keep, or None where none is to be chosen. Raises SpecError."""
    if bands is None:
        if 1 < channels < had:
            first = ", ".join(map(str, range(channels)))
            raise SpecError(
                f"{channels} channels cannot stand for {had} until it is said which they are. Choose them with"
                f" plusx.adapt_input(net, {channels}, bands=({first})), counted from 0"
            )
        return None
    chosen = list(bands)
    if len(chosen) != channels or len(set(chosen)) != channels or not all(0 <= band < had for band in chosen):
        raise SpecError(
            f"bands={tuple(chosen)} must be {channels} different channels of the network's {had}, from 0 to {had - 1}"
        )
    return chosen


def new_head(net: ResNet, classes: int) -> ResNet:
    """The network with a new, untrained `fc` for so many classes; 0 leaves the pooled features.

    A cut network gets pool and head where it was cut and becomes one of fewer blocks: `layer3.4` of ResNet-50 is then
    `depths=3,4,5`. Raises SpecError.
    """
    spec = _uncut(net.spec, classes) if net.spec.until else net.spec.replace(classes=classes)
    made = fresh(net, spec, "fc") if classes else {}
    if net.norm is None and spec.order == "pre":
        made |= fresh(net, spec, "norm")
    return transplant(net, spec, made)


def _uncut(spec: ResNetSpec, classes: int) -> ResNetSpec:
    """The spec whose last block is where `spec` was cut."""
    stages = lower(spec).stages
    if not stages:
        raise SpecError("a head after the stem alone would make no ResNet; cut at layer1.0 or later")
    if spec.dilate.startswith("grid"):
        raise SpecError(
            f"dilate={spec.dilate} counts from the last stage, which the cut moved; put your own head behind the map"
        )
    k = len(stages)
    keys = {"widths": spec.widths[:k], "strides": spec.strides[:k], "dilations": spec.dilations[:k]}
    if spec.output_stride is not None:  # the kept stages' own, since the natural stride may now be lower
        pairs = stage_geometry(spec)[:k]
        keys |= {"strides": tuple(s for s, _ in pairs), "dilations": tuple(d for _, d in pairs)}
    depths = tuple(len(stage.blocks) for stage in stages)
    return spec.replace(until=None, depths=depths, output_stride="natural", classes=classes, **keys)


def add_gates(net: ResNet, gate: str = "se", ratio: str = "1/16") -> ResNet:
    """The network with a gate on each branch, computing exactly what it did; the gates learn from the first step on.

    The gate's last layer is zero, so it multiplies by sigmoid(0) = 1/2 (CBAM's two halves: 1/4), and what ends the branch
    (its last norm; its last convolution, where no norm follows) is doubled (quadrupled): powers of two lose nothing.
    SE: fc2. ECA: its convolution. CBAM: the perceptron's fc2 and the weight of the spatial norm (its convolution, where
    the norm is frozen or absent, so that something can learn). Raises SpecError.
    """
    if gate not in GATES:
        raise SpecError(unknown("gate", gate, GATES))
    if net.spec.gate != "none":
        raise SpecError(
            f"{net.spec} has gate={net.spec.gate} already, and a branch has one; start from the network without"
        )
    spec = net.spec.replace(gate=gate, **({"gate_ratio": ratio} if GATES[gate].squeezes else {}))
    graph, made = lower(spec), fresh(net, spec, "se")
    for stage in graph.stages:
        for block in stage.blocks:
            made |= _scaled(net, _end_of_branch(block.branch), 2 ** GATES[gate].sigmoids)
            op = next(op for op in block.branch if op.kind == gate)
            for name in GATES[gate].silent(op.gate):
                made[f"{op.path}.{name}"].detach().zero_()
    return transplant(net, spec, made)


def _end_of_branch(branch: tuple[Op, ...]) -> Op:
    """The last op that has a scale: a norm, or a convolution that none follows."""
    return [op for op in branch if op.kind in ("conv", *NORMS)][-1]


def _scaled(net: ResNet, op: Op, factor: int) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for tensor in op.tensors:
        if tensor.name in ("weight", "bias"):
            key = f"{op.path}.{tensor.name}"
            old = net.get_submodule(op.path or "").get_parameter(tensor.name) if tensor.trained else net.get_buffer(key)
            value = old.detach() * factor
            made[key] = nn.Parameter(value, requires_grad=old.requires_grad) if tensor.trained else value
    return made
