"""A network whose input is in pixel levels (0 to 255), as one whose input has about unit variance: OUT is its bundle.

    python benchmarks/_transfer_weights.py WEIGHTS OUT

Caffe's networks subtract a mean and divide by nothing. The kernels of their first convolution are then 57 times smaller, and
their gradients 57 times larger, than the learning rates of fastai, of PyTorch's tutorial and of everyone else are made for: both
diverge. Dividing the input and multiplying the kernels by ImageNet's standard deviations changes no output.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from plusx.bundles import save_bundle
from plusx.weights.opening import open_first_weights

STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
"""Of ImageNet's channels in levels: Preprocessing's own default."""


def main() -> None:
    source, out = sys.argv[1:3]
    first = open_first_weights(source)
    pre, tensors = first.preprocessing, dict(first.weights())
    if pre.scale == 1 and pre.std == (1, 1, 1):
        tensors["conv1.weight"] = tensors["conv1.weight"].astype(np.float32) * np.array(STD, np.float32)[:, None, None]
        mean, std = (tuple(value / 255 for value in values) for values in (pre.mean, STD))
        pre = replace(pre, scale=1 / 255, mean=mean, std=std)
    save_bundle(Path(out), first.spec, first.classes, pre, tensors, provenance=first.provenance)


if __name__ == "__main__":
    main()
