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
from plusx.errors import BundleError
from plusx.training.trainer import Trainer

KEEP = 2
"""Checkpoints kept beside the best one: if the newest is damaged, the one before still stands."""


@dataclass(frozen=True)
class Snapshot:
    """A trainer's state at one moment, in memory of its own: the training may go on while it is written."""

    step: int
    best: int
    arrays: Mapping[str, Mapping[str, NDArray[np.generic]]]
    state: Mapping[str, Any]


def snapshot(trainer: Trainer) -> Snapshot:
    """The state now. Raises RunError when a weight is not finite: that must never become a checkpoint."""
    trainer.require_finite()
    progress = trainer.progress
    return Snapshot(
        progress.step,
        progress.best["step"] if progress.best else progress.step,
        {stem: arrays(tensors) for stem, tensors in trainer.tensors().items()},
        {"progress": trainer.progress_dict(), **circumstances(trainer)},
    )


def write(parent: Path, shot: Snapshot) -> Path:
    """Writes `parent`/step-00001234 durably and removes older ones; returns the new one.

    Raises RunError when the disk refuses; the checkpoints that were there still stand.
    """
    files = {f"{stem}.safetensors": tensors_to_bytes(tensors) for stem, tensors in shot.arrays.items()}
    files["state.json"] = json.dumps(shot.state, allow_nan=False).encode()
    path = write_checkpoint_dir(parent, name(shot.step), files, {"step": shot.step})
    prune_checkpoints(parent, KEEP, {name(shot.best)})
    return path


def restore(parent: Path, trainer: Trainer, say: Callable[[str], None]) -> Path | None:
    """Puts the newest whole checkpoint into `trainer`; None when there is none yet.

    The first process reads, the others hear of it: they need not see its disk. `say` gets a line for every damaged
    one passed over, and for what may keep the rest from being bit for bit the same. Raises BundleError when the
    checkpoint is another network's.
    """
    world = trainer.world
    found = world.from_first(world.together(lambda: _read(parent, say) if world.first else None))
    if found is None:
        return None
    path, tensors, state = found
    try:
        trainer.restore(
            {stem: {n: torch.from_numpy(np.array(a)) for n, a in own.items()} for stem, own in tensors.items()},
            state["progress"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _garbled(path, error) from error
    for what, now in circumstances(trainer).items():
        if state.get(what) != now:
            say(
                f"{_CIRCUMSTANCES[what]} was {state.get(what)}, is {now}: every image is still seen once an epoch, "
                f"but sums may round otherwise"
            )
    return path


_CIRCUMSTANCES = {"threads": "number of threads", "world": "number of processes", "torch": "torch"}


def circumstances(trainer: Trainer) -> dict[str, Any]:
    """What the last bits of a training depend on beside its arguments."""
    return {"threads": torch.get_num_threads(), "world": trainer.world.size, "torch": torch.__version__}


def _read(
    parent: Path, say: Callable[[str], None]
) -> tuple[Path, dict[str, dict[str, NDArray[np.generic]]], dict[str, Any]] | None:
    path = newest_complete(parent, say)
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
        raise _garbled(path, error) from error
    return path, tensors, state


def _garbled(path: Path, error: Exception) -> BundleError:
    what = f"lacks {error.args[0]!r}" if isinstance(error, KeyError) and error.args else "holds what no checkpoint does"
    return BundleError(f"{path} {what}. Remove it to resume from the one before.")


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    """Copies: what happens to the tensors afterwards does not reach them."""
    return {name: np.array(t.detach().cpu().numpy()) for name, t in tensors.items()}


def name(step: int) -> str:
    return f"step-{step:08d}"
