"""plusx train --profile: where the time of a training goes, as a table and a trace; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.find_lr import StepProgress
from plusx.cli.output import screen_width, write_whole, wrote
from plusx.cli.printing import localized, note, warn
from plusx.errors import SpecError
from plusx.i18n import Message, _
from plusx.text.alignment import fitted, paragraph

if TYPE_CHECKING:
    from plusx.specs import ResNetSpec
    from plusx.training.options import RunOptions
    from plusx.training.profiling import TrainingProfile


class ProfileProgress(StepProgress):
    """Shows the steps of the profile on a terminal."""

    def line(self, done: int, total: int) -> Message:
        return _("profile: step {done} of {total}", done=done, total=total)


def profile_and_print(
    network: str | ResNetSpec | None, data: str, recipe: str | None, out: str | None, options: RunOptions
) -> int:
    """Takes the profile, prints it, and writes the trace to `out`, a JSON file. Returns the exit code."""
    from plusx.training.naming import run_stem
    from plusx.training.profiling import profile_training
    from plusx.training.signals import stop_on_signals

    if out is not None and Path(out).suffix != ".json":
        raise SpecError(_("--profile writes a trace and no run. Write --out like {example}.", example=f"{out}.json"))
    if options.minutes is not None:
        raise SpecError(_("--profile makes a fixed number of steps and takes no --minutes. Leave it out."))
    progress = ProfileProgress()
    try:
        with stop_on_signals(options.stop):
            profile = profile_training(network, data, recipe, options, on_step=progress)
    finally:
        progress.close()
    if profile is None:
        warn(_("The profile was stopped. Nothing was written."))
        return 128 + (options.stop.signal or 0)
    for line in profile.setup.notes:
        note(line)
    width = screen_width()
    print("\n".join(_table(profile)))
    print("\n".join(["", *(line for text in _verdict(profile) for line in paragraph(localized(text), width))]))
    path = out or f"profile-{run_stem(profile.setup.spec, data).name}.json"
    write_whole(path, profile.trace().encode())
    wrote(path, _("trace, for ui.perfetto.dev or chrome://tracing"))
    return 0


def _table(profile: TrainingProfile) -> list[str]:
    """Milliseconds an image of each part: of all cores and by the clock when it runs alone, and by the clock in training."""
    from plusx.training.profiling import rest
    from plusx.training.timing import PARTS, READING, WAITING

    rows: list[list[str]] = []
    for part, title in PARTS.items():
        alone = profile.reading if part in READING else profile.stepping
        if not alone.part_ms[part] and not profile.training.part_ms[part]:
            continue
        name = localized(_("{part} (reading threads)", part=title) if part in READING else title)
        own = ["", ""] if part == WAITING else [f"{alone.part_core_ms[part]:.2f}", f"{alone.part_ms[part]:.2f}"]
        rows.append([name, *own, f"{profile.training.part_ms[part]:.2f}"])
    ms, core_ms = rest(profile)
    rows.append([localized(_("all else of a step")), f"{core_ms:.2f}", f"{ms:.2f}", ""])
    reading, stepping, training = profile.reading, profile.stepping, profile.training
    rows.append(
        [
            localized(_("an image")),
            f"{reading.core_ms + stepping.core_ms:.2f}",
            f"{stepping.ms:.2f}",
            f"{training.ms:.2f}",
        ]
    )
    heads = [localized(head) for head in (_("part"), _("core-ms alone"), _("ms alone"), _("ms in training"))]
    return fitted(heads, rows, [False, True, True, True], screen_width(), wrap=(0,)).lines


def _verdict(profile: TrainingProfile) -> Iterator[Message]:
    reading, stepping = profile.reading, profile.stepping
    yield _(
        "{rate:.1f} images/s with batch={batch}; {limit:.1f} if {cores} cores were always busy with what an image costs alone: "
        "{step:.1f} core-ms of training and {read:.1f} of reading. That is {share:.0%} of it.",
        rate=profile.images_per_s, batch=profile.setup.recipe.batch, limit=profile.limit, cores=profile.cores,
        step=stepping.core_ms, read=reading.core_ms, share=profile.images_per_s / profile.limit,
    )  # fmt: skip
    waited = profile.training.part_ms["wait"] / profile.training.ms
    if waited > WAITS:
        yield _(
            "Training waits for images {share:.0%} of the time. Use more --workers, smaller photos, or a larger network.",
            share=waited,
        )


WAITS = 0.1
"""Share of the time above which waiting for images is worth a sentence."""
