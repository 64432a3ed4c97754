"""Preprocessing folded into an OpenVINO network, which then takes uint8 images (n, h, w, c)."""

from __future__ import annotations

from typing import Any

from plusx.images import Preprocessing
from plusx.runtime.quiet import openvino


def fold_preprocessing(model: Any, pre: Preprocessing) -> Any:
    """The same network for the uint8 images (n, h, w, c) that `plusx.images.resize_crop` returns."""
    openvino()
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    steps.input().model().set_layout(Layout("NCHW"))
    # (x · scale - mean) / std as (x - mean / scale) / (std / scale)
    means, stds = ([float(v / pre.scale) for v in values] for values in (pre.mean, pre.std))
    steps.input().preprocess().convert_element_type(Type.f32).mean(means).scale(stds)
    return steps.build()
