"""The machine's processor and its features, read from the system without any library."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from pathlib import Path

from plusx import settings

CPUINFO = Path("/proc/cpuinfo")


@cache
def _cpuinfo(file: Path = CPUINFO) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def flags(file: Path = CPUINFO) -> frozenset[str]:
    """Features of the first processor as Linux names them; empty where the system has no such file."""
    found = _cpuinfo(file)
    return frozenset((found.get("flags") or found.get("Features") or "").split())


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(wanted: int | None = None) -> int:
    """Threads to work with: the argument, else PLUSX_THREADS, else one a core. Raises SpecError for another number."""
    if wanted is not None:
        return settings.check_threads(wanted)
    return settings.threads() or cores()


def multiplies_bf16(file: Path = CPUINFO) -> bool:
    """Whether the processor multiplies bf16 natively. Elsewhere bf16 is slower than fp32 (pytorch issue 86270), and less exact."""
    return bool({"amx_bf16", "avx512_bf16"} & flags(file))


def name() -> str:
    """Maker's name of the processor."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def key() -> str:
    """12 hex digits: processors with the same key share measured plans and compiled networks."""
    about = (name(), _cpuinfo().get("cpu family", ""), _cpuinfo().get("model", ""), *sorted(flags()), str(cores()))
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:12]
