"""plusx runs: the trainings below a folder, newest first; what is damaged is a row too."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plusx.cli.languages import add_language, language
from plusx.cli.output import add_output, choose, choose_format, emit

if TYPE_CHECKING:
    from plusx.bundles.runs import RunRow

SUMMARY = "the trainings below a folder: how far, how good, how to go on"
FORMATS = ("table", "json")
SORTS = ("newest", "accuracy", "time", "name")
MOST_RECIPE = 40
"""Characters of a recipe in the table; json has all of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("where", nargs="?", default="runs", metavar="DIR", help="a folder of runs, or one run (default: runs/)")
    text = "newest: began last; accuracy: best first; time: longest first; name"
    add("--sort", default="newest", metavar="|".join(SORTS), help=text)
    add("--report", action="store_true", help="write report.html of each run again")
    add("--format", metavar="|".join(FORMATS), help="default: as FILE ends, else table")
    add_output(parser)
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    form, order, lang = (
        choose_format(args.format, args.output, FORMATS),
        choose("order", args.sort, SORTS),
        language(args.lang),
    )
    from plusx.bundles.runs import find_runs, read_run_row

    rows = ordered([read_run_row(path) for path in find_runs(args.where)], order)
    if args.report:
        _write_reports(rows, lang)
    if form == "json":
        shown = {"schema": "plusx.runs/1", "where": str(args.where), "runs": [_record(row) for row in rows]}
        return emit(json.dumps(shown, ensure_ascii=False, indent=1) + "\n", args.output)
    if not rows:
        print(f"plusx: no runs below {args.where}; plusx train writes to runs/ or --out", file=sys.stderr)
    from plusx.i18n import translator

    return emit("\n".join(table(rows, translator(lang))) + "\n", args.output)


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


def table(rows: Sequence[RunRow], translate: Callable[[str], str]) -> list[str]:
    """The lines of the human form."""
    from plusx.text.alignment import aligned

    heads = ("run", "network", "data", "recipe", "epochs", "top-1", "began", "time", "size", "state")
    right = [head in ("epochs", "time", "size") for head in heads]
    return aligned([translate(head) for head in heads], [_cells(row, translate) for row in rows], right)


def _cells(row: RunRow, translate: Callable[[str], str]) -> list[str]:
    from plusx.i18n import bytes_text, duration

    best = translate(f"{row.best.top1:.2%} of {row.best.n:,}") if row.best is not None else ""
    recipe, data = recipe_text(row.recipe), _data_text(row)
    return [
        str(row.path),
        row.network or "",
        translate(data) if row.data_path is None else data,
        recipe if len(recipe) <= MOST_RECIPE else f"{recipe[: MOST_RECIPE - 1]}…",
        f"{row.epochs_done}/{row.epochs}" if row.epochs is not None and row.epochs_done is not None else "",
        best,
        row.began.astimezone().strftime("%Y-%m-%d %H:%M") if row.began is not None else "",
        translate(duration(row.seconds)) if row.seconds is not None else "",
        bytes_text(row.size_bytes),
        state_text(row, translate),
    ]


def state_text(row: RunRow, translate: Callable[[str], str]) -> str:
    """done; interrupted after step N, go on with …; failed or damaged: why."""
    if row.state == "damaged":
        return translate(f"damaged: {row.note}")
    if row.state == "failed":
        return translate(f"failed: {row.note}")
    if row.state == "interrupted":
        text = translate(f"interrupted after step {row.step}, go on with {resume_command(row)}")
    elif row.state == "running":
        text = translate(f"running, step {row.step} is saved")
    else:
        text = translate(row.state)
    return f"{text} ({translate(row.note)})" if row.note else text


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
    except (SpecError, TypeError):
        return str(values.get("name", ""))


def _data_text(row: RunRow) -> str:
    if row.data_kind is None:
        return ""
    return Path(row.data_path).name if row.data_path is not None else f"{row.data_kind} in memory"


def _record(row: RunRow) -> dict[str, Any]:
    found = {**row.to_dict(), "recipe_text": recipe_text(row.recipe)}
    return {**found, "resume": resume_command(row) if row.state == "interrupted" else None}


def _write_reports(rows: Sequence[RunRow], lang: str) -> None:
    from plusx.reports.run_report import write_report

    for row in rows:
        if row.network is not None:
            print(f"wrote {write_report(row.path, lang)}", file=sys.stderr)
