"""torch as an engine: the reference, and the way to a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.bundles import Bundle, open_bundle
from plusx.deploy.reference import network_of
from plusx.errors import DataError, SpecError
from plusx.images import normalise
from plusx.runtime import processor
from plusx.runtime.pipeline import Pipeline
from plusx.runtime.plan import Plan, usual_batch
from plusx.runtime.predicting import Predictor
from plusx.training.machine import autocast, pick_device

BATCH = 16


class TorchEngine:
    """The bundle's network as it was trained; bf16 is torch's autocast."""

    def __init__(self, bundle: Bundle, plan: Plan, device: torch.device) -> None:
        self.plan, self.device, self.pre = plan, device, bundle.preprocessing
        self.net = network_of(bundle).to(device)
        if plan.precision == "bf16":
            self.net = self.net.to(memory_format=torch.channels_last)

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), autocast(self.device, self.plan.precision):
            return self.net(torch.from_numpy(normalise(images, self.pre)).to(self.device)).float().cpu().numpy()


def torch_plan(bundle: Bundle, precision: str = "auto", threads: int | None = None) -> Plan:
    """Two workers, so that one decodes while the other computes. Raises SpecError for int8."""
    if precision == "int8":
        raise SpecError("precision=int8, torch has no int8 networks of its own any more; allowed there: fp32, bf16")
    cores = processor.threads(threads)
    batch = 1 if bundle.preprocessing.crop_px is None else max(BATCH, usual_batch(bundle))
    return Plan("torch", "fp32" if precision == "auto" else precision, batch, min(2, cores), cores)


def torch_predictor(
    source: str | Path | Bundle,
    *,
    precision: str = "auto",
    top: int = 5,
    threads: int | None = None,
    device: str = "auto",
    exact_decode: bool = False,
) -> Predictor:
    """As `plusx.predictor`, computed by torch on `device`. Raises BundleError, SpecError, DataError."""
    if top < 1:
        raise DataError(f"top={top}, must be at least 1")
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    plan = torch_plan(bundle, precision, threads)
    torch.set_num_threads(plan.threads)
    engine = TorchEngine(bundle, plan, pick_device(device))
    return Predictor(
        bundle, Pipeline(engine, bundle.preprocessing, exact_decode=exact_decode), min(top, len(bundle.classes))
    )
