"""What the machine offers: device, threads, disk space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from plusx import settings
from plusx.errors import BundleError, SpecError
from plusx.i18n import _
from plusx.nn import device as devices
from plusx.training.distributed import SINGLE_PROCESS, ProcessGroup


def pick_device(name: str, group: ProcessGroup = SINGLE_PROCESS) -> torch.device:
    """The device called `name`; auto takes the first of cuda, mps, cpu that exists here. Raises SpecError.

    With several processes each has the GPU that `group` assigned to it.
    """
    if group.world_size > 1 and name in ("auto", group.device.type):
        return group.device
    if group.world_size > 1:
        raise SpecError(
            _(
                "--device {name} cannot be shared by processes here. Use auto or {found}.",
                name=name,
                found=group.device.type,
            )
        )
    return devices.pick_device(name)


def count_threads(wanted: int | None, default: int | None = None) -> int:
    """Threads to compute with: `wanted`, else PLUSX_THREADS, else `default`, else as torch found them.

    Raises SpecError for a number out of range.
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
def deterministic(device: torch.device) -> Iterator[None]:
    """Inside, torch's deterministic algorithms are on for a GPU; CPUs need no switch. torch warns of GPU kernels that have
    no deterministic form (torch's notes on randomness)."""
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


def require_disk_space(where: Path, need_bytes: int) -> None:
    """Raises BundleError unless the disk of `where` has `need_bytes` free."""
    home = next(parent for parent in (where.absolute(), *where.absolute().parents) if parent.exists())
    free = shutil.disk_usage(home).free
    if free < need_bytes:
        raise BundleError(
            _(
                "The disk of {path} has {free:.0f} MB free, but the checkpoints of this run need {need:.0f} MB. Free some "
                "space or choose another disk with --out.",
                path=where, free=free / 1e6, need=need_bytes / 1e6,
            )
        )  # fmt: skip
