"""Which run a torchrun job has begun already, so that its restart goes on there."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from plusx.bundles import read_run
from plusx.errors import BundleError
from plusx.training.distributed import ProcessGroup, restarted
from plusx.training.naming import RUNS


def job() -> str | None:
    """What names the torchrun agent that started this process, the same for each of its attempts; None without torchrun."""
    run_id = os.environ.get("TORCHELASTIC_RUN_ID")
    if run_id is None:
        return None
    agent = os.getppid()
    try:  # the start of the agent in ticks since boot, for numbers of processes are used again (proc_pid_stat(5))
        start = Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        start = ""
    return f"{run_id} {platform.node()} {agent} {start}"


def jobs(group: ProcessGroup) -> list[str]:
    """The agents of all processes, each once."""
    return sorted({name for name in group.all_gather(job()) if name is not None})


def begun_before(command: list[str], out: str | None, group: ProcessGroup) -> Path | None:
    """The run that this torchrun job has begun with this command in an attempt before, on every rank the same; else None.

    A restart that follows a machine's leaving counts no attempt, so the agents tell: one of them is the same.
    """
    own = set(jobs(group))
    found = _find(command, out, own) if group.is_rank0 and own else None
    return group.broadcast(found)


def _find(command: list[str], out: str | None, own: set[str]) -> Path | None:
    paths = [Path(out)] if out is not None else [path.parent for path in RUNS.glob("*/run.json")]
    found = []
    for path in paths:
        try:
            run = read_run(path)
        except BundleError:
            continue
        same_job = bool(own & set(run.job)) or (out is not None and restarted())
        if list(run.command) == command and same_job:
            found.append((run.began is not None and run.began.timestamp(), path))
    return max(found)[1] if found else None
