"""Freezing, and parameter groups with their own learning rate and weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from plusx.analysis.feature_info import check_feature_name
from plusx.errors import SpecError
from plusx.graph import lower
from plusx.i18n import _
from plusx.nn.features import Features
from plusx.nn.resnet import ResNet
from plusx.nn.traversal import blocks

NO_DECAY_DIMS = 1
"""Tensors with at most so many axes are biases, norms and scalars."""


def freeze(net: ResNet | Features, until: str | None, norm: bool = True) -> None:
    """Freezes the network, in place, up to and including `until` (`stem`, `layer2`, `layer3.4`); the rest stays trainable.

    With `norm`, the batch norms of the frozen part stay in eval mode after `.train()` too, so their statistics do not change.
    None freezes nothing and undoes an earlier call. Raises GeometryError for an unknown name.
    """
    net = _network(net)
    if until is not None:
        check_feature_name(lower(net.spec), until)
    released, net.frozen_norms = net.frozen_norms, ()
    for name in released:
        net.get_submodule(name).train(net.training)
    net.requires_grad_(True)
    frozen = list(_parts_until(net, until))
    for _name, module in frozen:
        module.requires_grad_(False)
    if norm:
        net.frozen_norms = tuple(name for part, module in frozen for name in _norms(part, module))
        for name in net.frozen_norms:
            net.get_submodule(name).eval()


def _network(net: nn.Module) -> ResNet:
    found = net.net if isinstance(net, Features) else net
    if not isinstance(found, ResNet):
        raise SpecError(
            _("{kind} is not a network of plusx. Give freeze a ResNet, or what plusx.features returned.",
              kind=type(net).__name__)
        )  # fmt: skip
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
    """Groups for a torch optimiser: {name, params, lr}, and weight_decay where it is set here. Frozen tensors are not included.

    The head has the learning rate `lr`, the last stage lr · layer_decay, the one before it lr · layer_decay², and so on down to
    the stem. Norms, biases and scalars have no weight decay; the rest has `weight_decay`, or that of the optimiser (None).
    A module that is not a ResNet is a single layer. Raises SpecError.
    """
    if not lr > 0:
        raise SpecError(_("lr={lr} is not a learning rate. Give a number above 0.", lr=lr))
    if not 0 < layer_decay <= 1:
        raise SpecError(
            _("layer_decay={decay} is out of range. Give a number above 0 and at most 1.", decay=layer_decay)
        )
    inner = net.net if isinstance(net, Features) else net
    if layer_decay != 1 and not isinstance(inner, ResNet):
        raise SpecError(
            _("layer_decay={decay} needs stages, and {kind} is not a ResNet. Leave it out.",
              decay=layer_decay, kind=type(net).__name__)
        )  # fmt: skip
    stages = inner.stage_names if isinstance(inner, ResNet) and layer_decay != 1 else []
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in inner.named_parameters():
        if not parameter.requires_grad:
            continue
        depth = _layer(name, stages)
        undecayed = no_decay_on_norm_and_bias and parameter.ndim <= NO_DECAY_DIMS
        label = ["stem", *stages, "head"][depth] if stages else "all"
        key = f"{label}, no decay" if undecayed else label
        group = groups.setdefault(key, {"name": key, "params": [], "lr": lr * layer_decay ** (len(stages) + 1 - depth)})
        group["params"].append(parameter)
        if undecayed:
            group["weight_decay"] = 0.0
        elif weight_decay is not None:
            group["weight_decay"] = weight_decay
    return list(groups.values())


def _layer(name: str, stages: list[str]) -> int:
    """The depth of a tensor: 0 for the stem, 1 for layer1, …, one more than the number of stages for the head."""
    part = name.partition(".")[0]
    if part in stages:
        return stages.index(part) + 1
    return 0 if part in ("conv1", "bn1") else len(stages) + 1
