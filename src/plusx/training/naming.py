"""Names that a run gets where nobody gives one, and the command for a new run from its weights."""

from __future__ import annotations

import re
import shlex
from itertools import count
from pathlib import Path

from plusx.data import BUILT_IN, Splits
from plusx.files import expanded
from plusx.specs import ResNetSpec, base_preset


def default_recipe(splits: Splits) -> str:
    """The name of the recipe for data that came without one."""
    return "digits" if splits.train.kind == "digits" else "default"


def free_path(spec: ResNetSpec, data: str | Path) -> Path:
    """runs/NETWORK-DATA-NNN with the first free number; of a pattern, DATA keeps what can stand in a name."""
    of = data if data in BUILT_IN else expanded(data).resolve().name
    of = re.sub(r"[^\w.-]+", "", str(of)).strip(".-") or "data"
    stem = f"{base_preset(spec)}-{of}"
    return next(path for i in count(1) if not (path := Path("runs") / f"{stem}-{i:03d}").exists())


def new_run_command(run: str | Path, data: str | Path | None, recipe: str) -> str:
    """The command for a new run that starts with the weights of `run`."""
    return f"plusx train --weights {shlex.quote(str(run))} --data {shlex.quote(str(data or 'DATA'))} --recipe {shlex.quote(recipe)}"
