"""What the machine offers: device, number format, threads, disk space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from plusx import settings
from plusx.errors import BundleError, SpecError
from plusx.i18n import _
from plusx.runtime import processor
from plusx.training.distributed import SINGLE_PROCESS, ProcessGroup
from plusx.training.small_maps import SmallMapsInFloat32

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str, group: ProcessGroup = SINGLE_PROCESS) -> torch.device:
    """The device called `name`; auto takes the first of cuda, mps, cpu that is there. Raises SpecError.

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
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if name not in there:
        raise SpecError(_("--device {name} is unknown. Write one of {allowed}.", name=name, allowed=", ".join(DEVICES)))
    if not there[name]:
        raise SpecError(
            _(
                "--device {name} was asked for, but torch finds none here. Use one of {found}.",
                name=name, found=", ".join(kind for kind, exists in there.items() if exists),
            )
        )  # fmt: skip
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """fp32 or bf16, from a recipe's `precision` and the device."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and processor.multiplies_bf16() else "fp32"


@contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Inside, a network computes in `precision`; on a CPU without the layers that torch's bf16 kernels get wrong."""
    if precision != "bf16":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16), SmallMapsInFloat32() if device.type == "cpu" else nullcontext():
        yield


def memory_format(precision: str) -> torch.memory_format:
    """bf16 kernels want channels last; fp32 on a CPU is as fast in torch's own layout."""
    return torch.channels_last if precision == "bf16" else torch.contiguous_format


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
