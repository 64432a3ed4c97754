"""plusx merge: the parts of many machines as one file or data set, proved to be whole."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from plusx.cli.image_progress import ImageProgress
from plusx.cli.output import check_inputs_kept, check_output, is_stdout, wrote
from plusx.cli.printing import report
from plusx.errors import SpecError
from plusx.i18n import _, _n

CHECKS_OUTPUT = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("parts", nargs="+", metavar="PART", help=_("the -o of the shards: a folder, or the files"))
    add(
        "-o",
        "--output",
        metavar="FILE|DIR",
        help=_(".csv, .jsonl, .parquet or .npy; a folder becomes a Parquet data set (default: only prove)"),
    )


def run(args: argparse.Namespace) -> int:
    from plusx.cli.batch import finish
    from plusx.cluster.addresses import is_remote
    from plusx.cluster.merge import FORMATS, merge
    from plusx.cluster.proof import checked_parts

    output = None if is_stdout(args.output) else args.output
    endings = sorted({suffix for each in FORMATS.values() for suffix in each})
    if output is not None:
        check_ending(output, endings)
        if not is_remote(output):
            check_output(output, is_folder=Path(output).suffix.lower() not in endings)
            check_inputs_kept(args)
    checked = checked_parts(args.parts)
    if output is not None:
        check_ending(output, FORMATS[checked.job.command])
    meter = ImageProgress(checked.job.inputs)
    done = merge(checked, output, lambda row: meter.update(row.error is None))
    meter.close()
    rows, parts = _n("{n:,} row", "{n:,} rows", done.rows), _n("{n:,} part", "{n:,} parts", len(checked.parts))
    if output is None:
        report(_("every image has one row ({rows} in {parts})", rows=rows, parts=parts))
    else:
        wrote(output, _("{rows} of {parts}", rows=rows, parts=parts))
    finish(done.rows, done.unreadable)
    return 0


def check_ending(output: str, endings: Sequence[str]) -> None:
    """Refuses a file of another kind. Raises SpecError."""
    suffix = Path(output).suffix
    if suffix and suffix.lower() not in endings and not Path(output).is_dir():
        raise SpecError(
            _(
                "-o {output} ends in {suffix}, which these rows are not written as. Let it end in one of {allowed}, or name a folder.",
                output=output, suffix=suffix, allowed=", ".join(endings),
            )
        )  # fmt: skip
