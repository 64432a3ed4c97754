"""The training loop: steps, evaluations and checkpoints, in an order in which a kill at any moment loses nothing.

The bundle is written before the checkpoint that records it. A kill in between leaves a bundle that is newer than the
checkpoint, and the resumed run writes the same one again. In the opposite order the best weights could be lost. A
background thread writes both from copies, so training waits for the copy, and for the disk only when it lags behind by
a whole checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from plusx.bundles import newest_checkpoint
from plusx.errors import DataError, RunError
from plusx.i18n import Message, _, _n
from plusx.training import checkpoint
from plusx.training.background_writer import BackgroundWriter
from plusx.training.bundle_writer import BundleWriter
from plusx.training.events import Checkpointed, Evaluated, Event, Finished, ImageSkipped, Step
from plusx.training.loader import Batch, Batches
from plusx.training.model_evaluation import Evaluate
from plusx.training.options import RunOptions
from plusx.training.schedule import learning_rate
from plusx.training.step import Trainer


@dataclass
class TrainingLoop:
    """Runs `trainer` over `loader`'s batches, evaluates it after every epoch, and writes what must last."""

    run: Path
    trainer: Trainer
    loader: Batches
    evaluate: Evaluate
    bundle: BundleWriter
    options: RunOptions

    def __post_init__(self) -> None:
        self.begun = time.monotonic() - self.trainer.progress.seconds
        self.saved_at = time.monotonic()
        self.saved = asdict(self.trainer.progress)
        self.writer = BackgroundWriter()

    def events(self) -> Iterator[Event]:
        """Trains to the end of the schedule, or until `options.stop`. A RunError names the last complete checkpoint."""
        try:
            yield from self._epochs()
        except RunError as error:
            self.writer.close()  # the job being written may become the last checkpoint
            raise type(error)(self._with_checkpoint(error.message)) from error
        finally:
            self.writer.close()

    def _epochs(self) -> Iterator[Event]:
        trainer, progress, schedule = self.trainer, self.trainer.progress, self.trainer.schedule
        batches = self.loader.batches(progress.step, schedule.steps)
        while not is_over(self.trainer) and not self.options.stop.on_any_rank(trainer.group):
            yield from self._written()
            at_end_of_epoch = progress.step == (progress.evaluated + 1) * schedule.steps_per_epoch
            if not at_end_of_epoch:
                yield from self._step(next(batches))
                if self._due() and progress.step % schedule.steps_per_epoch:
                    yield from self._checkpoint()
                continue
            try:
                evaluated = self._evaluate()
            except DataError as error:
                yield from self._checkpoint()
                yield from self.writer.wait()
                raise RunError(
                    _("The evaluation after step {step} failed: {error}", step=progress.step, error=error.message)
                ) from error
            if evaluated is None:
                self.options.stop.on_any_rank(trainer.group)
                break
            due = self._due()
            better = evaluated.best and trainer.recipe.keep == "best"
            if better or (trainer.recipe.keep == "last" and (due or is_over(self.trainer))):
                self._write_bundle(evaluated)
            yield evaluated
            if better or due or is_over(self.trainer):
                yield from self._checkpoint()
        if asdict(progress) != self.saved:
            yield from self._checkpoint()
        yield from self.writer.wait()
        epoch = schedule.span(progress.step - 1)[0] + 1 if progress.step else 0
        yield Finished(
            progress.step, epoch, self._reason(), progress.seconds, self.run,
            self.bundle.path if self.bundle.path.is_dir() else None, progress.kept,
        )  # fmt: skip

    def _written(self) -> Iterator[Event]:
        """The checkpoints completed since the last call. When the disk refused one, all ranks raise its error."""
        refused: RunError | None = None
        try:
            yield from self.writer.finished()
        except RunError as error:
            refused = error
        if self.trainer.group.any_rank(refused is not None):
            self.trainer.group.run_on_all_ranks(partial(_raise, refused))

    def _reason(self) -> str:
        if self.trainer.progress.evaluated == self.trainer.schedule.epochs:
            return "done"
        return "early stop" if is_over(self.trainer) else self.options.stop.name

    def _step(self, batch: Batch) -> Iterator[Event]:
        trainer, begun = self.trainer, time.monotonic()
        step = trainer.progress.step
        rate = learning_rate(trainer.recipe, trainer.schedule, step)
        try:
            result = trainer.train_step(batch.images, batch.labels, batch.names)
        except (RuntimeError, MemoryError) as error:  # torch says it in a RuntimeError on CPUs, in a subclass on GPUs
            if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
                raise
            parts = 2 * trainer.recipe.accumulate
            raise RunError(
                _n(
                    "Step {step} with {n} image needs more memory than there is. Use a smaller size= or network.",
                    "Step {step} with {n} images needs more memory than there is. Train with accumulate={parts} or "
                    "grad_checkpointing=yes, which need less.",
                    len(batch.labels), step=step + 1, parts=parts,
                )
            ) from error  # fmt: skip
        now = time.monotonic()
        trainer.progress.seconds = now - self.begun
        epoch, low, high = trainer.schedule.span(step)
        if result.n < high - low:  # every rank knows that some rank could not read an image
            lost = trainer.group.all_gather(batch.skipped)
            yield from (ImageSkipped(step + 1, row.path, row.reason) for some in lost for row in some)
        train_loss, train_top1 = trainer.progress.train_means()
        yield Step(
            step + 1, epoch + 1, rate, result.loss, result.n, result.correct, now - begun, train_loss, train_top1
        )  # fmt: skip

    def _evaluate(self) -> Evaluated | None:
        trainer, progress, begun = self.trainer, self.trainer.progress, time.monotonic()
        trainer.require_finite()
        found = self.evaluate(trainer.eval_network(), self.options.stop)
        if found is None:
            return None
        if found.top1 is None or found.nll is None:
            raise DataError(_("The validation part has no image. Use a larger --val-split."))
        progress.evaluated += 1
        epoch, best = progress.evaluated, progress.best
        better = best is None or (found.top1, -found.nll) > (best["top1"], -best["nll"])
        if better:
            progress.best = {"epoch": epoch, "step": progress.step, "top1": found.top1, "nll": found.nll}
        train_loss, train_top1 = progress.train_means()
        progress.seen, progress.correct, progress.loss_sum = 0, 0, 0.0
        now = time.monotonic()
        progress.seconds = now - self.begun
        return Evaluated(
            step=progress.step, epoch=epoch, n=found.n, top1=found.top1, nll=found.nll, best=better,
            train_loss=train_loss, train_top1=train_top1, metrics=found.to_dict(), seconds=now - begun,
            mistakes=found.mistakes,
        )  # fmt: skip

    def _write_bundle(self, evaluated: Evaluated) -> None:
        metrics = {"epoch": evaluated.epoch, **evaluated.metrics}
        if self.trainer.group.is_rank0:
            tensors = checkpoint.arrays(self.trainer.eval_network().state_dict())
            self.writer.submit(partial(self.bundle.write, tensors, metrics, evaluated.step))
        self.trainer.progress.kept = {
            "epoch": evaluated.epoch,
            "n": evaluated.n,
            "top1": evaluated.top1,
            "nll": evaluated.nll,
            "mistakes": [mistake._asdict() for mistake in evaluated.mistakes],
        }

    def _due(self) -> bool:
        steps = self.options.checkpoint_steps
        if steps and self.trainer.progress.step - self.saved["step"] >= steps:
            return True
        return time.monotonic() - self.saved_at > self.options.checkpoint_seconds

    def _checkpoint(self) -> Iterator[Event]:
        """Submits the present state to be written. Before that, training waits for what was still being written."""
        begun = time.monotonic()
        yield from self.writer.wait()
        if self.trainer.group.is_rank0:
            shot = checkpoint.snapshot(self.trainer)
            self.writer.submit(partial(self._write_checkpoint, shot, time.monotonic() - begun))
        self.saved_at, self.saved = time.monotonic(), asdict(self.trainer.progress)

    def _write_checkpoint(self, shot: checkpoint.Snapshot, stall: float) -> Checkpointed:
        begun = time.monotonic()
        path = checkpoint.write(self.run / "checkpoints", shot)
        return Checkpointed(shot.step, path, time.monotonic() - begun, stall)

    def _with_checkpoint(self, error: str) -> Message:
        """The error, then where the run can be resumed from."""
        sentence = error if error.endswith(".") else _("{error}.", error=error)
        path = newest_checkpoint(self.run)
        if path is None:
            return _("{error} There is no checkpoint yet.", error=sentence)
        return _("{error} The last complete checkpoint is {path}.", error=sentence, path=path)


def _raise(error: RunError | None) -> None:
    if error is not None:
        raise error


def is_over(trainer: Trainer) -> bool:
    """Whether every epoch is done, or none of the last `early_stop` was a new best."""
    progress, patience = trainer.progress, trainer.recipe.early_stop
    best = progress.best["epoch"] if progress.best else 0
    return progress.evaluated == trainer.schedule.epochs or 0 < patience <= progress.evaluated - best
