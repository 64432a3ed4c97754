"""Small checkpoint files of every kind, written by the libraries that users write them with."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from plusx.weights.containers import read
from plusx.weights.stored import StoredTensor


class Block(nn.Module):
    """A residual block with the layers whose facts a file can tell."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 2, 2, dilation=2, groups=4, bias=False)
        self.norm1 = nn.GroupNorm(4, channels, eps=1e-3)
        self.act = nn.LeakyReLU(0.25)
        self.down = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.stride = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm1(self.conv1(x))) + self.down(x)


class Net(nn.Module):
    """Stem, pool, a block, a head: a ResNet in small."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8, eps=2e-5)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def net() -> Net:
    """Living weights: no two tensors alike, running statistics away from their first values."""
    torch.manual_seed(0)
    made = Net()
    made.train()
    made(torch.randn(4, 3, 33, 33))
    return made.eval()


def bits(tensor: torch.Tensor) -> bytes:
    """The values of a tensor as they lie in memory, in order; bfloat16 and float8 as the float32 that they are."""
    plain = tensor.detach().contiguous()
    if plain.dtype == torch.bfloat16 or "float8" in str(plain.dtype):
        plain = plain.to(torch.float32)
    return plain.numpy().tobytes()


def expect(tree: Mapping[str, Any], wanted: Mapping[str, torch.Tensor]) -> None:
    """The same names in the same order, and each tensor the same bit for bit."""
    assert list(tree) == list(wanted)
    for name, tensor in wanted.items():
        found = tree[name]
        assert isinstance(found, StoredTensor), name
        assert found.shape == tuple(tensor.shape), name
        assert found.dtype == str(tensor.dtype).removeprefix("torch."), name
        values = found.array()
        assert values.shape == found.shape
        assert values.tobytes() == bits(tensor), name


def leaves(tree: Any) -> list[StoredTensor]:
    if isinstance(tree, StoredTensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [leaf for part in parts for leaf in leaves(part)]


def small_files(folder: Path) -> dict[str, bytes]:
    """One small file of each format, by format."""
    from safetensors.torch import save_file

    state = {
        "conv1.weight": torch.arange(54.0).reshape(2, 3, 3, 3),
        "bn1.weight": torch.ones(2, dtype=torch.float16),
        "bn1.num_batches_tracked": torch.tensor(3),
        "bn1.bias": torch.randn(4, generator=torch.Generator().manual_seed(0))[::2],
    }
    tiny = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU()).eval()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    writers: dict[str, Callable[[Path], Any]] = {
        "safetensors": lambda path: save_file({k: v.contiguous() for k, v in state.items()}, path, {"format": "pt"}),
        "zip": lambda path: torch.save({"state_dict": state, "epoch": 3}, path),
        "legacy": lambda path: torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=False),
        "model": lambda path: torch.save(tiny, path),
        "torchscript": lambda path: torch.jit.save(torch.jit.trace(tiny, torch.zeros(1, 1, 9, 9)), path),
        "export": lambda path: torch.export.save(torch.export.export(tiny, (torch.zeros(1, 1, 9, 9),)), path),
        "pickle": lambda path: path.write_bytes(pickle.dumps({"model": arrays}, protocol=2)),
        "pickle of tensors": lambda path: path.write_bytes(pickle.dumps(state, protocol=4)),
        "paddle": lambda path: path.write_bytes(
            pickle.dumps({**arrays, "StructuredToParameterName@@": {name: name for name in arrays}}, protocol=4)
        ),
        "npz": lambda path: np.savez(path, **arrays),
        "deflated zip": lambda path: repack(path, state),
    }
    out = {}
    for name, write in writers.items():
        path = folder / f"{name.replace(' ', '_')}{'.npz' if name == 'npz' else '.pt2' if name == 'export' else '.bin'}"
        write(path)
        out[name] = path.read_bytes()
        read(path)
    return out


def repack(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """A torch zip as someone's archiver packs it again: with compression."""
    plain = path.with_suffix(".plain")
    torch.save(dict(state), plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in source.namelist():
            out.writestr(name, source.read(name))
