"""`build`: a network from words. With weights, no time is spent on an initialisation."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plusx.errors import WeightsError
from plusx.graph import Graph, lower
from plusx.graph.lower import Network
from plusx.i18n import _
from plusx.names.shapes import COUNTER, explain, shapes_of, shortened
from plusx.nn.init import initialise
from plusx.nn.resnet import ResNet
from plusx.specs import ResNetSpec

log = logging.getLogger("plusx")

State = Mapping[str, Any]


def build(network: Network, weights: State | None = None) -> ResNet:
    """The network in training mode, freshly initialised or with copies of the tensors in `weights`.

    The weights need torchvision's names and exactly the shapes of the network. Those behind the end of a network with `until`
    are skipped and logged. `plusx.build` takes files as well. Raises SpecError, WeightsError.

    >>> build("resnet18 classes=10").fc.out_features
    10
    """
    graph = lower(network)
    warn_of_mul(graph.spec)
    if weights is not None:
        return holding(graph, copied(weights))
    with garbage_collection_paused():
        net = ResNet(graph)
    net.to_empty(device=torch.get_default_device())
    initialise(net)
    return net


def holding(graph: Graph, state: dict[str, Tensor]) -> ResNet:
    """The network of `graph` with these very tensors, not copies. Raises WeightsError where they do not fit."""
    with garbage_collection_paused():
        net = ResNet(graph)
        assign(net, graph, matching_tensors(state, graph))
    return net


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """No garbage collection inside: it would walk over thousands of new modules many times, and all of them are kept."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def assign(net: ResNet, graph: Graph, state: dict[str, Tensor]) -> None:
    """Assigns checked tensors to the network. load_state_dict with assign=True does the same and is five times slower."""
    modules = dict(net.named_modules())
    for key, tensor in graph.tensors():
        path, _dot, name = key.rpartition(".")
        setattr(modules[path], name, torch.nn.Parameter(state[key]) if tensor.trained else state[key])


def warn_of_mul(spec: ResNetSpec) -> None:
    """Warns of a deep network with join=mul, whose signal vanishes."""
    if spec.join == "mul" and sum(spec.depths) > 4:
        text = _(
            "join=mul multiplies F(x) with x, and its signal vanishes in deep networks ({blocks} blocks here). "
            "Use join=modulate.",
            blocks=sum(spec.depths),
        )
        warnings.warn(text, stacklevel=3)


def copied(state: State) -> dict[str, Tensor]:
    """Copies, so that training the network does not change the caller's tensors."""
    return {
        key: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value.detach().clone()
        for key, value in state.items()
    }


def matching_tensors(state: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
    """The tensors that the graph needs, checked by name and shape. Raises WeightsError, which names a compatible spec."""
    wanted = dict(graph.tensors())
    taken: dict[str, Tensor] = {}
    missing: list[str] = []
    differing: list[str] = []
    for key, tensor in wanted.items():
        if key not in state:
            if tensor.name.endswith(COUNTER):  # files from before torch 0.4.1 have none
                taken[key] = torch.tensor(0)
            else:
                missing.append(key)
            continue
        found = state[key]
        if tuple(found.shape) != tensor.shape:
            differing.append(key)
        half = found.is_floating_point() and found.dtype in (torch.float16, torch.bfloat16)
        taken[key] = found.float() if half else found
    unexpected = _unexpected([key for key in state if key not in wanted], graph)
    if missing or differing or unexpected:
        raise WeightsError(explain(shapes_of(state), graph, missing, differing, unexpected))
    return taken


def _unexpected(extra: list[str], graph: Graph) -> list[str]:
    """The keys that the network does not have. Keys behind the end of a network with `until` are logged and removed."""
    if graph.spec.until is None:
        return extra
    tail = {key for key in extra if _behind_cut(key, graph)}
    if tail:
        log.info("skipped, behind until=%s: %s", graph.spec.until, shortened(sorted(tail)))
    return [key for key in extra if key not in tail]


def _behind_cut(key: str, graph: Graph) -> bool:
    """Whether a key belongs to a part behind the end of the network: a later block or stage, or the head."""
    part, _, rest = key.partition(".")
    if part in ("fc", "norm"):
        return True
    if not part.removeprefix("layer").isdecimal():
        return False
    stage = int(part.removeprefix("layer"))
    if stage != len(graph.stages):
        return stage > len(graph.stages)
    number = rest.partition(".")[0]
    return number.isdecimal() and int(number) >= len(graph.stages[-1].blocks)
