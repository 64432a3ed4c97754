"""New networks that hold the tensors of old ones, on which `surgery` is built."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from plusx.errors import WeightsError
from plusx.graph import lower
from plusx.i18n import _
from plusx.nn.init import initialise_modules
from plusx.nn.resnet import ResNet
from plusx.nn.single_use import is_single_use, split_activations
from plusx.specs import ResNetSpec

NORM_SETTINGS = ("eps", "momentum")
"""Numbers of a norm that the user may have set."""


def transplant(net: ResNet, spec: ResNetSpec, made: Mapping[str, Tensor] | None = None) -> ResNet:
    """A network of `spec` with the tensors of `made`, and for all other keys with those of `net`, which are not copied.

    Training mode, frozen tensors and norms, preprocessing and single-use activations are kept.
    Raises WeightsError when a module of `net` was replaced, so that its spec no longer describes it.
    """
    graph = lower(spec)
    new, made = ResNet(graph), made or {}
    modules = dict(new.named_modules())
    held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    for key, tensor in graph.tensors():
        value = made.get(key, held.get(key))
        if value is None or tuple(value.shape) != tensor.shape:
            raise WeightsError(
                _("{key} has the shape {found} in this network and {wanted} in its spec, so a module was replaced. "
                  "Change networks with new_head, adapt_input or add_gates, which keep .spec correct.",
                  key=key, found=_("none") if value is None else list(value.shape), wanted=list(tensor.shape))
            )  # fmt: skip
        if tensor.trained and not isinstance(value, nn.Parameter):
            value = nn.Parameter(value)
        path, _dot, name = key.rpartition(".")
        setattr(modules[path], name, value)
    _carry_flags(net, new)
    return new


def _carry_flags(net: ResNet, new: ResNet) -> None:
    old = dict(net.named_modules())
    for name, module in new.named_modules():
        module.training = old[name].training if name in old else net.training
        for number in NORM_SETTINGS:
            if hasattr(module, number) and hasattr(old.get(name), number):
                setattr(module, number, getattr(old[name], number))
    norms = dict(new.named_modules())
    new.frozen_norms = tuple(
        name for name in net.frozen_norms if name in norms and hasattr(norms[name], "running_mean")
    )
    new.preprocessing = net.preprocessing
    if is_single_use(net):
        split_activations(new)


def fresh(net: ResNet, spec: ResNetSpec, *prefixes: str) -> dict[str, Tensor]:
    """Newly initialised tensors of `spec` whose keys start with one of `prefixes`, on the device and in the type of `net`."""
    template = ResNet(lower(spec))
    like = next(net.parameters(), None)
    made: dict[str, Tensor] = {}
    for name, module in template.named_modules():
        if name and any(name == prefix or name.endswith(f".{prefix}") for prefix in prefixes):
            module.to_empty(device=None if like is None else like.device)
            initialise_modules(module)
            module.to(dtype=None if like is None else like.dtype)
            made |= {f"{name}.{key}": value for key, value in module.state_dict(keep_vars=True).items()}
    return made
