"""A trainer's whole state as a directory on disk, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plusx.bundles import (
    bytes_to_tensors,
    newest_complete,
    prune_checkpoints,
    read_checkpoint_dir,
    tensors_to_bytes,
    write_checkpoint_dir,
)
from plusx.bundles.run import restore_replaced
from plusx.errors import BundleError
from plusx.i18n import _
from plusx.training.step import Trainer

KEEP = 2
"""Checkpoints kept besides the best one. If the newest is damaged, the one before remains."""


@dataclass(frozen=True)
class Snapshot:
    """A trainer's state at one moment, copied, so training can continue while it is written."""

    step: int
    best: int
    arrays: Mapping[str, Mapping[str, NDArray[np.generic]]]
    state: Mapping[str, Any]


def snapshot(trainer: Trainer) -> Snapshot:
    """The state now. Raises RunError when a weight is not finite, so that no such state becomes a checkpoint."""
    trainer.require_finite()
    progress = trainer.progress
    return Snapshot(
        progress.step,
        progress.best["step"] if progress.best else progress.step,
        {stem: arrays(tensors) for stem, tensors in trainer.tensors().items()},
        {"progress": trainer.progress_dict(), **environment(trainer)},
    )


def write(parent: Path, shot: Snapshot) -> Path:
    """Writes `parent`/step-00001234 durably and removes older ones; returns the new one.

    Raises RunError when the disk is full or refuses; the earlier checkpoints are then untouched.
    """
    files = {f"{stem}.safetensors": tensors_to_bytes(tensors) for stem, tensors in shot.arrays.items()}
    files["state.json"] = json.dumps(shot.state, allow_nan=False).encode()
    path = write_checkpoint_dir(parent, name(shot.step), files, {"step": shot.step})
    prune_checkpoints(parent, KEEP, {name(shot.best)})
    return path


def restore(parent: Path, trainer: Trainer, on_note: Callable[[str], None]) -> Path | None:
    """Loads the newest complete checkpoint into `trainer` and returns its path; None when there is none yet.

    Rank 0 reads and broadcasts, so the others need not see its disk. `on_note` gets a line for every damaged checkpoint
    skipped, and for every difference that may change the last bits of what follows. Raises BundleError when the
    checkpoint belongs to another network.
    """
    group = trainer.group
    found = group.broadcast(group.run_on_rank0(lambda: _read(parent, on_note)))
    if found is None:
        return None
    path, tensors, state = found
    try:
        trainer.restore(
            {stem: {n: torch.from_numpy(np.array(a)) for n, a in own.items()} for stem, own in tensors.items()},
            state["progress"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _corrupt(path, error) from error
    for what, now in environment(trainer).items():
        if state.get(what) != now:
            on_note(
                _(
                    "{what} was {then} and is now {now}: every image is still used once an epoch, but the last bits of the "
                    "weights may differ",
                    what=_ENVIRONMENT[what], then=state.get(what), now=now,
                )
            )  # fmt: skip
    return path


_ENVIRONMENT = {"threads": _("the number of threads"), "world_size": _("the number of processes"), "torch": _("torch")}


def environment(trainer: Trainer) -> dict[str, Any]:
    """What the last bits of a training depend on besides its arguments."""
    return {"threads": torch.get_num_threads(), "world_size": trainer.group.world_size, "torch": torch.__version__}


def _read(
    parent: Path, on_note: Callable[[str], None]
) -> tuple[Path, dict[str, dict[str, NDArray[np.generic]]], dict[str, Any]] | None:
    restore_replaced(parent)
    path = newest_complete(parent, on_note)
    if path is None:
        return None
    files = read_checkpoint_dir(path)
    try:
        state = json.loads(files["state.json"])
        tensors = {
            Path(file).stem: dict(bytes_to_tensors(raw, file))
            for file, raw in files.items()
            if file.endswith(".safetensors")
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _corrupt(path, error) from error
    return path, tensors, state


def _corrupt(path: Path, error: Exception) -> BundleError:
    if isinstance(error, KeyError) and error.args:
        return BundleError(
            _(
                "{path} lacks {key!r}. Remove it to resume from the checkpoint before.",
                path=path,
                key=str(error.args[0]),
            )
        )
    return BundleError(
        _(
            "{path} holds fields of another kind than plusx writes. Remove it to resume from the checkpoint before.",
            path=path,
        )
    )


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    """Copies as numpy arrays, independent of later changes to the tensors."""
    return {name: np.array(t.detach().cpu().numpy()) for name, t in tensors.items()}


def name(step: int) -> str:
    return f"step-{step:08d}"
