"""The frozen events of `fit`. Progress bars, logs and tests read these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from plusx.metrics import Mistake


@dataclass(frozen=True, slots=True)
class Started:
    """The run is about to make step `step` (0 unless resumed) of `steps`."""

    run: Path
    spec: str
    recipe: str
    classes: tuple[str, ...]
    n_train: int
    n_val: int
    epochs: int
    steps: int
    step: int
    evaluated: int
    """Epochs already evaluated (0 unless resumed)."""
    device: str
    precision: str
    threads: int
    world_size: int
    """Processes that train together."""
    seconds: float | None
    """Estimate for the rest, from ten measured batches; None: not measured."""
    notes: tuple[str, ...]
    """One line each: what a user should know before the training starts."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """`done` of `total` maps of the frozen part are computed; with `views` they come before the first step."""

    step: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StagesStarted:
    """A run in stages (recipes probe and auto) begins with stage `step` + 1 of `stages`."""

    step: int
    run: Path
    spec: str
    recipe: str
    classes: tuple[str, ...]
    n_train: int
    n_val: int
    stages: tuple[str, ...]
    minutes: float | None
    """The time that all stages together may take; None: the probe's, which has no limit."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageEnded:
    """Stage number `step` is over, or was not begun (`n` is 0 then).

    `top1` and `nll` are those of the held-out images; `best` says whether its network is the one kept.
    """

    step: int
    name: str
    n: int
    top1: float
    nll: float
    best: bool
    images: int
    """Images that the stage was trained on."""
    seconds: float
    why: str
    """Why it was not begun (a clause), or why it `failed`; empty otherwise."""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step was made. `step` counts from 1, `epoch` from 1."""

    step: int
    epoch: int
    lr: float
    loss: float
    n: int
    correct: int
    seconds: float
    train_loss: float
    train_top1: float
    """Of all steps of the epoch so far: after its last step, what `Evaluated` says of the epoch."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The validation share was evaluated after `epoch`. `metrics` is `Evaluation.to_dict()`."""

    step: int
    epoch: int
    n: int
    top1: float
    nll: float
    best: bool
    """The best epoch so far."""
    train_loss: float
    train_top1: float
    """Of the epoch's own steps, while the weights moved; with augmentation and label smoothing."""
    metrics: dict[str, Any]
    seconds: float
    mistakes: tuple[Mistake, ...] = ()
    """The worst and the most certain ones, images of the validation part."""


@dataclass(frozen=True, slots=True)
class ImageSkipped:
    """An image that could not be used."""

    step: int
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """The state after `step` is on disk, complete and flushed. It was written while training continued."""

    step: int
    path: Path
    seconds: float
    """Time spent writing."""
    stall: float
    """How long training waited for it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event. `reason` is "done", "early stop", or the name of the signal that asked to stop."""

    step: int
    epoch: int
    reason: str
    seconds: float
    run: Path
    bundle: Path | None
    kept: dict[str, Any] | None
    """epoch, n, top1, nll, mistakes … of the weights in the bundle; None: stopped before the first evaluation."""


Event: TypeAlias = (
    Started | Prepared | StagesStarted | StageEnded | Step | Evaluated | ImageSkipped | Checkpointed | Finished
)
