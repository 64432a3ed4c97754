"""One version of a model: an opened bundle, its engine, its queue, and what clients are told about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plusx.bundles import open_bundle
from plusx.errors import DataError
from plusx.i18n import Message, _
from plusx.images import input_place, resize_crop
from plusx.runtime.class_maps import ClassMaps
from plusx.runtime.engines import AUTO, EngineOptions, open_engine
from plusx.runtime.lowering import output_name
from plusx.runtime.planning import choose_plan
from plusx.serving.batching import Batcher, warm_up
from plusx.serving.limits import Limits

INPUT = "images"
PROBABILITIES = "probabilities"


def _ignore(*_values: object) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class ServingOptions:
    """How models are computed. `report` takes lines for the server's log; `on_batch` name, version and size of each batch."""

    engine: EngineOptions = AUTO
    exact_decode: bool = False
    limits: Limits = field(default_factory=Limits)
    report: Callable[[Message], None] = _ignore
    on_batch: Callable[[str, int, int], None] = _ignore


class ServedModel:
    """A bundle that is ready to compute. Raises BundleError, SpecError, MissingExtra, DataError, Refusal while it is made."""

    def __init__(self, name: str, version: int, path: Path, options: ServingOptions) -> None:
        self.name, self.version = name, version
        self.bundle = open_bundle(path)
        if not self.bundle.classes:
            raise DataError(_("{path} has no classes to predict. plusx embed gives its feature vectors.", path=path))
        self.pre, self.classes = self.bundle.preprocessing, self.bundle.classes
        engine = open_engine(self.bundle, choose_plan(self.bundle, options.engine))
        self.plan = engine.plan
        self.batcher = Batcher(
            engine,
            self.pre,
            most_waiting=options.limits.queue,
            most_pixels=options.limits.pixels,
            exact_decode=options.exact_decode,
            report=options.report,
            on_batch=lambda size: options.on_batch(name, version, size),
        )
        self._maps: ClassMaps | None = None
        self._maps_lock = threading.Lock()
        try:
            warm_up(self.batcher)
        except BaseException:
            self.close()
            raise

    @property
    def input_shape(self) -> list[int]:
        """[n, h, w, c] with -1 for what is open, as the exported networks have it."""
        side = self.pre.crop_px or -1
        return [-1, side, side, self.pre.channels]

    @property
    def outputs(self) -> tuple[str, str]:
        """The names of the outputs: logits, as the exported networks give them, and their softmax."""
        return output_name(self.bundle.spec), PROBABILITIES

    def metadata(self, versions: list[int]) -> dict[str, Any]:
        """The model's metadata in the protocol's words."""
        pre = self.pre
        outputs = [{"name": name, "datatype": "FP32", "shape": [-1, len(self.classes)]} for name in self.outputs]
        return {
            "name": self.name,
            "versions": [str(version) for version in versions],
            "platform": f"plusx_{self.plan.engine}",
            "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": self.input_shape}],
            "outputs": outputs,
            "parameters": {
                "network": str(self.bundle.spec),
                "precision": self.plan.precision,
                "weights_sha256": self.bundle.weights_sha256,
                "preprocessing": pre.to_dict(),
                "classes": list(self.classes),
            },
        }

    def heat_map(self, raw: bytes, class_index: int) -> dict[str, Any]:
        """The heat map of a class over an image file: rows of cells, and where they lie on the upright image.

        Places are shares of the image's height and width: `at` is (y, x) of the centre of the first cell, `step` the distance
        to the next, `box` the (left, top, right, bottom) that the network sees. Raises DataError, MissingExtra, SpecError.
        """
        pixels = self.batcher.pixels(raw)
        with self._maps_lock:
            if self._maps is None:
                self._maps = ClassMaps(self.bundle, self.plan.threads)
            heat = self._maps.heat(resize_crop(pixels, self.pre), class_index)
        h, w = pixels.shape[:2]
        place = input_place(h, w, self.pre)
        start, step = self._maps.info.start, self._maps.info.stride
        (y0, x0), (y1, x1) = place.at(start, start), place.at(start + step, start + step)
        return {
            "box": [side / whole for side, whole in zip(place.box, (w, h, w, h), strict=True)],
            "at": [y0 / h, x0 / w],
            "step": [(y1 - y0) / h, (x1 - x0) / w],
            "heat": [[round(float(value), 6) for value in row] for row in heat],
        }

    def close(self) -> None:
        """What waits is computed, then the threads end."""
        self.batcher.close()
