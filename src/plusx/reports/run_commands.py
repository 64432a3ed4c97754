"""What was typed for a run, and what can be typed next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from plusx.bundles.records import RunRecord
from plusx.bundles.runs import RunRow
from plusx.i18n import Message, _


def command_of(argv: Sequence[str]) -> str:
    """The command as it was typed, with the program by its name.

    >>> command_of(["/usr/bin/plusx", "train", "resnet18", "--data", "my photos"])
    "plusx train resnet18 --data 'my photos'"
    >>> command_of(["/lib/python3.12/site-packages/plusx/__main__.py", "train"])
    'python -m plusx train'
    """
    if not argv:
        return ""
    program = ["python", "-m", "plusx"] if Path(argv[0]).name == "__main__.py" else [Path(argv[0]).name]
    return shlex.join([*program, *map(str, argv[1:])])


def next_commands(run: RunRecord, row: RunRow) -> Iterator[tuple[Message, str]]:
    """Commands for this run, as they can be typed where the run was started."""
    path, data = shlex.quote(str(run.path)), None if run.data.path is None else shlex.quote(run.data.path)
    if row.state in ("interrupted", "failed"):
        yield _("resume it"), f"plusx train --resume {path}"
    if not run.bundle.is_dir():
        return
    yield _("predict"), f"plusx predict {path} IMAGE …"
    if data is not None:
        yield _("evaluate again"), f"plusx evaluate {path} --data {data} --confusion"
    yield _("see which part decided"), f"plusx cam {path} IMAGE"
    yield _("export"), f"plusx export {path}"
    yield _("measure its speed"), f"plusx bench {path}"
    if row.state == "done":
        yield _("train on from its weights"), f"plusx train --weights {path} --data {data or 'DATA'}"
