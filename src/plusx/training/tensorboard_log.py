"""The log of a run for TensorBoard, an option: RUN/tensorboard holds event files, written by torch's own writer."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.errors import missing
from plusx.training.events import Checkpointed, Evaluated, Event, Started, Step
from plusx.training.sinks import step_interval

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FOLDER = "tensorboard"


def require_tensorboard() -> None:
    """Raises MissingExtra where the package is not installed."""
    try:
        import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise missing("tensorboard") from error


def is_logged(run: Path) -> bool:
    """Whether a run has such a log, which a resumed training continues."""
    return any((run / FOLDER).glob("events.out.tfevents.*"))


class TensorBoardLog:
    """Scalars of every epoch, of about twenty steps an epoch, and the recipe as text.

    After a resume the reader drops what lost steps had written, by the number of the first new step (`purge_step`), so that
    no step appears twice.
    """

    def __init__(self, run: Path, command: str = "") -> None:
        self.run, self.command = run, command
        self.writer: SummaryWriter | None = None
        self.every = 1

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._start(event)
        elif self.writer is None:
            return
        elif isinstance(event, Step) and event.step % self.every == 0:
            self._scalars(event.step, {"step/loss": event.loss, "step/lr": event.lr})
        elif isinstance(event, Evaluated):
            values = {"loss/train": event.train_loss, "loss/val": event.nll, "top1/train": event.train_top1}
            self._scalars(event.step, {**values, "top1/val": event.top1, "epoch": event.epoch})
            self.writer.flush()
        elif isinstance(event, Checkpointed):
            self.writer.flush()  # a resumed run goes on from here: what came before must be on disk

    def _start(self, event: Started) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        again, self.every = is_logged(self.run), step_interval(event)
        self.writer = SummaryWriter(str(self.run / FOLDER), purge_step=event.step + 1 if again else None)
        if not again:
            rows = [
                ("network", event.spec), ("recipe", event.recipe), ("images", f"{event.n_train} + {event.n_val}"),
                ("device", f"{event.device} {event.precision}"), ("command", self.command),
            ]  # fmt: skip
            table = "\n".join(f"| {name} | {text.replace('|', ' ')} |" for name, text in rows if text)
            self.writer.add_text("run", f"| | |\n|---|---|\n{table}", 0)

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        for tag, value in values.items():
            if self.writer is not None:
                self.writer.add_scalar(tag, value, step)

    def close(self) -> None:
        """The end, also that of a training that failed."""
        if self.writer is not None:
            self.writer.close()
