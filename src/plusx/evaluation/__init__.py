"""Evaluation of any bundle or run, by any engine, on labelled images. Importing this room loads no engine."""

from __future__ import annotations

from plusx.evaluation.counting import evaluate_logits
from plusx.evaluation.evaluating import evaluate
from plusx.evaluation.held_out import open_held_out
from plusx.evaluation.source import open_source

__all__ = ["evaluate", "evaluate_logits", "open_held_out", "open_source"]
