"""The mistakes of a finished run as small images with heat maps, for its report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.bundles import Bundle, open_bundle
from plusx.data import Data
from plusx.errors import DataError
from plusx.images import input_place, normalise, resize_crop
from plusx.images.thumbnail import PIXEL_ART_PX, thumbnail
from plusx.metrics.mistakes import MOST, Mistake
from plusx.nn import ResNet, build
from plusx.nn.cam import grad_cam
from plusx.nn.cam_image import cam_image
from plusx.reports.mistakes import MistakeRow, read_mistakes, write_mistakes
from plusx.training.events import Event, Finished

SECONDS = 20.0
"""Heat maps are computed for so long; the mistakes without one are not shown."""
SMALL_PX = 112
"""The side to which tiny images are enlarged under their heat map, which is finer than their pixels."""


class MistakesFile:
    """Writes RUN/mistakes.json when a training has ended. It comes before the sink that writes the report."""

    def __init__(self, run: Path, val: Data) -> None:
        self.run, self.val = run, val

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Finished) or event.reason not in ("done", "early stop"):
            return  # who interrupts a training does not want to wait
        found: list[dict[str, Any]] = (event.kept or {}).get("mistakes", [])
        if not found or event.bundle is None:
            return
        bundle = open_bundle(event.bundle)
        if not read_mistakes(self.run, bundle.weights_sha256):
            rows = mistake_rows([Mistake(**each) for each in found], self.val, bundle)
            write_mistakes(self.run, bundle.weights_sha256, rows)


def mistake_rows(mistakes: list[Mistake], val: Data, bundle: Bundle, seconds: float = SECONDS) -> list[MistakeRow]:
    """The mistakes of a bundle's network on `val`, each with its image and heat map; unreadable images are missing."""
    until, net = time.monotonic() + seconds, build(bundle.spec, bundle.weights())
    rows: list[MistakeRow] = []
    for number, each in enumerate(mistakes):
        if time.monotonic() > until:
            break
        try:
            image = val.read(each.image, bundle.preprocessing.mode, bundle.preprocessing.decode_px)
        except DataError:
            continue
        names = val.classes[each.label], val.classes[each.predicted]
        pair = thumbnail(image), _heat_map(net, image, each.predicted, bundle)
        figures = each.p_label, each.p_predicted, each.nll
        rows.append(MistakeRow(val.path(each.image), *names, *figures, *pair, worst=number < MOST))
    return rows


def _heat_map(net: ResNet, image: NDArray[np.uint8], class_index: int, bundle: Bundle) -> str:
    """The whole image under the heat map for a class, as a data URI."""
    pre, (h, w) = bundle.preprocessing, image.shape[:2]
    cam = grad_cam(net, torch.from_numpy(normalise(resize_crop(image, pre)[None], pre)), class_index=class_index)
    factor = 1 if max(h, w) > PIXEL_ART_PX else -(-SMALL_PX // max(h, w))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return thumbnail(np.asarray(cam_image(large, cam, input_place(h, w, pre).times(factor))))
