"""torch.export: model.pt2, for programs that have torch anyway, and for AOTInductor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.deploy.proof_images import Images
from plusx.deploy.reference import Served, folded, network_of

if TYPE_CHECKING:
    from plusx.deploy.proof import Network
    from plusx.deploy.targets import Source

MODEL = "model.pt2"
_ANY_SIZE = 96
"""Side of the example image where height and width stay open."""


def write(source: Source, folder: Path, calibration: Images | None) -> None:
    dtype = torch.bfloat16 if source.precision == "bf16" else torch.float32
    served = Served(folded(network_of(source.bundle)), source.bundle.preprocessing, dtype).eval()
    with torch.no_grad():
        program = torch.export.export(served, (example(source),), dynamic_shapes={"images": dynamic_axes(source)})
    torch.export.save(program, folder / MODEL)


def read(folder: Path, precision: str) -> Network:
    module = torch.export.load(folder / MODEL).module()

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return module(torch.from_numpy(np.ascontiguousarray(images))).numpy()

    return run


def describe(folder: Path, about: Mapping[str, Any]) -> None:
    program = torch.export.load(folder / MODEL)
    aside = folder / "new.pt2"
    torch.export.save(program, aside, extra_files={"plusx.json": json.dumps(about, ensure_ascii=False)})
    aside.replace(folder / MODEL)


def example(source: Source) -> torch.Tensor:
    """Two black images: a batch of one would be taken for a constant."""
    h, w = source.size or (_ANY_SIZE, _ANY_SIZE)
    return torch.zeros((2, h, w, source.bundle.preprocessing.channels), dtype=torch.uint8)


def dynamic_axes(source: Source) -> dict[int, Any]:
    axes: dict[int, Any] = {0: torch.export.Dim.DYNAMIC}
    return axes if source.size is not None else {**axes, 1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
