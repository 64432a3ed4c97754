"""torch as an engine of `plusx.runtime.engines`: the reference, the way to a GPU, and what [train] alone predicts with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.bundles import Bundle
from plusx.graph import Graph, Op, lower
from plusx.images import normalise
from plusx.nn.building import build
from plusx.nn.device import autocast, memory_format, pick_device
from plusx.nn.resnet import ResNet
from plusx.runtime.engine import ExecutionPlan


def bundle_network(bundle: Bundle, graph: Graph | None = None) -> ResNet:
    """The bundle's network in eval mode; `graph` is a cut one for its weights, or one without its head.

    Raises BundleError, WeightsError.
    """
    spec, weights = bundle.spec, bundle.weights()
    if graph is None:
        return build(spec, weights).eval()
    unused = _tensor_names(lower(spec).head) - _tensor_names(graph.head)
    return build(graph.spec, {name: array for name, array in weights.items() if name not in unused}).eval()


def _tensor_names(ops: Iterable[Op]) -> set[str]:
    return {f"{op.path}.{tensor.name}" for op in ops for tensor in op.tensors}


class TorchEngine:
    """The bundle's network as it was trained, on the plan's device; bf16 is torch's autocast.

    All calls share torch's threads, whose number is set for the whole process.
    """

    def __init__(self, bundle: Bundle, plan: ExecutionPlan, graph: Graph | None = None) -> None:
        self.device, self.pre = pick_device(plan.device), bundle.preprocessing
        self.plan = replace(plan, device=self.device.type)
        torch.set_num_threads(plan.threads)
        net = bundle_network(bundle, graph)
        self.net = net.to(self.device).to(memory_format=memory_format(plan.precision))

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), autocast(self.device, self.plan.precision):
            return self.net(torch.from_numpy(normalise(images, self.pre)).to(self.device)).float().cpu().numpy()
