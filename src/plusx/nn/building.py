"""`build`: a network from words. With weights, no time is spent on an initialisation."""

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
from plusx.i18n import Message, _
from plusx.names.shapes import COUNTER, explain, shapes_of, shortened
from plusx.nn.init import initialise
from plusx.nn.resnet import ResNet
from plusx.specs import ResNetSpec

log = logging.getLogger("plusx")

State = Mapping[str, Any]


def build(network: Network, weights: State | str | Path | None = None) -> ResNet:
    """The network in training mode, freshly initialised or with `weights` (a state dict or a file).

    The weights need torchvision's names and exactly the shapes of the network. Those behind the end of a network with `until`
    are skipped and logged. Raises SpecError, WeightsError.

    >>> build("resnet18 classes=10").fc.out_features
    10
    """
    if not isinstance(weights, Mapping | str | Path | None):
        raise WeightsError(
            _("weights={weights!r} is neither a state dict nor a file. Give one of them; plusx ships no trained weights.",
              weights=weights)
        )  # fmt: skip
    graph = lower(network)
    warn_of_mul(graph.spec)
    with garbage_collection_paused():
        net = ResNet(graph)
        if weights is not None:
            state = read_state(weights) if isinstance(weights, str | Path) else copied(weights)
            assign(net, graph, matching_tensors(state, graph))
            return net
    net.to_empty(device=torch.get_default_device())
    initialise(net)
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


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth state dict read without executing anything. Raises WeightsError."""
    require_file(path)
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about how the file was written
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # corrupt files make torch and pickle raise nearly any exception
        raise WeightsError(_why_unreadable(path)) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(
            _("{path} holds no state dict. Save one with torch.save(model.state_dict(), 'weights.pth').", path=path)
        )
    return state


def require_file(path: str | Path) -> None:
    """Raises WeightsError where the path of weights is not a file: it is missing, a folder, or a name from another library."""
    if Path(path).is_file():
        return
    if Path(path).is_dir():
        raise WeightsError(
            _("{path} is a folder, not a weights file. Use plusx.load for bundles and training runs.", path=path)
        )
    if _NAME_OF_WEIGHTS.fullmatch(str(path)):
        raise WeightsError(
            _("weights={name!r} is a name of torchvision or timm, and plusx ships no trained weights. "
              "Give a file, like weights='resnet50.pth'.", name=str(path))
        )  # fmt: skip
    raise WeightsError(_("There is no weights file {path}. Give the path of a .safetensors or .pth file.", path=path))


_NAME_OF_WEIGHTS = re.compile(r"(?i)default|imagenet\w*|pretrained|true|[\w.]+_in(1|21|22)k\w*|\w+_weights\.\w+")
"""Names that other libraries take: DEFAULT, IMAGENET1K_V2, ResNet50_Weights.DEFAULT, imagenet, a1_in1k."""


def _why_unreadable(path: Path) -> Message:
    """The message for a file that could not be read, by its first bytes."""
    size = path.stat().st_size
    if not size:
        return _("{path} is empty. Fetch it again.", path=path)
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix == ".safetensors":
        return _("{path} is not a complete safetensors file ({size:,} bytes). Fetch it again.", path=path, size=size)
    if start == b"PK" and not zipfile.is_zipfile(path):
        return _("{path} is truncated or corrupt ({size:,} bytes). Fetch it again.", path=path, size=size)
    if start == b"PK" or start[:1] == b"\x80":
        return _(
            "{path} holds more than tensors, or is corrupt, and plusx never executes what a file holds. If you trust the file, "
            "save its tensors alone with torch.save(model.state_dict(), 'weights.pth').",
            path=path,
        )
    return _(
        "{path} is not a weights file ({size:,} bytes that start with {start!r}). Give a .safetensors or .pth file.",
        path=path, size=size, start=start,
    )  # fmt: skip


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
    if not part.removeprefix("layer").isdigit():
        return False
    stage = int(part.removeprefix("layer"))
    if stage != len(graph.stages):
        return stage > len(graph.stages)
    number = rest.partition(".")[0]
    return number.isdigit() and int(number) >= len(graph.stages[-1].blocks)
