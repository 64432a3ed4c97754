"""Reads networks in this process: the child process that a user's code gets would import torch for each."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from torch import nn

from plusx.checking import Checked, child
from plusx.checking.checked import judged
from plusx.checking.record import ReadModule


def check_module(net: nn.Module, name: str = "Net", folder: str = "", size: tuple[int, int] | None = None) -> Checked:
    """The findings about a network, by way of the JSON that the child process writes."""
    record = child.read(net, name, folder, None if size is None else list(size), 64)
    return judged(name, ReadModule.from_json(json.loads(json.dumps(record))))


def check_file(file: Path, name: str = "Net") -> Checked:
    """The findings about what `name` makes in a file."""
    return check_module(runpy.run_path(str(file), run_name=file.stem)[name](), name, str(file.parent))
