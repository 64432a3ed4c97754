"""plusx doctor: what this machine has, and what it lacks for each part of plusx."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from plusx import settings
from plusx.errors import EXTRAS
from plusx.runtime import processor

SUMMARY = "this machine: processor, threads, extras, disk"

BASE = ("numpy", "PIL", "simplejpeg", "safetensors", "rich")
FAST_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = {"PIL": "pillow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace) -> int:
    found = examine()
    if args.format == "json":
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found.items():
        if isinstance(value, dict):
            print(name)
            for key, text in value.items():
                print(f"  {key:<12}{text}")
        else:
            print(f"{name:<14}{value}")
    return 0


def examine() -> dict[str, object]:
    """Everything `doctor` prints. Nothing heavy is imported: versions come from the packages' metadata."""
    flags = processor.flags()
    cache = settings.cache_dir()
    return {
        "plusx": metadata.version("plusx"),
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor.name(),
        "cores": processor.cores(),
        "threads": settings.threads() or os.environ.get("OMP_NUM_THREADS") or "all cores",
        "fast paths": ", ".join(flag for flag in FAST_FLAGS if flag in flags) or "none known",
        "training in": "bf16 autocast, channels_last"
        if processor.multiplies_bf16()
        else "fp32 (no AMX, no AVX512-BF16)",
        "base": {PACKAGES.get(name, name): version(name) for name in BASE},
        "extras": {extra: _extra(extra, names) for extra, names in EXTRAS.items()},
        "disk": {"here": free(Path.cwd()), "cache": f"{free(cache)} at {cache}"},
    }


def _extra(extra: str, names: tuple[str, ...]) -> str:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        return f"lacks {', '.join(missing)}; pip install 'plusx[{extra}]'"
    return ", ".join(f"{name} {version(name)}" for name in names)


def version(name: str) -> str:
    try:
        return metadata.version(PACKAGES.get(name, name))
    except metadata.PackageNotFoundError:
        return "missing"


def free(path: Path) -> str:
    while not path.exists():
        path = path.parent
    return f"{shutil.disk_usage(path).free / 1e9:.1f} GB free"
