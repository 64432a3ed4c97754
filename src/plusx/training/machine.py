"""What the machine offers: device, threads, room on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from plusx import settings
from plusx.errors import BundleError, SpecError
from plusx.nn import device as devices
from plusx.training.world import ALONE, World


def pick_device(name: str, world: World = ALONE) -> torch.device:
    """The device called `name`; auto takes the first of cuda, mps, cpu that is there. Raises SpecError.

    Of several processes each has the GPU of its own that `world` gave it.
    """
    if world.size > 1 and name in ("auto", world.device.type):
        return world.device
    if world.size > 1:
        raise SpecError(f"device {name!r}, cannot be shared by processes here; allowed: auto, {world.device.type}")
    return devices.pick_device(name)


def count_threads(wanted: int | None, default: int | None = None) -> int:
    """Threads to compute with: `wanted`, else PLUSX_THREADS, else `default`, else as torch found them.

    Raises SpecError for a number that cannot be meant.
    """
    if wanted is not None:
        return settings.check_threads(wanted)
    return settings.threads() or default or torch.get_num_threads()


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Inside, torch computes with `count` threads; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, a GPU computes the same from the same, as CPUs do anyway (torch's notes on randomness); some of its
    kernels have no such form, and torch warns of those."""
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    tried = torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = tried


def require_room(where: Path, need_bytes: int) -> None:
    """Raises BundleError unless the disk of `where` has `need_bytes` free."""
    home = next(parent for parent in (where.absolute(), *where.absolute().parents) if parent.exists())
    free = shutil.disk_usage(home).free
    if free < need_bytes:
        raise BundleError(
            f"disk of {where} ({free / 1e6:.0f} MB free), a run needs {need_bytes / 1e6:.0f} MB for its checkpoints; "
            f"free some or choose another disk with --out"
        )
