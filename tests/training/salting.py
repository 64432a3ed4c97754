"""Memory that shows when it is read before it was written: glibc fills what it hands out with a byte of our choice."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_M_PERTURB = -6
"""malloc.h: memory is filled with the complement of the value's low byte; a value above 255 allows 0xff too."""
FILLS = (0xFF, 0x7F, 0x3F)
"""As bf16 and as fp32: NaN, about 3e38, about 0.75."""


def require_glibc() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc fills the memory it hands out")


@contextmanager
def salted(fill: int) -> Iterator[None]:
    """Inside, whatever is allocated in this process begins with bytes `fill`."""
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_PERTURB, 0x100 | (fill ^ 0xFF))
    try:
        yield
    finally:
        mallopt(_M_PERTURB, 0)
