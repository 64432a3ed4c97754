"""The oracle of the networks that run in the page: plusx's torch network, its blocks computed by hand with scales."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

import plusx
from plusx.nn.resnet import ResNet

NETS = Path(plusx.__file__).parent / "explorer/page/live/nets"
CATALOGUE: dict[str, Any] = json.loads((NETS / "nets.json").read_text(encoding="utf-8"))
BLOCKS = [place["name"] for place in CATALOGUE["places"][1:]]
N = len(BLOCKS)


class Lesion:
    """`shortcut` holds where a residual network's shortcuts are scaled; a plain one has none. Dropped blocks pass x on."""

    def __init__(self) -> None:
        self.branch, self.shortcut, self.order = [1.0] * N, [1.0] * N, list(range(N))
        self.dropped: set[int] = set()

    def cut(self, name: str) -> Lesion:
        self.shortcut[BLOCKS.index(name)] = 0.0
        return self

    def drop(self, name: str) -> Lesion:
        self.dropped.add(BLOCKS.index(name))
        return self

    def scale(self, name: str, factor: float) -> Lesion:
        self.branch[BLOCKS.index(name)] = factor
        return self

    def swap(self, first: str, second: str) -> Lesion:
        i, j = BLOCKS.index(first), BLOCKS.index(second)
        self.order[i], self.order[j] = self.order[j], self.order[i]
        return self


@cache
def network(name: str) -> ResNet:
    """The shipped network in torch, from the same file that the page loads."""
    weights = {key: array.astype(np.float32) for key, array in load_file(NETS / f"{name}.safetensors").items()}
    net = plusx.build(CATALOGUE["nets"][name]["network"])
    missing, unexpected = net.load_state_dict({key: torch.from_numpy(a) for key, a in weights.items()}, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    return net.eval()


@torch.inference_mode()
def torch_maps(name: str, images: Tensor, lesion: Lesion) -> dict[str, Tensor]:
    """Every map and the logits of the network with a lesion."""
    net = network(name)
    blocks = [block for stage in net.stage_names for block in getattr(net, stage)]
    found = {"stem": (x := net.forward_stem(images))}
    for i, place in enumerate(BLOCKS):
        block: Any = blocks[lesion.order[i]]
        narrow = option_a(x, block.conv1.in_channels, block.conv2.out_channels)
        if i in lesion.dropped:
            x = narrow
        else:
            branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x))))) * lesion.branch[i]
            x = torch.relu(branch if "plain" in name else branch + narrow * lesion.shortcut[i])
        found[place] = x
    found["logits"] = net.forward_head(x)
    return found


def option_a(x: Tensor, c_in: int, c_out: int) -> Tensor:
    """arXiv 1512.03385, section 3.3, A: every second cell, and zeros in the new channels."""
    if c_in == c_out:
        return x
    cells = x[:, :, ::2, ::2]
    return torch.cat([cells, torch.zeros(len(x), c_out - c_in, *cells.shape[2:])], 1)


def torch_correct(name: str, lesion: Lesion) -> tuple[int, float]:
    """How many of the shipped images the network classifies correctly, and the smallest margin between two logits."""
    images, labels = shipped(CATALOGUE["nets"][name]["data"])
    logits = torch.cat([torch_maps(name, part, lesion)["logits"] for part in torch.from_numpy(images).split(50)])
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return int((logits.argmax(1).numpy() == labels).sum()), float((first - second).min())


@cache
def shipped(data: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The shipped images as the networks read them (n, 1, h, w), and their labels."""
    info = CATALOGUE["data"][data]
    pixels, labels = (read_idx(NETS / info[which]["file"]) for which in ("images", "labels"))
    return ((pixels[:, None] / np.float32(255) - info["mean"]) / info["std"]).astype(np.float32), labels


def read_idx(path: Path) -> NDArray[np.uint8]:
    raw = path.read_bytes()
    sides = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(sides)).reshape(sides)


def stored_files() -> Iterator[dict[str, Any]]:
    """Every {file, bytes, sha256} of nets.json."""
    yield CATALOGUE["graph"]
    for net in CATALOGUE["nets"].values():
        yield net["weights"]
    for data in CATALOGUE["data"].values():
        yield from (data["images"], data["labels"])
