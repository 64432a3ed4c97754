"""Where and in which number format torch computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from plusx.errors import SpecError
from plusx.i18n import _
from plusx.nn.small_maps import SmallMapsInFloat32
from plusx.runtime import processor

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str) -> torch.device:
    """The device called `name`; auto takes the first of cuda, mps, cpu that exists here. Raises SpecError."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if name not in there:
        raise SpecError(_("--device {name} is unknown. Write one of {allowed}.", name=name, allowed=", ".join(DEVICES)))
    if not there[name]:
        raise SpecError(
            _(
                "--device {name} was asked for, but torch finds none here. Use one of {found}.",
                name=name,
                found=", ".join(kind for kind, here in there.items() if here),
            )
        )
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
    """Channels last for bf16, whose kernels need it; fp32 on a CPU is as fast in torch's own layout."""
    return torch.channels_last if precision == "bf16" else torch.contiguous_format
