"""Where a network looks: Grad-CAM, each cell placed where the network's geometry says that it looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plusx.analysis.feature_info import FeatureInfo, check_place, feature_info
from plusx.errors import GeometryError, SpecError
from plusx.graph import lower
from plusx.nn.resnet import ResNet
from plusx.nn.single_use import single_use_activations
from plusx.nn.traversal import steps


@dataclass(frozen=True)
class Cam:
    """A heat map in cells: `heat` (h, w), 0 or more; cell (i, j) looks at pixel (start + i·stride, start + j·stride).

    `size_px` is the (h, w) of the input; `class_index` was explained and has probability `p`.
    """

    at: str
    heat: NDArray[np.float32]
    info: FeatureInfo
    size_px: tuple[int, int]
    class_index: int
    p: float

    def placed(self) -> NDArray[np.float32]:
        """The heat at each pixel of the input, scaled to at most 1: linear between the centres, constant beyond the outer ones."""
        rows, columns = (_centred(side, n, self.info) for side, n in zip(self.size_px, self.heat.shape, strict=True))
        heat = rows @ self.heat.astype(np.float64) @ columns.T
        most = heat.max()
        return (heat / most if most > 0 else heat).astype(np.float32)

    def peak(self) -> tuple[int, int]:
        """(row, column) of the hottest cell."""
        row, column = np.unravel_index(int(self.heat.argmax()), self.heat.shape)
        return int(row), int(column)

    def centre(self, cell: tuple[int, int]) -> tuple[float, float]:
        """(y, x) in pixels of the point that a cell looks at; 0.5 is the centre of pixel 0."""
        return self.info.start + cell[0] * self.info.stride, self.info.start + cell[1] * self.info.stride

    def field(self, cell: tuple[int, int]) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a cell's local field in pixels, which may reach beyond the image."""
        y, x = self.centre(cell)
        half = self.info.rf / 2
        return x - half, y - half, x + half, y + half


def _centred(side: int, cells: int, info: FeatureInfo) -> NDArray[np.float64]:
    """(side, cells): what each cell contributes to each pixel."""
    place = np.clip((np.arange(side) + 0.5 - info.start) / info.stride, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells)))


def grad_cam(net: ResNet, x: Tensor, at: str | None = None, class_index: int | None = None) -> Cam:
    """Grad-CAM of one image (1, c, h, w) at a place, by default the last map, for a class, by default the likeliest.

    heat = relu(Σ over channels of map · mean gradient of the class's logit) (arXiv 1610.02391, equations 1 and 2), in eval
    mode, on activations used once. Raises SpecError, GeometryError.
    """
    classes = net.spec.classes
    if not classes:
        raise SpecError(
            f"{net.spec} names no classes, and a heat map explains one; give a network with fc (new_head makes one)"
        )
    if x.ndim != 4 or x.shape[0] != 1:
        raise GeometryError(f"an input of {list(x.shape)}; one image at a time, (1, {net.spec.in_channels}, h, w)")
    if class_index is not None and not 0 <= class_index < classes:
        raise SpecError(f"class {class_index} of a network with {classes}; give 0 to {classes - 1}")
    at = check_place(lower(net.spec), net.stage_names[-1] if at is None else at)
    with torch.inference_mode(False), torch.enable_grad():
        map_, logits = _run(single_use_activations(net).eval(), x, at)
        chosen = int(logits.argmax()) if class_index is None else class_index
        (gradient,) = torch.autograd.grad(logits[0, chosen], map_)
    heat = (gradient.mean((2, 3), keepdim=True) * map_).sum(1).relu()[0]
    p = float(logits.detach().softmax(1)[0, chosen])
    return Cam(at, heat.detach().float().cpu().numpy(), feature_info(net.spec, at), (x.shape[2], x.shape[3]), chosen, p)


def _run(net: ResNet, x: Tensor, at: str) -> tuple[Tensor, Tensor]:
    """The map at `at`, as a leaf of the graph, and the logits computed from it."""
    found = x
    with torch.no_grad():
        walk = list(steps(net))
        last = next(i for i, (names, _) in enumerate(walk) if at in names)
        for _, step in walk[: last + 1]:
            found = step(found)
    found = x = found.detach().requires_grad_()
    for _, step in walk[last + 1 :]:
        x = step(x)
    return found, net.forward_head(x)
