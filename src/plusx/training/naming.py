"""Names that a run gets where nobody gives one, and the command for a new run from its weights."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from plusx.data import BUILT_IN, Splits
from plusx.files import expanded
from plusx.specs import ResNetSpec, base_preset

RUNS = Path("runs")
"""Where runs go that nobody named."""


def default_recipe(splits: Splits) -> str:
    """The name of the recipe for data that came without one."""
    return "digits" if splits.train.kind == "digits" else "default"


def run_stem(spec: ResNetSpec, data: str | Path) -> Path:
    """runs/NETWORK-DATA, to which a number is added; of a pattern, DATA keeps what can stand in a name."""
    of = data if data in BUILT_IN else expanded(data).resolve().name
    of = re.sub(r"[^\w.-]+", "", str(of)).strip(".-") or "data"
    return RUNS / f"{base_preset(spec)}-{of}"


def new_run_command(run: str | Path, data: str | Path | None, recipe: str) -> str:
    """The command for a new run that starts with the weights of `run`."""
    return f"plusx train --weights {shlex.quote(str(run))} --data {shlex.quote(str(data or 'DATA'))} --recipe {shlex.quote(recipe)}"
