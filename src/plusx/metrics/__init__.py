"""Accuracy and calibration of predictions, from integer counters, with confidence intervals."""

from plusx.metrics.confusion import ConfusedPair, confused_pairs, most_confused
from plusx.metrics.counters import BINS, ClassScore, Counters, Evaluation, wilson
from plusx.metrics.mistakes import Mistake, Mistakes

__all__ = [
    "BINS",
    "ClassScore",
    "ConfusedPair",
    "Counters",
    "Evaluation",
    "Mistake",
    "Mistakes",
    "confused_pairs",
    "most_confused",
    "wilson",
]
