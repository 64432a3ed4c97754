"""plusx whose process RANK kills itself (SIGKILL) once, after step STEP, when a checkpoint is on disk: deadly.py RANK STEP RUN WORDS…"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from plusx.cli.main import main
from plusx.training import step as step_module

train_step = step_module.Trainer.train_step


def deadly(self: step_module.Trainer, *batch: object) -> step_module.StepResult:
    result = train_step(self, *batch)  # type: ignore[arg-type]
    rank, at, run = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    if self.group.rank == rank and self.progress.step == at and (run / "run.json").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return result


if __name__ == "__main__":
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        step_module.Trainer.train_step = deadly  # type: ignore[method-assign]
    sys.exit(main(sys.argv[4:]))
