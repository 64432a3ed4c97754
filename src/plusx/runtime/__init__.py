"""Prediction without torch: numpy and one engine, OpenVINO or ONNX Runtime."""

from plusx.runtime.inputs import Item, find
from plusx.runtime.predicting import Prediction, Predictor, predictor

__all__ = ["Item", "Prediction", "Predictor", "find", "predictor"]
