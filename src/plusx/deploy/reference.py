"""The trained network in torch, the reference that every export is compared with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plusx.bundles import Bundle
from plusx.errors import SpecError
from plusx.images import Preprocessing, normalise
from plusx.nn import ResNet
from plusx.nn.engine import bundle_network
from plusx.nn.folding import fold_norm


class Reference:
    """The unfolded network with plusx's own preprocessing, in float32: uint8 (n, h, w, c) to logits."""

    def __init__(self, bundle: Bundle) -> None:
        self.net, self.pre = bundle_network(bundle), bundle.preprocessing

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return self.net(torch.from_numpy(normalise(images, self.pre))).numpy()


def folded(net: ResNet) -> ResNet:
    """The network with its norms folded into convolutions where a spec can describe that, else unchanged."""
    try:
        return fold_norm(net).eval()
    except SpecError:  # pre-activation and group norm; the engines fold what they can
        return net


class PreprocessedNetwork(nn.Module):
    """A network with its preprocessing: uint8 (n, h, w, c) to logits in float32; computes in `dtype`."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, pre: Preprocessing, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.net, self.dtype = net.to(dtype), dtype
        # (x · scale - mean) / std as (x - mean / scale) / (std / scale): exact for the integers that images are
        self.register_buffer("mean", torch.tensor([m / pre.scale for m in pre.mean])[None, :, None, None])
        self.register_buffer("std", torch.tensor([s / pre.scale for s in pre.std])[None, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        return self.net(((x - self.mean) / self.std).to(self.dtype)).to(torch.float32)
