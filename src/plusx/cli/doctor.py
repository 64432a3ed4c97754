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
from plusx.cli.output import screen_width
from plusx.cli.printing import localized
from plusx.errors import EXTRAS
from plusx.i18n import Message, _, bytes_text
from plusx.runtime import processor
from plusx.text.alignment import paragraph, terminal_width

BASE = ("numpy", "PIL", "simplejpeg", "safetensors", "rich", "platformdirs", "wcwidth")
FAST_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
FIRST = 16
"""Columns of what each line is called."""
PACKAGES = {"PIL": "pillow"}
HEADS = {
    "machine": _("machine"),
    "processor": _("processor"),
    "cores": _("cores"),
    "threads": _("threads"),
    "fast paths": _("fast paths"),
    "training in": _("training in"),
    "base": _("base"),
    "extras": _("extras"),
    "disk": _("disk"),
}
"""What the lines are called; the keys are those of --format json."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("table", "json"), default="table", help=_("default: table"))


def run(args: argparse.Namespace) -> int:
    found = examine()
    if args.format == "json":
        print(json.dumps(found, indent=2))
        return 0
    width = screen_width()
    for name, value in found.items():
        if isinstance(value, dict):
            print(localized(HEADS[name]))
            rows = [(f"  {key}", text) for key, text in value.items()]
        else:
            rows = [(localized(HEADS.get(name, name)), value)]
        for key, text in rows:
            shown = localized(text) if isinstance(text, str) else str(text)
            first = key + " " * (FIRST - terminal_width(key))
            print("\n".join(paragraph(shown, width, " " * FIRST, first)))
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
        "threads": settings.threads() or os.environ.get("OMP_NUM_THREADS") or _("all cores"),
        "fast paths": ", ".join(flag for flag in FAST_FLAGS if flag in flags) or _("none known"),
        "training in": "bf16 autocast, channels_last"
        if processor.multiplies_bf16()
        else _("fp32 (no AMX, no AVX512-BF16)"),
        "base": {PACKAGES.get(name, name): version(name) for name in BASE},
        "extras": {extra: _extra(extra, names) for extra, names in EXTRAS.items()},
        "disk": {"here": free(Path.cwd()), "cache": _("{free} at {folder}", free=free(cache), folder=cache)},
    }


def _extra(extra: str, names: tuple[str, ...]) -> Message | str:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        return _("missing: {names}; pip install 'plusx[{extra}]'", names=", ".join(missing), extra=extra)
    return ", ".join(f"{name} {version(name)}" for name in names)


def version(name: str) -> Message | str:
    try:
        return metadata.version(PACKAGES.get(name, name))
    except metadata.PackageNotFoundError:
        return _("missing")


def free(path: Path) -> Message:
    while not path.exists():
        path = path.parent
    return _("{size} free", size=bytes_text(shutil.disk_usage(path).free))
