"""Grad-CAM heat maps, whose cells are placed at the centres of their receptive fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plusx.analysis.feature_info import FeatureInfo, check_feature_name, feature_info
from plusx.errors import GeometryError, SpecError
from plusx.graph import lower
from plusx.i18n import _
from plusx.images.preprocessing import InputPlace
from plusx.nn.resnet import ResNet
from plusx.nn.single_use import single_use_activations
from plusx.nn.traversal import steps


@dataclass(frozen=True)
class Cam:
    """A heat map: `heat` (h, w) is 0 or more, and the field of cell (i, j) is centred at (start + i·stride, start + j·stride).

    `size_px` is the (h, w) of the input. The map explains the class `class_index`, whose probability is `p`.
    """

    at: str
    heat: NDArray[np.float32]
    info: FeatureInfo
    size_px: tuple[int, int]
    class_index: int
    p: float

    def placed(self) -> NDArray[np.float32]:
        """The heat at each pixel of the input, at most 1: linear between the centres of cells, constant outside them."""
        h, w = self.size_px
        return self.over(h, w, InputPlace((0.0, 0.0, float(w), float(h)), (h, w)))

    def over(self, h: int, w: int, place: InputPlace) -> NDArray[np.float32]:
        """The same at each pixel of an image (h, w), of which the input was the part at `place`; 0 outside that part."""
        left, top, right, bottom = place.box
        sides = ((h, top, bottom, self.size_px[0]), (w, left, right, self.size_px[1]))
        rows, columns = (
            _interpolation(side, low, high, to, n, self.info)
            for (side, low, high, to), n in zip(sides, self.heat.shape, strict=True)
        )
        heat = rows @ self.heat @ columns.T
        most = heat.max()
        return (heat / most if most > 0 else heat).astype(np.float32, copy=False)

    def peak(self) -> tuple[int, int]:
        """(row, column) of the hottest cell."""
        row, column = np.unravel_index(int(self.heat.argmax()), self.heat.shape)
        return int(row), int(column)

    def centre(self, cell: tuple[int, int]) -> tuple[float, float]:
        """(y, x) in pixels of the centre of a cell's receptive field; 0.5 is the centre of pixel 0."""
        return self.info.start + cell[0] * self.info.stride, self.info.start + cell[1] * self.info.stride

    def field(self, cell: tuple[int, int]) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a cell's local receptive field in pixels, which may extend beyond the image."""
        y, x = self.centre(cell)
        half = self.info.rf / 2
        return x - half, y - half, x + half, y + half


def _interpolation(side: int, low: float, high: float, to: int, cells: int, info: FeatureInfo) -> NDArray[np.float32]:
    """(side, cells): the weight of each cell at each pixel of an image whose pixels `low` to `high` were the input's `to`."""
    at = np.arange(side) + 0.5
    position = np.clip(((at - low) * to / (high - low) - info.start) / info.stride, 0, cells - 1)
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)))
    return (weights * ((at > low) & (at < high))[:, None]).astype(np.float32)


def grad_cam(net: ResNet, x: Tensor, at: str | None = None, class_index: int | None = None) -> Cam:
    """Grad-CAM of one image (1, c, h, w) for a class (default: the most probable) at a feature map (default: the last).

    heat = relu(Σ over channels of map · mean gradient of the class's logit) (arXiv 1610.02391, equations 1 and 2), in eval
    mode, on activations used once. Raises SpecError, GeometryError.
    """
    classes = net.spec.classes
    if not classes:
        raise SpecError(
            _("{spec} has no classes, and a heat map explains a class. Give a network with fc, or use new_head first.",
              spec=str(net.spec))
        )  # fmt: skip
    if x.ndim != 4 or x.shape[0] != 1:
        raise GeometryError(
            _("The input has the shape {shape}. Give a single image of the shape (1, {channels}, h, w).",
              shape=tuple(x.shape), channels=net.spec.in_channels)
        )  # fmt: skip
    if class_index is not None and not 0 <= class_index < classes:
        raise SpecError(
            _("class_index={index} is out of range for {classes} classes. Give 0 to {last}.",
              index=class_index, classes=classes, last=classes - 1)
        )  # fmt: skip
    at = check_feature_name(lower(net.spec), net.stage_names[-1] if at is None else at)
    with torch.inference_mode(False), torch.enable_grad():
        map_, logits = _run(single_use_activations(net).eval(), x, at)
        chosen = int(logits.argmax()) if class_index is None else class_index
        (gradient,) = torch.autograd.grad(logits[0, chosen], map_)
    heat = (gradient.mean((2, 3), keepdim=True) * map_).sum(1).relu()[0]
    p = float(logits.detach().softmax(1)[0, chosen])
    return Cam(at, heat.detach().float().cpu().numpy(), feature_info(net.spec, at), (x.shape[2], x.shape[3]), chosen, p)


def _run(net: ResNet, x: Tensor, at: str) -> tuple[Tensor, Tensor]:
    """The feature map `at`, as a leaf of the autograd graph, and the logits computed from it."""
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
