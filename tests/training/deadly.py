"""plusx whose process RANK kills itself (SIGKILL) once, after step STEP, when a checkpoint is on disk: deadly.py RANK STEP RUN WORDS…"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from plusx.cli.main import main
from plusx.training import trainer

learn = trainer.Trainer.learn


def deadly(self: trainer.Trainer, *batch: object) -> trainer.Learnt:
    learnt = learn(self, *batch)  # type: ignore[arg-type]
    rank, step, run = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    if self.world.rank == rank and self.progress.step == step and (run / "run.json").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return learnt


if __name__ == "__main__":
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        trainer.Trainer.learn = deadly  # type: ignore[method-assign]
    sys.exit(main(sys.argv[4:]))
