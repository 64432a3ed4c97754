"""The options of a training run besides its network, its data and its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plusx import settings
from plusx.bundles import Bundle
from plusx.data import ListColumns
from plusx.errors import SpecError, unknown
from plusx.i18n import _
from plusx.images import Preprocessing
from plusx.training.signals import Stop
from plusx.training.tensorboard_log import require_tensorboard

LOGS = ("tensorboard",)
"""What `log` may name."""
IDENTITY = ("seed", "weights", "preprocessing", "val_split", "minutes", "path_column", "label_column")
"""Options that decide what a run computes. run.json keeps them, so a resumed run takes none of them."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a training run is made. Every field is checked here; SpecError names the first that cannot be.

    The fields of `IDENTITY` belong to a new run alone. The others may differ when the run is resumed.
    """

    seed: int = 0
    """Of everything random: first weights, permutations, augmentation, dropout."""
    weights: str | Path | Bundle | None = None
    """A bundle, run or weights file to start from; its network, if none is named. None: random weights."""
    preprocessing: Preprocessing | str | Path | None = None
    """How the images of `weights` are prepared, where they do not say it: a name like imagenet, or a JSON file."""
    val_split: float = 0.2
    """Share of the images that is held out where the data has no validation part."""
    minutes: float | None = None
    """Train as many epochs as fit into this time at the measured speed, at most the recipe's. None: all of them."""
    path_column: str | None = None
    """Column of a CSV list that holds the image paths. None: it is found by its name or content."""
    label_column: str | None = None
    """Column of a CSV list that holds the labels. None: as for `path_column`."""
    command: Sequence[str] = ()
    """The command line that made the run, for run.json."""

    device: str = "auto"
    """auto, cpu, cuda or mps; auto takes a GPU where there is one."""
    threads: int | None = None
    """Threads that compute. None: PLUSX_THREADS, else the resumed run's, else one for tiny images and all cores otherwise."""
    workers: int | None = None
    """Threads that read images; 0: the computing thread reads them. None: one a core, shared by processes on one machine."""
    stop: Stop = field(default_factory=Stop)
    """Asked between two steps; the run ends after a step where it says so."""
    checkpoint_seconds: float = 60.0
    """A checkpoint is written when the last one is older than this, and at every new best and at the end."""
    checkpoint_steps: int | None = None
    """The same, counted in steps. None: time alone decides."""
    maps: Path | None = None
    """Where the maps of frozen layers lie, which then stay there. None: beside the run while it trains."""
    log: str | None = None
    """tensorboard: scalars for it in the run's directory. None: no such log, unless a resumed run has one, which goes on."""
    lang: str | None = None
    """en or zh: the language of report.html. None: PLUSX_LANG."""
    on_index: Callable[[int, int], None] | None = None
    """Called with how many images of how many are indexed, possibly from several threads."""
    on_vectors: Callable[[int, int], None] | None = None
    """Called with how many vectors of how many are computed for a probe."""

    def __post_init__(self) -> None:
        settings.check_seed(self.seed)
        if not 0 < self.val_split < 1:
            raise SpecError(
                _("val_split={share:g} is not a share between 0 and 1. Use 0.2 for a fifth.", share=self.val_split)
            )
        if self.minutes is not None and not self.minutes > 0:
            raise SpecError(
                _("minutes={minutes:g} leaves no time to train. Use a number above 0.", minutes=self.minutes)
            )
        if self.threads is not None:
            settings.check_threads(self.threads)
        if self.workers is not None and self.workers < 0:
            raise SpecError(_("workers={n} is negative. Use 0 or more.", n=self.workers))
        if not self.checkpoint_seconds > 0:
            raise SpecError(
                _("checkpoint_seconds={seconds:g} is too short. Use a number above 0.", seconds=self.checkpoint_seconds)
            )
        if self.log is not None:
            if self.log not in LOGS:
                raise SpecError(unknown(_("log"), self.log, LOGS))
            require_tensorboard()
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise SpecError(_("checkpoint_steps={n} is too few. Use 1 or more.", n=self.checkpoint_steps))

    @property
    def columns(self) -> ListColumns:
        """`path_column` and `label_column` as `open_data` takes them."""
        return ListColumns(path_column=self.path_column, label_column=self.label_column)

    def require_resumable(self) -> None:
        """Raises SpecError when an option of `IDENTITY` is set: a resumed run takes those from run.json."""
        defaults = {item.name: item.default for item in dataclasses.fields(self)}
        given = [name for name in IDENTITY if getattr(self, name) != defaults[name]]
        if given:
            raise SpecError(_("A resumed run takes {names} from its run.json. Leave them out.", names=", ".join(given)))
