"""plusx train --find-lr: a short table, the suggested learning rate, and a chart; nothing is trained."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.languages import language
from plusx.cli.output import screen_width, write_whole, wrote
from plusx.cli.printing import localized, note, warn
from plusx.cli.progress import IndexingProgress
from plusx.errors import SpecError
from plusx.i18n import Message, _, translator
from plusx.text.alignment import fitted, paragraph

if TYPE_CHECKING:
    from plusx.specs import ResNetSpec
    from plusx.training.lr_range import LearningRateRange
    from plusx.training.options import RunOptions

EVERY = 10
"""Steps between two rows of the table: half a power of ten."""


class StepProgress(IndexingProgress):
    """Shows the steps of the test on a terminal."""

    def line(self, done: int, total: int) -> Message:
        return _("learning-rate test: step {done} of at most {total}", done=done, total=total)

    def close(self) -> None:
        """Clears the line, so that what is printed next stands alone."""
        if self.stream.isatty():
            print("\r\033[K", end="", file=self.stream, flush=True)


def find_and_print(
    network: str | ResNetSpec | None,
    data: str,
    recipe: str | None,
    out: str | None,
    options: RunOptions,
    lang: str | None,
) -> int:
    """Runs the test, prints it, and writes the chart to `out`, an SVG file. Returns the exit code."""
    from plusx.reports.lr_chart import lr_chart
    from plusx.training.lr_range import find_lr
    from plusx.training.naming import run_stem
    from plusx.training.signals import stop_on_signals

    if out is not None and Path(out).suffix != ".svg":
        raise SpecError(_("--find-lr writes a chart and no run. Write --out like {example}.", example=f"{out}.svg"))
    if options.minutes is not None:
        raise SpecError(_("--find-lr makes a fixed number of steps and takes no --minutes. Leave it out."))
    progress = StepProgress()
    try:
        with stop_on_signals(options.stop):
            found = find_lr(network, data, recipe, options, on_step=progress)
    finally:
        progress.close()
    if found.stopped:
        warn(_("The learning-rate test was stopped. Nothing was written."))
        return 128 + (options.stop.signal or 0)
    for line in found.setup.notes:
        note(line)
    if not found.smoothed:
        raise SpecError(_("The loss was not finite at the smallest learning rate. Try --precision fp32."))
    print("\n".join(_table(found)))
    width = screen_width()
    print("\n".join(["", *(line for text in _verdict(found) for line in paragraph(localized(text), width))]))
    path = out or f"find-lr-{run_stem(found.setup.spec, data).name}.svg"
    title = _("{network}: loss while the learning rate grows", network=found.setup.spec)
    say = translator(language(lang))
    svg = lr_chart(title, found.rates, found.losses, found.smoothed, found.suggested, say)
    write_whole(path, svg.encode())
    wrote(path, _("chart"))
    if found.suggested is not None:
        words = _command(sys.argv[1:], found.suggested)
        print("\n".join(paragraph(localized(_("next: {command}", command=words)), width)))
    return 0


def _table(found: LearningRateRange) -> list[str]:
    """About two rows for each power of ten, and always the suggested, the lowest and the last one."""
    last = len(found.rates) - 1
    shown = sorted({*range(0, last + 1, EVERY), found.steepest or 0, found.lowest, last})
    rows = [
        [f"{found.rates[i]:.1e}", f"{found.losses[i]:.3f}", f"{found.smoothed[i]:.3f}", localized(_mark(found, i))]
        for i in shown
    ]
    heads = [localized(head) for head in (_("learning rate"), _("loss"), _("smoothed"), _("remark"))]
    return fitted(heads, rows, [True, True, True, False], screen_width(), wrap=(3,)).lines


def _mark(found: LearningRateRange, step: int) -> Message | str:
    if step == found.steepest:
        return _("falls fastest")
    if step == found.lowest:
        return _("lowest")
    if step == len(found.rates) - 1 and found.diverged:
        return _("diverged")
    return ""


def _verdict(found: LearningRateRange) -> Iterator[Message]:
    if found.suggested is None:
        yield _(
            "The loss never fell below that of the first steps, so no learning rate is suggested. Look at the chart, or try "
            "a larger batch."
        )
        return
    yield _(
        "suggested: lr {lr:g}, where the smoothed loss falls fastest, for batch={batch} and {optimiser}; above {at:.1e} it rises",
        lr=found.suggested, at=found.rates[found.lowest], batch=found.setup.recipe.batch, optimiser=found.setup.recipe.optimiser,
    )  # fmt: skip


def _command(typed: Sequence[str], lr: float) -> str:
    """The command that was typed, with the rate found in place of the test, its chart and another rate.

    >>> _command(["train", "resnet18", "--data", "d", "--find-lr", "--recipe", "default lr=1 epochs=3"], 0.02)
    "plusx train resnet18 --data d --recipe 'default epochs=3' --lr 0.02"
    """
    kept: list[str] = []
    words = iter(typed)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--find-lr":
            continue
        if name in ("--out", "--lr", "--recipe"):
            value = value if equals else next(words, "")
            recipe = [each for each in value.split() if not each.startswith("lr=")]
            kept += ["--recipe", " ".join(recipe)] if name == "--recipe" and recipe else []
        else:
            kept.append(word)
    return " ".join(["plusx", *(shlex.quote(word) for word in kept), "--lr", f"{lr:g}"])
