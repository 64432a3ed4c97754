"""The training loop: steps, evaluations and checkpoints in an order that a kill at any moment cannot spoil.

The bundle is written before the checkpoint that knows of it. A kill in between leaves a bundle that is ahead, and the
resumed run makes the same one again; the other way round the best weights could be lost. Both are written by a thread
of their own, from copies: the training waits for the copy, and for the disk only when it is a whole checkpoint behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import nn

from plusx.bundles import newest_checkpoint
from plusx.errors import DataError, RunError
from plusx.metrics import Evaluation
from plusx.training import checkpoint
from plusx.training.events import Checkpointed, Evaluated, Event, Finished, Skipped, Step
from plusx.training.feed import Batch, Feed
from plusx.training.plan import learning_rate
from plusx.training.signals import Stop
from plusx.training.trainer import Trainer
from plusx.training.writer import Writer

Arrays = dict[str, "NDArray[Any]"]


@dataclass
class Loop:
    """What a run is made of. `judge` evaluates a network on the validation share, or gives None when stopped;
    `keep` writes the bundle of a network's tensors, with its metrics and the step, while the training goes on."""

    run: Path
    trainer: Trainer
    feed: Feed
    judge: Callable[[nn.Module], Evaluation | None]
    keep: Callable[[Arrays, dict[str, Any], int], None]
    stop: Stop
    checkpoint_seconds: float
    """A checkpoint is written when the last one is older than this; at a new best and at the end in any case."""
    checkpoint_steps: int | None = None
    """The same, counted in steps."""

    def __post_init__(self) -> None:
        self.begun = time.monotonic() - self.trainer.progress.seconds
        self.saved_at = time.monotonic()
        self.saved = asdict(self.trainer.progress)
        self.writer = Writer()

    def events(self) -> Iterator[Event]:
        """Trains to the end of the plan, or until `stop`. Raises RunError, naming the last good checkpoint."""
        try:
            yield from self._work()
        except RunError as error:
            self.writer.close()
            raise RunError(f"{str(error).removesuffix('.')}. {self._last_good()}") from error
        finally:
            self.writer.close()

    def _work(self) -> Iterator[Event]:
        trainer, progress, plan = self.trainer, self.trainer.progress, self.trainer.plan
        batches = self.feed.batches(progress.step, plan.steps)
        while not self.over() and not self.stop.agreed(trainer.world):
            yield from self._meanwhile()
            at_end_of_epoch = progress.step == (progress.evaluated + 1) * plan.steps_per_epoch
            if not at_end_of_epoch:
                yield from self._step(next(batches))
                if self._due() and progress.step % plan.steps_per_epoch:
                    yield from self._checkpoint()
                continue
            try:
                evaluated = self._evaluate()
            except DataError as error:
                yield from self._checkpoint()
                yield from self.writer.wait()
                raise RunError(f"validation after step {progress.step} failed: {error}") from error
            if evaluated is None:
                self.stop.agreed(trainer.world)
                break
            due = self._due()
            better = evaluated.best and trainer.recipe.keep == "best"
            if better or (trainer.recipe.keep == "last" and (due or self.over())):
                self._keep(evaluated)
            yield evaluated
            if better or due or self.over():
                yield from self._checkpoint()
        if asdict(progress) != self.saved:
            yield from self._checkpoint()
        yield from self.writer.wait()
        bundle = self.run / "bundle"
        epoch = plan.span(progress.step - 1)[0] + 1 if progress.step else 0
        yield Finished(
            progress.step, epoch, self._reason(), progress.seconds, self.run,
            bundle if bundle.is_dir() else None, progress.kept,
        )  # fmt: skip

    def _meanwhile(self) -> Iterator[Event]:
        """What has come to disk. When the disk refused, all processes fail, and one says it."""
        refused: RunError | None = None
        try:
            yield from self.writer.finished()
        except RunError as error:
            refused = error
        if self.trainer.world.any(refused is not None):
            self.trainer.world.together(partial(_raise, refused))

    def over(self) -> bool:
        """Whether every epoch is done, or the last `early_stop` of them brought nothing better."""
        progress, patience = self.trainer.progress, self.trainer.recipe.early_stop
        best = progress.best["epoch"] if progress.best else 0
        return progress.evaluated == self.trainer.plan.epochs or 0 < patience <= progress.evaluated - best

    def _reason(self) -> str:
        if self.trainer.progress.evaluated == self.trainer.plan.epochs:
            return "done"
        return "early stop" if self.over() else self.stop.name

    def _step(self, batch: Batch) -> Iterator[Event]:
        trainer, begun = self.trainer, time.monotonic()
        step = trainer.progress.step
        rate = learning_rate(trainer.recipe, trainer.plan, step)
        try:
            learnt = trainer.learn(batch.images, batch.labels, batch.names)
        except (RuntimeError, MemoryError) as error:  # torch says it in a RuntimeError on CPUs, in a subclass on GPUs
            if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
                raise
            parts = 2 * trainer.recipe.accumulate
            raise RunError(
                f"out of memory at step {step + 1} with {len(batch.labels)} images; accumulate={parts} needs less"
            ) from error
        now = time.monotonic()
        trainer.progress.seconds = now - self.begun
        epoch, low, high = trainer.plan.span(step)
        if learnt.n < high - low:  # all processes know that one of them could not read an image
            lost = trainer.world.gather(batch.skipped)
            yield from (Skipped(step + 1, row.path, row.reason) for some in lost for row in some)
        yield Step(step + 1, epoch + 1, rate, learnt.loss, learnt.n, learnt.correct, now - begun)

    def _evaluate(self) -> Evaluated | None:
        trainer, progress, begun = self.trainer, self.trainer.progress, time.monotonic()
        trainer.require_finite()
        found = self.judge(trainer.judged())
        if found is None:
            return None
        if found.top1 is None or found.nll is None:
            raise DataError("the validation share is empty, must hold an image")
        progress.evaluated += 1
        epoch, best, seen = progress.evaluated, progress.best, max(1, progress.seen)
        better = best is None or (found.top1, -found.nll) > (best["top1"], -best["nll"])
        if better:
            progress.best = {"epoch": epoch, "step": progress.step, "top1": found.top1, "nll": found.nll}
        train_loss, train_top1 = progress.loss_sum / seen, progress.correct / seen
        progress.seen, progress.correct, progress.loss_sum = 0, 0, 0.0
        now = time.monotonic()
        progress.seconds = now - self.begun
        return Evaluated(
            step=progress.step, epoch=epoch, n=found.n, top1=found.top1, nll=found.nll, best=better,
            train_loss=train_loss, train_top1=train_top1, metrics=found.to_dict(), seconds=now - begun,
        )  # fmt: skip

    def _keep(self, evaluated: Evaluated) -> None:
        metrics = {"epoch": evaluated.epoch, **evaluated.metrics}
        if self.trainer.world.first:
            tensors = checkpoint.arrays(self.trainer.judged().state_dict())
            self.writer.submit(partial(self.keep, tensors, metrics, evaluated.step))
        self.trainer.progress.kept = {
            "epoch": evaluated.epoch,
            "n": evaluated.n,
            "top1": evaluated.top1,
            "nll": evaluated.nll,
        }

    def _due(self) -> bool:
        if self.checkpoint_steps and self.trainer.progress.step - self.saved["step"] >= self.checkpoint_steps:
            return True
        return time.monotonic() - self.saved_at > self.checkpoint_seconds

    def _checkpoint(self) -> Iterator[Event]:
        """Has the state now written; first comes what was still being written, which the training waits for."""
        begun = time.monotonic()
        yield from self.writer.wait()
        if self.trainer.world.first:
            shot = checkpoint.snapshot(self.trainer)
            self.writer.submit(partial(self._written, shot, time.monotonic() - begun))
        self.saved_at, self.saved = time.monotonic(), asdict(self.trainer.progress)

    def _written(self, shot: checkpoint.Snapshot, stall: float) -> Checkpointed:
        begun = time.monotonic()
        path = checkpoint.write(self.run / "checkpoints", shot)
        return Checkpointed(shot.step, path, time.monotonic() - begun, stall)

    def _last_good(self) -> str:
        path = newest_checkpoint(self.run)
        return f"The last good checkpoint is {path}." if path else "There is no checkpoint yet."


def _raise(error: RunError | None) -> None:
    if error is not None:
        raise error
