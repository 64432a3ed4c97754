"""How long a training will take, measured on its first batches with a copy of its network."""

from __future__ import annotations

import time
from dataclasses import dataclass

from plusx.evaluation.counting import never
from plusx.training.loader import Batches
from plusx.training.model_evaluation import Evaluate
from plusx.training.schedule import Schedule
from plusx.training.signals import Stop
from plusx.training.step import Trainer

STEPS = 10
MOST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """Seconds a training step, an evaluated image, and a map of the frozen part take (0 where none are kept)."""

    step: float
    image: float
    map: float = 0.0

    def epoch(self, schedule: Schedule, n_val: int) -> float:
        return schedule.steps_per_epoch * self.step + n_val * self.image

    def remaining(self, schedule: Schedule, n_val: int, step: int) -> float:
        """Seconds from step `step` to the end of the schedule, without the maps."""
        return (schedule.steps - step) / schedule.steps_per_epoch * self.epoch(schedule, n_val)


def measure_speed(
    probe: Trainer, loader: Batches, evaluate: Evaluate, n: int, stop: Stop, per_map: float = 0.0
) -> TrainingSpeed | None:
    """The speed over up to ten batches, fewer if they are slow; None when stopped. `probe` is of no more use then.

    `evaluate` evaluates `n` images. All ranks call this together. The first batch does not count, because kernels are
    chosen and memory pages are fetched in it.
    """
    group = probe.group
    times = [time.monotonic()]
    for batch in loader.batches(0, min(STEPS, probe.schedule.steps)):
        if stop.on_any_rank(group):
            return None
        probe.train_step(batch.images, batch.labels, batch.names)
        times.append(time.monotonic())
        if group.any_rank(times[-1] - times[0] > MOST_SECONDS):
            break
    step = (times[-1] - times[1]) / (len(times) - 2) if len(times) > 2 else times[-1] - times[0]
    network = probe.eval_network()
    seconds = 0.0
    for _warm_up in (True, False):
        begun = time.monotonic()
        evaluate(network, never)
        seconds = time.monotonic() - begun
    return group.broadcast(TrainingSpeed(step, seconds / n, per_map))


def epochs_within(speed: TrainingSpeed, schedule: Schedule, n_val: int, seconds: float) -> int:
    """As many whole epochs as fit into `seconds`, at least one and at most the schedule's."""
    return max(1, min(schedule.epochs, int(seconds / speed.epoch(schedule, n_val))))
