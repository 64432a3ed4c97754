"""What the machine offers: device, threads, disk space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from plusx import settings
from plusx.errors import BundleError, SpecError
from plusx.i18n import _
from plusx.nn import device as devices
from plusx.runtime.processor import cores
from plusx.training.distributed import SINGLE_PROCESS, ProcessGroup
from plusx.training.options import RunOptions


@dataclass(frozen=True)
class Compute:
    """Where and how a run computes: its processes, device, number format (fp32 or bf16), and threads."""

    group: ProcessGroup
    device: torch.device
    precision: str
    threads: int
    """Threads that compute."""
    workers: int
    """Threads that read images."""

    @classmethod
    def choose(cls, options: RunOptions, group: ProcessGroup, precision: str, usual_threads: int | None) -> Compute:
        """What `options` ask for; else `usual_threads`, or all cores, shared by the processes of this machine."""
        share = max(1, cores() // group.local_world_size)
        # torchrun sets OMP_NUM_THREADS=1 in every process, so torch's own count says nothing there
        usual = usual_threads if group.world_size == 1 else min(usual_threads or share, share)
        device = pick_device(options.device, group)
        return cls(
            group=group,
            device=device,
            precision=devices.pick_precision(precision, device),
            threads=count_threads(options.threads, usual),
            workers=options.workers if options.workers is not None else share,
        )


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
