"""A trainer's whole state as a directory on disk, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plusx.bundles import (
    bytes_to_tensors,
    newest_whole,
    prune_checkpoints,
    read_checkpoint_dir,
    tensors_to_bytes,
    write_checkpoint_dir,
)
from plusx.errors import BundleError
from plusx.training.trainer import Trainer

KEEP = 2
"""Checkpoints kept beside the best one: if the newest is damaged, the one before still stands."""


def save(parent: Path, trainer: Trainer) -> Path:
    """Writes `parent`/step-00001234 durably and removes older ones; returns the new one.

    Raises RunError when the disk refuses or a weight is not finite; the checkpoints that were there still stand.
    """
    trainer.require_finite()
    files = {f"{stem}.safetensors": tensors_to_bytes(arrays(t)) for stem, t in trainer.tensors().items()}
    state = {
        "progress": trainer.progress_dict(),
        "threads": torch.get_num_threads(),
        "world": 1,
        "torch": torch.__version__,
    }
    files["state.json"] = json.dumps(state, allow_nan=False).encode()
    progress = trainer.progress
    path = write_checkpoint_dir(parent, name(progress.step), files, {"step": progress.step})
    best = progress.best["step"] if progress.best else progress.step
    prune_checkpoints(parent, KEEP, {name(best)})
    return path


def restore(parent: Path, trainer: Trainer, say: Callable[[str], None]) -> Path | None:
    """Puts the newest whole checkpoint into `trainer`; None when there is none yet.

    `say` gets a line for every damaged one passed over, and for what may keep the rest from being bit for bit the
    same. Raises BundleError when the checkpoint is another network's.
    """
    path = newest_whole(parent, say)
    if path is None:
        return None
    files = read_checkpoint_dir(path)
    try:
        state = json.loads(files["state.json"])
        tensors = {
            Path(file).stem: {n: torch.from_numpy(np.array(a)) for n, a in bytes_to_tensors(raw, file).items()}
            for file, raw in files.items()
            if file.endswith(".safetensors")
        }
        trainer.restore(tensors, state["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path} lacks or garbles {error}; remove it to resume from the one before") from error
    for what, now in {"threads": torch.get_num_threads(), "torch": torch.__version__}.items():
        if state.get(what) != now:
            say(
                f"{what} was {state.get(what)}, is {now}: every picture is still seen once an epoch, but sums may round otherwise"
            )
    return path


def arrays(tensors: dict[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    return {name: t.detach().cpu().numpy() for name, t in tensors.items()}


def name(step: int) -> str:
    return f"step-{step:08d}"
