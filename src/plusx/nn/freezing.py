"""Which tensors learn, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from plusx.analysis.feature_info import check_place
from plusx.errors import SpecError
from plusx.graph import lower
from plusx.nn.features import Features
from plusx.nn.resnet import ResNet
from plusx.nn.traversal import blocks

NO_DECAY_DIMS = 1
"""Tensors of at most so many axes are biases, norms and scalars."""


def freeze(net: ResNet | Features, until: str | None, norm: bool = True) -> None:
    """Stop learning up to and with `until` (`stem`, `layer2`, `layer3.4`), in place; everything behind it learns.

    With `norm`, batch norms there also stay in eval mode, whatever `.train()` says: their statistics stand still.
    None freezes nothing, which undoes an earlier call. Raises GeometryError for a place that is not there.
    """
    net = _network(net)
    if until is not None:
        check_place(lower(net.spec), until)
    released, net.frozen_norms = net.frozen_norms, ()
    for name in released:
        net.get_submodule(name).train(net.training)
    net.requires_grad_(True)
    frozen = list(_parts_until(net, until))
    for _, module in frozen:
        module.requires_grad_(False)
    if norm:
        net.frozen_norms = tuple(name for part, module in frozen for name in _norms(part, module))
        for name in net.frozen_norms:
            net.get_submodule(name).eval()


def _network(net: nn.Module) -> ResNet:
    found = net.net if isinstance(net, Features) else net
    if not isinstance(found, ResNet):
        raise SpecError(f"{type(net).__name__} has no stages by name; freeze takes a ResNet of plusx, or its features")
    return found


def _parts_until(net: ResNet, until: str | None) -> Iterator[tuple[str, nn.Module]]:
    if until is None:
        return
    for name in ("conv1", "bn1"):
        module = getattr(net, name)
        if module is not None:
            yield name, module
    if until == "stem":
        return
    for name, block in blocks(net):
        if "." not in until and _stage_number(name) > _stage_number(until):
            return
        yield name, block
        if name == until:
            return


def _stage_number(name: str) -> int:
    return int(name.removeprefix("layer").partition(".")[0])


def _norms(name: str, module: nn.Module) -> Iterator[str]:
    for inner, part in module.named_modules(prefix=name):
        if hasattr(part, "running_mean"):
            yield inner


def param_groups(
    net: nn.Module,
    lr: float,
    *,
    weight_decay: float | None = None,
    layer_decay: float = 1.0,
    no_decay_on_norm_and_bias: bool = True,
) -> list[dict[str, Any]]:
    """Groups for a torch optimiser: {name, params, lr} and weight_decay where it is decided here; frozen tensors are left out.

    The head learns with `lr`, the last stage with lr · layer_decay, the one before with lr · layer_decay², down to the stem.
    Norms, biases and scalars get no weight decay; the rest gets `weight_decay`, or the optimiser's own (None).
    A module that is no ResNet is one layer. Raises SpecError.
    """
    if not lr > 0 or not 0 < layer_decay <= 1:
        raise SpecError(f"lr={lr} layer_decay={layer_decay}; lr is above 0, layer_decay above 0 and at most 1")
    inner = net.net if isinstance(net, Features) else net
    if layer_decay != 1 and not isinstance(inner, ResNet):
        raise SpecError(f"layer_decay={layer_decay} needs stages, and {type(net).__name__} is no ResNet; leave it out")
    stages = inner.stage_names if isinstance(inner, ResNet) else []
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in inner.named_parameters():
        if not parameter.requires_grad:
            continue
        depth = _layer(name, stages)
        still = no_decay_on_norm_and_bias and parameter.ndim <= NO_DECAY_DIMS
        label = ["stem", *stages, "head"][depth] if stages else "all"
        key = f"{label}, no decay" if still else label
        group = groups.setdefault(key, {"name": key, "params": [], "lr": lr * layer_decay ** (len(stages) + 1 - depth)})
        group["params"].append(parameter)
        if still:
            group["weight_decay"] = 0.0
        elif weight_decay is not None:
            group["weight_decay"] = weight_decay
    return list(groups.values())


def _layer(name: str, stages: list[str]) -> int:
    """0 for the stem, 1 for layer1, …, one more than the stages for the head."""
    part = name.partition(".")[0]
    if part in stages:
        return stages.index(part) + 1
    return 0 if part in ("conv1", "bn1") else len(stages) + 1
