"""The bar and the line of an epoch say the same of it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from plusx.cli.progress import TrainingBar
from plusx.training.events import Evaluated, Step
from training.tinyrun import resumed, splits, started, stopped_after


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("resumed_at", [None, 4, 6])
def test_the_bar_ends_an_epoch_with_the_numbers_of_its_line(resumed_at: int | None, tmp_path: Path) -> None:
    """Counted here from the steps too: 90 images in batches of 16 and 15, each image once. A run that was stopped within an
    epoch, or after its last step, has the images before the stop in its numbers."""
    stream, shown, sums, lines = Terminal(), "", [0.0, 0, 0], 0
    bar = TrainingBar(stream)
    whole = {event.step: event for event in started(tmp_path / "whole") if isinstance(event, Step)}
    if resumed_at is None:
        events = started(tmp_path / "run")
    else:
        stopped_after(tmp_path / "run", resumed_at)
        events = resumed(tmp_path / "run")
        for step in range(1, resumed_at + 1):
            sums = [sums[0] + whole[step].loss * whole[step].n, sums[1] + whole[step].correct, sums[2] + whole[step].n]
    for event in events:
        bar(event)
        if isinstance(event, Step):
            sums = [sums[0] + event.loss * event.n, sums[1] + event.correct, sums[2] + event.n]
            assert bar.progress is not None
            fields = bar.progress.tasks[0].fields
            shown = f"loss {fields['loss']}  train {fields['train']}"
            assert shown == f"loss {sums[0] / sums[2]:.3f}  train {sums[1] / sums[2]:.1%}"
        elif isinstance(event, Evaluated):
            line = re.search(r"loss [\d.]+  train +[\d.]+%", str(bar.epoch_line(event)))
            assert line and sums[2] == len(splits().train)
            if shown:
                assert re.sub(" +", " ", line[0]) == re.sub(" +", " ", shown)
            sums, lines = [0.0, 0, 0], lines + 1
    assert lines == 2
    screen = stream.getvalue()
    assert "loss" in screen and "train" in screen
