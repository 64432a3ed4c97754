"""What a reader returns: the tensors of a file as it stores them, and what the file says about its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from plusx.weights.hub.fetching import FetchedWeights


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that stays in its file until `array` is called; shape and type are checked against the file's size before."""

    shape: tuple[int, ...]
    dtype: str
    """numpy's name of the stored type (`float32`, `int64`, …), or `bfloat16`, `float8_e4m3fn`, …"""
    load: Callable[[], NDArray[Any]]
    """Reads the values, little-endian, C order; bfloat16 comes back as float32 (exact)."""

    def array(self) -> NDArray[Any]:
        return np.asarray(self.load())


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What the file itself says of one layer, in torch's vocabulary, whatever wrote it.

    `kind` is torch's class name where there is one (`Conv2d`, `BatchNorm2d`, `GroupNorm`, `ReLU`, `MaxPool2d`, …), else the
    file's own. `attributes` are torch's: stride, padding, dilation, groups, eps, num_groups, kernel_size, ceil_mode, ….
    """

    kind: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StoredFile:
    """A checkpoint file as it is: nothing renamed, nothing executed."""

    path: Path
    container: str
    """safetensors, torch zip, torch legacy, torchscript, torch.export, pickle, npz, hdf5, keras, onnx, caffe, paddle."""
    tree: Any
    """Nested dicts and lists of StoredTensor, plain values and inert records; flat dicts where the format is flat."""
    layers: Mapping[str, LayerFacts] = field(default_factory=dict)
    """Module path (as in the tensors' names) to what the file says of it; empty where the file holds tensors alone."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Text that the format stores beside the tensors (safetensors `__metadata__`, ONNX producer, Keras config, …)."""
    fetched: FetchedWeights | None = None
    """The name by which the file was asked for, and what is known of it; None for a file that was named by its path."""
