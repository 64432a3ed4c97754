"""Integer counters and intervals: what a network's answers come to."""

from plusx.metrics.confusion import Confused, confused, erring
from plusx.metrics.evaluation import BINS, ClassScore, Counters, Evaluation, wilson

__all__ = ["BINS", "ClassScore", "Confused", "Counters", "Evaluation", "confused", "erring", "wilson"]
