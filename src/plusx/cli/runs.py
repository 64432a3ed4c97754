"""plusx runs: the training runs below a folder, newest first; a damaged run is a row too."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plusx.cli.languages import add_language, language
from plusx.cli.output import add_output, choose, choose_format, emit, screen_width
from plusx.cli.printing import localized, report, warn
from plusx.files import json_text
from plusx.i18n import Message, _, bytes_text, duration, translator
from plusx.text.alignment import fitted, hidden_note, paragraph

if TYPE_CHECKING:
    from plusx.bundles.runs import RunRow

FORMATS = ("table", "json")
SORTS = ("newest", "accuracy", "time", "name")
MOST_RECIPE = 40
"""Characters of a recipe in the table; json has all of them."""
HEADS = (
    _("run"), _("network"), _("data"), _("recipe"), _("epochs"), _("top-1"), _("started"), _("time"), _("disk"), _("state")
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("where", nargs="?", default="runs", metavar="DIR", help=_("a folder of runs, or one run (default: runs/)"))
    text = _("newest: started last; accuracy: best first; time: longest first; name (default: newest)")
    add("--sort", default="newest", metavar="|".join(SORTS), help=text)
    add("--report", action="store_true", help=_("write report.html of each run anew"))
    add("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else table"))
    add_output(parser)
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    form, order, lang = (
        choose_format(args.format, args.output, FORMATS),
        choose(_("order"), args.sort, SORTS),
        language(args.lang),
    )
    from plusx.bundles.runs import find_runs, read_run_row

    rows = ordered([read_run_row(path) for path in find_runs(args.where)], order)
    if args.report:
        _write_reports(rows, lang)
    if form == "json":
        shown = {"schema": "plusx.runs/1", "where": str(args.where), "runs": [_record(row) for row in rows]}
        return emit(json_text(shown, 1) + "\n", args.output)
    if not rows:
        warn(
            _("There are no runs below {folder}. plusx train writes to runs/, or where --out says.", folder=args.where)
        )
    return emit("\n".join(table(rows, translator(lang), screen_width(args.output))) + "\n", args.output)


def ordered(rows: Sequence[RunRow], order: str) -> list[RunRow]:
    """The rows by `order`; those that lack it come last, equal ones by name."""

    def key(row: RunRow) -> tuple[bool, float]:
        value = {
            "newest": row.began.timestamp() if row.began is not None else None,
            "accuracy": row.best.top1 if row.best is not None else None,
            "time": row.seconds,
            "name": 0.0,
        }[order]
        return value is None, -(value or 0.0)

    return sorted(sorted(rows, key=lambda row: row.path), key=key)


def table(rows: Sequence[RunRow], translate: Callable[[str], str], width: int | None = None) -> list[str]:
    """The lines of the human form; a narrow terminal hides what says least about how the run went."""
    right = [head in ("epochs", "time", "disk") for head in HEADS]
    column = {head.template: number for number, head in enumerate(HEADS)}
    drop = [column[head] for head in ("recipe", "disk", "time", "started", "data", "network")]
    wrap = [column[head] for head in ("state", "network", "recipe")]
    cells = [_cells(row, translate, with_command=width is None) for row in rows]
    lines, hidden = fitted([translate(head) for head in HEADS], cells, right, width, drop=drop, wrap=wrap)
    notes = hidden_note(HEADS, hidden)
    if width is not None and any(row.state == "interrupted" for row in rows):
        notes.append(_("Resume an interrupted run with plusx train --resume RUN."))
    return [*lines, *(part for text in notes for part in paragraph(translate(text), width))]


def _cells(row: RunRow, translate: Callable[[str], str], with_command: bool) -> list[str]:
    best = _("{share:.2%} of {n:,}", share=row.best.top1, n=row.best.n) if row.best is not None else ""
    recipe = recipe_text(row.recipe)
    return [
        str(row.path),
        row.network or "",
        translate(_data_text(row)),
        recipe if len(recipe) <= MOST_RECIPE else f"{recipe[: MOST_RECIPE - 1]}…",
        f"{row.epochs_done}/{row.epochs}" if row.epochs is not None and row.epochs_done is not None else "",
        translate(best),
        row.began.astimezone().strftime("%Y-%m-%d %H:%M") if row.began is not None else "",
        translate(duration(row.seconds)) if row.seconds is not None else "",
        bytes_text(row.size_bytes),
        translate(state_text(row, with_command)),
    ]


def state_text(row: RunRow, with_command: bool = True) -> Message | str:
    """done; interrupted after step N, with the command that resumes it; failed or damaged, and why."""
    if row.state == "damaged":
        return _("damaged: {reason}", reason=localized(row.note))
    if row.state == "failed":
        return _("failed: {reason}", reason=localized(row.note))
    if row.state == "interrupted":
        text = _("interrupted after step {step}", step=row.step)
        if with_command:
            text = _("{state}, resume with {command}", state=text, command=resume_command(row))
    elif row.state == "running":
        text = _("running, step {step} is saved", step=row.step)
    else:
        text = _("done")
    return _("{state} ({note})", state=text, note=localized(row.note)) if row.note else text


def resume_command(row: RunRow) -> str:
    return f"plusx train --resume {shlex.quote(str(row.path))}"


def recipe_text(values: dict[str, Any] | None) -> str:
    """A recipe as its shortest words; its name where another plusx wrote keys that this one does not have."""
    from plusx.errors import SpecError
    from plusx.training.recipe import Recipe

    if values is None:
        return ""
    try:
        return str(Recipe.from_dict(values))
    except (SpecError, TypeError, ValueError, KeyError, AttributeError):
        return str(values.get("name", ""))


def _data_text(row: RunRow) -> str:
    if row.data_kind is None:
        return ""
    return Path(row.data_path).name if row.data_path is not None else _("{kind} in memory", kind=row.data_kind)


def _record(row: RunRow) -> dict[str, Any]:
    found = {**row.to_dict(), "recipe_text": recipe_text(row.recipe)}
    return {**found, "resume": resume_command(row) if row.state == "interrupted" else None}


def _write_reports(rows: Sequence[RunRow], lang: str) -> None:
    from plusx.reports.run_report import write_report
    from plusx.training.recipe import shipped_values

    for row in rows:
        if row.network is not None:
            report(_("wrote {file}", file=write_report(row.path, lang, shipped_values)))
