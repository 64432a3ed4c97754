"""Class activation maps without torch: where on an image a class is seen, for networks that average their last map.

The logit of a class is a weighted mean over the cells of the last map, so each cell's share in it is exact (Zhou et al.
2016, arXiv 1512.04150, section 2). Grad-CAM at the last map is the same up to a factor (arXiv 1610.02391, section 3.1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plusx.analysis.feature_info import FeatureInfo, feature_info
from plusx.bundles import Bundle
from plusx.errors import MissingExtra, SpecError
from plusx.graph import Graph, lower
from plusx.graph.kinds import DROPS
from plusx.i18n import _
from plusx.runtime import processor
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import installed, open_engine


class ClassMaps:
    """Heat maps of a bundle's classes. Calls come from one thread at a time.

    Raises MissingExtra without OpenVINO, which alone computes a part of a network, and SpecError for other heads.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        if not installed("openvino"):
            raise MissingExtra(
                _(
                    "Heat maps are computed by OpenVINO, which is not installed. Install it with pip install 'plusx[cpu]'."
                )
            )
        graph = lower(bundle.spec)
        cut, classifier = _split(graph)
        weight = bundle.weights()[f"{classifier}.weight"].astype(np.float32)
        self.weight: NDArray[np.float32] = weight.reshape(len(weight), -1)
        last = graph.stages[-1].name if graph.stages else "stem"
        self.info: FeatureInfo = feature_info(bundle.spec, last)
        plan = ExecutionPlan("openvino", "fp32", 1, 1, processor.threads(threads))
        self._engine = open_engine(bundle, plan, cut)

    def heat(self, image: NDArray[np.uint8], class_index: int) -> NDArray[np.float32]:
        """(h, w), 0 or more, of an image (h, w, c) as the network takes it: what each cell adds to the logit of the class."""
        last_map = self._engine.infer(image[None])[0]
        return np.maximum(0, np.tensordot(self.weight[class_index], last_map, 1)) / last_map[0].size


def _split(graph: Graph) -> tuple[Graph, str]:
    """The network up to its last average, and the path of the classifier behind it. Raises SpecError."""
    kinds = [op.kind for op in graph.head]
    at = kinds.index("global_avg_pool") if "global_avg_pool" in kinds else len(kinds)
    behind = [op for op in graph.head[at + 1 :] if op.kind not in DROPS]
    if len(behind) != 1 or behind[0].kind != "linear" or behind[0].path is None:
        raise SpecError(
            _("{spec} does not average its last map before its classes, so there is no heat map.", spec=str(graph.spec))
        )
    return replace(graph, head=graph.head[:at]), behind[0].path
