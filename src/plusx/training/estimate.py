"""How long a training will take, from its first batches, without leaving a trace in it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from plusx.data import Data
from plusx.training.evaluation import BATCH, judge
from plusx.training.feed import Feed
from plusx.training.plan import Plan
from plusx.training.trainer import Progress, Trainer

STEPS = 10
MOST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds a training step and an evaluated image take."""

    step: float
    image: float

    def epoch(self, plan: Plan, n_val: int) -> float:
        return plan.steps_per_epoch * self.step + n_val * self.image

    def rest(self, plan: Plan, n_val: int, step: int) -> float:
        """Seconds from step `step` to the end of the plan."""
        return (plan.steps - step) / plan.steps_per_epoch * self.epoch(plan, n_val)


def measure(trainer: Trainer, feed: Feed, val: Data, stopped: Callable[[], bool]) -> Speed | None:
    """The speed of up to ten batches, fewer if they are slow; None when stopped.

    A copy of the network is trained, so the run itself begins untouched. All processes do this together, and `stopped`
    is what they agree on. The first batch does not count: kernels are
    chosen and pages are fetched in it.
    """
    world = trainer.world
    probe = replace(trainer, network=copy.deepcopy(trainer.network), progress=Progress())
    times = [time.monotonic()]
    for batch in feed.batches(0, min(STEPS, feed.plan.steps)):
        if stopped():
            return None
        probe.learn(batch.images, batch.labels, batch.names)
        times.append(time.monotonic())
        if world.any(times[-1] - times[0] > MOST_SECONDS):
            break
    step = (times[-1] - times[1]) / (len(times) - 2) if len(times) > 2 else times[-1] - times[0]
    few = val if len(val) <= BATCH else val.subset(torch.arange(BATCH).numpy())
    look = partial(judge, probe.judged(), few, feed.pre, trainer.device, feed.workers, world=world)
    look()
    begun = time.monotonic()
    look()
    return world.from_first(Speed(step, (time.monotonic() - begun) / len(few)))


def fitting_epochs(speed: Speed, plan: Plan, n_val: int, minutes: float) -> int:
    """As many whole epochs as `minutes` hold, at least one and at most the plan's."""
    return max(1, min(plan.epochs, int(minutes * 60 / speed.epoch(plan, n_val))))
