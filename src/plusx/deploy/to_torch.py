"""torch.export: model.pt2, for programs that have torch anyway, and for AOTInductor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.deploy.config import ExportSource
from plusx.deploy.proof import LogitsFunction
from plusx.deploy.proof_images import ProofImages
from plusx.deploy.reference import PreprocessedNetwork, folded
from plusx.files import json_text
from plusx.nn.engine import bundle_network

MODEL = "model.pt2"
_ANY_SIZE = 96
"""Side of the example image where height and width stay open."""


def write(source: ExportSource, folder: Path, calibration: ProofImages | None) -> None:
    dtype = torch.bfloat16 if source.precision == "bf16" else torch.float32
    network = PreprocessedNetwork(folded(bundle_network(source.bundle)), source.bundle.preprocessing, dtype).eval()
    with torch.no_grad():
        program = torch.export.export(network, (example(source),), dynamic_shapes={"images": dynamic_axes(source)})
    torch.export.save(program, folder / MODEL)


def read(folder: Path, precision: str) -> LogitsFunction:
    module = torch.export.load(folder / MODEL).module()

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return module(torch.from_numpy(np.ascontiguousarray(images))).numpy()

    return run


def describe(folder: Path, about: Mapping[str, Any]) -> None:
    program = torch.export.load(folder / MODEL)
    aside = folder / "new.pt2"
    torch.export.save(program, aside, extra_files={"plusx.json": json_text(about)})
    aside.replace(folder / MODEL)


def example(source: ExportSource) -> torch.Tensor:
    """Two black images: torch.export would treat a batch of one as a constant."""
    h, w = source.size or (_ANY_SIZE, _ANY_SIZE)
    return torch.zeros((2, h, w, source.bundle.preprocessing.channels), dtype=torch.uint8)


def dynamic_axes(source: ExportSource) -> dict[int, Any]:
    axes: dict[int, Any] = {0: torch.export.Dim.DYNAMIC}
    return axes if source.size is not None else {**axes, 1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
