"""Checkpoints in memory: what a reader returns, made from dicts of torch tensors or arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchvision

from living import enliven
from plusx.weights.stored import StoredFile, StoredTensor


def leaf(tensor):
    if isinstance(tensor, torch.Tensor):
        array = tensor.detach().float().numpy() if tensor.dtype == torch.bfloat16 else tensor.detach().numpy()
        return StoredTensor(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), lambda: array)
    return StoredTensor(tuple(tensor.shape), str(tensor.dtype), lambda: tensor)


def tree(value):
    if isinstance(value, torch.Tensor | np.ndarray):
        return leaf(value)
    if isinstance(value, dict):
        return {key: tree(entry) for key, entry in value.items()}
    return [tree(entry) for entry in value] if isinstance(value, list) else value


def stored(content, container="torch zip", name="file.pth", layers=None, metadata=None):
    return StoredFile(Path(name), container, tree(content), layers or {}, metadata or {})


def net(name="resnet18", seed=0, **options):
    """torchvision's network with living statistics."""
    torch.manual_seed(seed)
    return enliven(getattr(torchvision.models, name)(**options), seed)


def pre(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def outputs(translation, x):
    """What plusx's network computes with translated tensors."""
    import plusx

    with torch.inference_mode():
        return plusx.build(translation.spec, translation.tensors).eval()(x)
