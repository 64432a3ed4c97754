"""`build`: from a line of text to a network, without paying for an initialisation that is overwritten."""

from __future__ import annotations

import gc
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plusx.errors import WeightsError
from plusx.graph import Graph, lower
from plusx.graph.lower import Network
from plusx.nn.init import initialise
from plusx.nn.resnet import ResNet
from plusx.nn.suggest import COUNTER, explain, shapes_of, some
from plusx.specs import ResNetSpec

log = logging.getLogger("plusx")

State = Mapping[str, Any]


def build(network: Network, weights: State | str | Path | None = None) -> ResNet:
    """The network, in training mode: freshly initialised, or with `weights` (a state dict or a file).

    Weights must fit exactly, with torchvision's names; those behind the cut of a cut net are named and left out.
    Raises SpecError, WeightsError.

    >>> build("resnet18 classes=10").fc.out_features
    10
    """
    if not isinstance(weights, Mapping | str | Path | None):
        raise WeightsError(f"weights={weights!r} is neither a state dict nor a file. plusx ships no trained weights.")
    graph = lower(network)
    warn_of_dying(graph.spec)
    with collector_paused():
        net = ResNet(graph)
        if weights is not None:
            state = read_state(weights) if isinstance(weights, str | Path) else copied(weights)
            assign(net, graph, fitting(state, graph))
            return net
    net.to_empty(device=torch.get_default_device())
    initialise(net)
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


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth state dict read without executing anything. Raises WeightsError."""
    require_file(path)
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own advice on how the file should have been written
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make torch and pickle raise nearly anything
        raise WeightsError(f"{path} {_why_unreadable(path)}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(
            f"{path} holds no state dict, tensors under their names. "
            "Save one: torch.save(model.state_dict(), 'weights.pth')."
        )
    return state


def require_file(path: str | Path) -> None:
    """Raises WeightsError for weights that are no file: a missing one, a folder, a name that other libraries know."""
    if Path(path).is_file():
        return
    if Path(path).is_dir():
        raise WeightsError(f"{path} is a folder, and a weights file is wanted. plusx.load reads bundles and runs.")
    if _NAME_OF_WEIGHTS.fullmatch(str(path)):
        raise WeightsError(
            f"weights={str(path)!r} is a name that torchvision or timm knows, and plusx ships no trained weights. "
            "Give a file that holds some, like weights='resnet50.pth'."
        )
    raise WeightsError(f"There is no weights file {path}. Give the path of a .safetensors or .pth file.")


_NAME_OF_WEIGHTS = re.compile(r"(?i)default|imagenet\w*|pretrained|true|[\w.]+_in(1|21|22)k\w*|\w+_weights\.\w+")
"""What is written there elsewhere: DEFAULT, IMAGENET1K_V2, ResNet50_Weights.DEFAULT, imagenet, a1_in1k."""


def _why_unreadable(path: Path) -> str:
    """What the first bytes say of a file that could not be read, and the way out."""
    size = path.stat().st_size
    if not size:
        return "is empty. Fetch it again."
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix == ".safetensors":
        return f"is no whole safetensors file ({size:,} bytes). Fetch it again."
    if start == b"PK" and not zipfile.is_zipfile(path):
        return f"is cut short or damaged ({size:,} bytes). Fetch it again."
    if start == b"PK" or start[:1] == b"\x80":
        return (
            "holds more than tensors, or is damaged, and plusx never runs what a file holds. "
            "Where you trust it, save its tensors alone: torch.save(model.state_dict(), 'weights.pth')."
        )
    return f"is no file of weights ({size:,} bytes that begin with {start!r}). Give a .safetensors or .pth file."


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
