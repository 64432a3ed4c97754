"""plusx whose process RANK kills itself (SIGKILL) once, after step STEP, when a checkpoint is on disk: deadly.py RANK STEP RUN WORDS…"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from plusx.cli.main import main
from plusx.training import trainer

RANK, STEP, RUN = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
learn = trainer.Trainer.learn


def deadly(self: trainer.Trainer, *batch: object) -> trainer.Learnt:
    learnt = learn(self, *batch)  # type: ignore[arg-type]
    if self.world.rank == RANK and self.progress.step == STEP and (RUN / "run.json").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return learnt


if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    trainer.Trainer.learn = deadly  # type: ignore[method-assign]
sys.argv = ["plusx", *sys.argv[4:]]
sys.exit(main())
