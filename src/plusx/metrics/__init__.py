"""Integer counters and intervals: what a network's answers come to."""

from plusx.metrics.evaluation import BINS, ClassScore, Counters, Evaluation, wilson

__all__ = ["BINS", "ClassScore", "Counters", "Evaluation", "wilson"]
