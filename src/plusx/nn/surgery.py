"""Surgery on trained networks: each function returns a new ResNet with a new spec, which holds the tensors that were kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from plusx.errors import SpecError, WeightsError, unknown
from plusx.graph import Op, lower
from plusx.graph.kinds import GATES, NORMS
from plusx.graph.lower import Network
from plusx.i18n import _
from plusx.names.shapes import shapes_of, suggest
from plusx.nn.building import matching_tensors
from plusx.nn.feature_info import check_feature_name, feature_info
from plusx.nn.resnet import ResNet
from plusx.nn.transplant import fresh, transplant
from plusx.specs import ResNetSpec, stage_geometry

log = logging.getLogger("plusx")


def cut(net: ResNet, until: str) -> ResNet:
    """The network up to and including `until` (`stem`, `layer3`, `layer3.4`): (n, c_in, h, w) to that map, which `.info` describes.

    Raises GeometryError for an unknown name.

    >>> from plusx import build
    >>> print(cut(build("resnet18"), "layer2").info)
    128 channels, stride 8, receptive field 99 px, first cell at 0.5 px
    """
    check_feature_name(lower(net.spec), until)
    new = transplant(net, net.spec.replace(until=until, classes=0))
    log.info("cut at %s: %s", until, feature_info(new.spec, until))
    return new


def cut_state(
    state: Mapping[str, Tensor], until: str, network: Network | None = None
) -> tuple[dict[str, Tensor], ResNetSpec]:
    """The tensors (torchvision's names) up to and including `until`, and their spec.

    Without `network`, the spec is found by names and shapes, which show neither the stride of a bottleneck nor dilations.
    Raises WeightsError, GeometryError.
    """
    spec = suggest(shapes_of(state)) if network is None else lower(network).spec
    if spec is None:
        raise WeightsError(
            _(
                "No network of plusx has exactly these tensors. Name the network, with --network WORDS on the command line."
            )
        )
    check_feature_name(lower(spec), until)
    graph = lower(spec.replace(until=until, classes=0))
    return {key: tensor for key, tensor in matching_tensors(dict(state), graph).items() if key in state}, graph.spec


def dilate(net: ResNet, output_stride: int) -> ResNet:
    """The same weights on a finer grid: `dilated(x)[..., ::s, ::s] == net(x)` for maps, exactly, with batch norm in eval mode.

    Pooled features and logits change, since they average over more cells. Raises SpecError where it cannot be exact.
    """
    spec = net.spec
    if spec.dilate != "exact":
        raise SpecError(
            _("{spec} has dilate={policy}, which is not exact. "
              "Build the network with output_stride={target} dilate={policy} and load these weights.",
              spec=str(spec), policy=spec.dilate, target=output_stride)
        )  # fmt: skip
    written = any(rate > 1 for rate in spec.dilations) and spec.output_stride is None
    if written:
        raise SpecError(
            _("{spec} has its own dilations, which output_stride={target} would replace. Build the network anew.",
              spec=str(spec), target=output_stride)
        )  # fmt: skip
    return transplant(net, spec.replace(output_stride=output_stride))


def adapt_input(net: ResNet, channels: int, bands: Sequence[int] | None = None) -> ResNet:
    """The network for images of `channels` channels. The weights of its first convolution are summed, or repeated and scaled.

    One channel: the sum over the old ones, so that a grey image gives the same output as three equal channels. n channels: old
    channel i mod c, times c / n (timm models/_manipulate.py adapt_input_conv and segmentation_models.pytorch patch_first_conv,
    for c = 3). Fewer channels, but not one: `bands` names the old channels to keep, from 0, and the output is that of an image
    whose other channels are zero. Preprocessing is removed unless the number of channels stays. Raises SpecError.
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
    """The old channels to keep, or None where there is no choice. Raises SpecError."""
    if bands is None:
        if 1 < channels < had:
            first = ", ".join(map(str, range(channels)))
            raise SpecError(
                _("{channels} channels cannot replace {had} without a choice. "
                  "Choose them, from 0 on, with plusx.adapt_input(net, {channels}, bands=({first})).",
                  channels=channels, had=had, first=first)
            )  # fmt: skip
        return None
    chosen = list(bands)
    if len(chosen) != channels or len(set(chosen)) != channels or not all(0 <= band < had for band in chosen):
        raise SpecError(
            _("bands={bands} is not a choice of {channels} different channels. Give {channels} numbers from 0 to {last}.",
              bands=tuple(chosen), channels=channels, last=had - 1)
        )  # fmt: skip
    return chosen


def new_head(net: ResNet, classes: int) -> ResNet:
    """The network with a new, untrained `fc` for so many classes; with 0 it returns pooled features.

    A network with `until` gets a pool and a head at its end, so it becomes one with fewer blocks: `layer3.4` of ResNet-50 is
    `depths=3,4,5`. Raises SpecError.
    """
    spec = _without_until(net.spec, classes) if net.spec.until else net.spec.replace(classes=classes)
    made = fresh(net, spec, "fc") if classes else {}
    if net.norm is None and spec.order == "pre":
        made |= fresh(net, spec, "norm")
    return transplant(net, spec, made)


def _without_until(spec: ResNetSpec, classes: int) -> ResNetSpec:
    """The spec whose last block is the one that `until` names."""
    stages = lower(spec).stages
    if not stages:
        raise SpecError(_("A head directly after the stem makes no ResNet. Cut at layer1.0 or later."))
    if spec.dilate.startswith("grid"):
        raise SpecError(
            _("dilate={policy} depends on the last stage, which the cut removed. Add a head of your own to the network.",
              policy=spec.dilate)
        )  # fmt: skip
    k = len(stages)
    keys = {"widths": spec.widths[:k], "strides": spec.strides[:k], "dilations": spec.dilations[:k]}
    if (
        spec.output_stride is not None
    ):  # as numbers, since the natural output stride may be lower without the later stages
        pairs = stage_geometry(spec)[:k]
        keys |= {"strides": tuple(s for s, _ in pairs), "dilations": tuple(d for _, d in pairs)}
    depths = tuple(len(stage.blocks) for stage in stages)
    return spec.replace(until=None, depths=depths, output_stride="natural", classes=classes, **keys)


def add_gates(net: ResNet, gate: str = "se", ratio: str = "1/16") -> ResNet:
    """The network with a gate on each branch. It computes exactly what it did, and the gates are trained from the first step on.

    The last layer of the gate is zero, so its factor is sigmoid(0) = 1/2 (CBAM: 1/4 for both halves). The last scale of the
    branch (its last norm, or its last convolution where no norm follows) is doubled (quadrupled), which is exact. The zero layer
    is fc2 in SE, the convolution in ECA, and in CBAM the fc2 of the perceptron and the weight of the spatial norm (of its
    convolution where the norm is frozen or absent, so that it can be trained). Raises SpecError.
    """
    if gate not in GATES:
        raise SpecError(unknown("gate", gate, GATES))
    if net.spec.gate != "none":
        raise SpecError(
            _("{spec} has gate={gate} already, and a branch has one gate. Start from the network without gates.",
              spec=str(net.spec), gate=net.spec.gate)
        )  # fmt: skip
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
