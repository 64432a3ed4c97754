"""`build`: from a line of text to a network, without paying for an initialisation that is overwritten."""

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
from plusx.names.shapes import COUNTER, explain, shapes_of, some
from plusx.nn.init import initialise
from plusx.nn.resnet import ResNet
from plusx.specs import ResNetSpec

log = logging.getLogger("plusx")

State = Mapping[str, Any]


def build(network: Network, weights: State | None = None) -> ResNet:
    """The network, in training mode: freshly initialised, or with copies of the tensors in `weights`.

    They must fit exactly, with torchvision's names; those behind the cut of a cut net are named and left out.
    `plusx.build` takes files as well. Raises SpecError, WeightsError.

    >>> build("resnet18 classes=10").fc.out_features
    10
    """
    graph = lower(network)
    warn_of_dying(graph.spec)
    if weights is not None:
        return holding(graph, copied(weights))
    with collector_paused():
        net = ResNet(graph)
    net.to_empty(device=torch.get_default_device())
    initialise(net)
    return net


def holding(graph: Graph, state: dict[str, Tensor]) -> ResNet:
    """The network of `graph` with these very tensors, not copies. Raises WeightsError where they do not fit."""
    with collector_paused():
        net = ResNet(graph)
        assign(net, graph, fitting(state, graph))
    return net


@contextmanager
def collector_paused() -> Iterator[None]:
    """Inside, no garbage is looked for: thousands of modules that all stay would have the whole heap walked many times."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def assign(net: ResNet, graph: Graph, state: dict[str, Tensor]) -> None:
    """Puts checked tensors into the net as they are (load_state_dict with assign=True does so too, five times slower)."""
    modules = dict(net.named_modules())
    for key, tensor in graph.tensors():
        path, _, name = key.rpartition(".")
        setattr(modules[path], name, torch.nn.Parameter(state[key]) if tensor.trained else state[key])


def warn_of_dying(spec: ResNetSpec) -> None:
    if spec.join == "mul" and sum(spec.depths) > 4:
        text = f"join=mul multiplies F(x) with x and dies in deep nets ({sum(spec.depths)} blocks here); join=modulate stays alive"
        warnings.warn(text, stacklevel=3)


def copied(state: State) -> dict[str, Tensor]:
    """Own copies, so that training the network leaves the caller's tensors alone."""
    return {
        key: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value.detach().clone()
        for key, value in state.items()
    }


def fitting(state: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
    """Exactly the tensors that the graph needs, checked by name and shape. Raises WeightsError, which says what would fit."""
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
    strangers = _strangers([key for key in state if key not in wanted], graph)
    if missing or differing or strangers:
        raise WeightsError(explain(shapes_of(state), graph, missing, differing, strangers))
    return taken


def _strangers(extra: list[str], graph: Graph) -> list[str]:
    """The keys that are not only behind the cut of a cut net; those are named in the log."""
    if graph.spec.until is None:
        return extra
    tail = {key for key in extra if _behind_cut(key, graph)}
    if tail:
        log.info("left out, behind until=%s: %s", graph.spec.until, some(sorted(tail)))
    return [key for key in extra if key not in tail]


def _behind_cut(key: str, graph: Graph) -> bool:
    """Whether a key belongs to what the cut left out: a later block or stage, or the head."""
    part, _, rest = key.partition(".")
    if part in ("fc", "norm"):
        return True
    if not part.removeprefix("layer").isdigit():
        return False
    stage = int(part.removeprefix("layer"))
    if stage != len(graph.stages):
        return stage > len(graph.stages)
    number = rest.partition(".")[0]
    return number.isdigit() and int(number) >= len(graph.stages[-1].blocks)
