"""What a checkpoint costs a training: how long its writing takes, and how long the training stands still for it.

A ResNet-50 with momentum and averaged weights (283 MB a checkpoint) trains on the digits, enlarged; every eighth step is
checkpointed, on the disk of --at. The same state is then written by the training's own thread, as a trainer would that
does not write beside: that is what the standing still is measured against, in the same run.

    python benchmarks/checkpoint.py [--n 7] [--at DIR] [--json FILE]

Claimed (docs/train.md): the training stands still for at most a fifth of what the writing takes. Exit 1 if not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from _common import Claims, machine_line, save, spread
from plusx.data import open_data
from plusx.training import Checkpointed, RunOptions, checkpoint, fit, loop

EVERY = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=7, help="checkpoints measured")
    parser.add_argument(
        "--at", type=Path, help="a folder on the disk to be measured; default: the one for temporary files"
    )
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    print(machine_line())
    whole = open_data("digits")
    steps = EVERY * (asked.n + 1)
    few = replace(whole, train=whole.train.subset(np.arange(8 * steps)), val=whole.val.subset(np.arange(16)))
    alone: list[float] = []
    write = checkpoint.write

    def again(parent: Path, shot: checkpoint.Snapshot) -> Path:
        """As it is, and remembered, so that the training's thread can write the same state afterwards."""
        shots.append(shot)
        return write(parent, shot)

    shots: list[checkpoint.Snapshot] = []
    loop.checkpoint.write = again
    with tempfile.TemporaryDirectory(dir=asked.at) as scratch:
        run = fit(
            "resnet50 stem=3x3", few, "digits epochs=1 batch=8 size=32 ema=0.99", Path(scratch) / "run",
            options=RunOptions(checkpoint_steps=EVERY),
        )  # fmt: skip
        rows: list[Checkpointed] = []
        for event in run:
            if isinstance(event, Checkpointed) and len(rows) < asked.n:
                rows.append(event)
                begun = time.perf_counter()
                write(Path(scratch) / "alone", shots[-1])
                alone.append(time.perf_counter() - begun)
            shots = shots[-1:]
    written, stood = [row.seconds for row in rows], [row.stall for row in rows]
    size = sum(a.nbytes for own in shots[-1].arrays.values() for a in own.values()) if shots else 0
    print(
        f"ResNet-50 with momentum and average, {size / 1e6:.0f} MB, n = {len(rows)}; seconds, median (smallest to largest)"
    )
    print(f"  written beside the training     {spread(written)}")
    print(f"  the training stood still for    {spread(stood)}")
    print(f"  written by the training itself  {spread(alone)}")
    claims = Claims()
    share = statistics.median(stood) / statistics.median(alone)
    claims.check("standing still, of what writing would take", share, 0.2, "")
    save(asked.json, "checkpoint.py", asked.n, {"written_s": written, "stood_s": stood, "alone_s": alone}, claims)
    return claims.exit


if __name__ == "__main__":
    sys.exit(main())
