"""What predict and embed do for one job on many machines: --shard I/N, and --ray."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.image_progress import ImageProgress
from plusx.cli.networks import bundle_on_disk, open_source
from plusx.cli.output import check_inputs_kept, check_output, is_stdout, wrote
from plusx.cli.printing import localized, note, report
from plusx.cli.ranges import whole_number
from plusx.errors import SpecError
from plusx.i18n import _, _n

if TYPE_CHECKING:
    from plusx.cluster.parts import BatchOptions
    from plusx.cluster.places import PartsPlace

NOTHING_WORKED = 3
_MOST_TYPED = 200
"""Words of a command that a manifest keeps, to say how to compute what is missing."""


def add_batch(parser: argparse.ArgumentParser) -> None:
    """The options for work on many machines."""
    add = parser.add_argument
    add("--shard", metavar="I/N", help=_("the I-th of N parts, from 1: one command for each machine; see plusx merge"))
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="[HOST:PORT]",
        help=_("compute on a Ray cluster at this address, at auto, or one of its own"),
    )
    add("--part-rows", type=int, metavar="N", help=_("with -o DIR: images of each file there (default: 10,000)"))


def is_batch(args: argparse.Namespace) -> bool:
    return args.shard is not None or args.ray is not None


def read_shard(words: str) -> tuple[int, int]:
    """(i, n) of "i/n". Raises SpecError."""
    first, of = (whole_number(part) for part in words.partition("/")[::2])
    if first is None or of is None or not 1 <= first <= of:
        raise SpecError(
            _("--shard {words} is not I/N. Write two numbers like 3/8, the first from 1 to the second.", words=words)
        )
    return first, of


@dataclass(frozen=True)
class BatchOutput:
    """Where the parts go, and in which format."""

    place: PartsPlace
    form: str


def run_batch(args: argparse.Namespace, options: BatchOptions, form: str | None) -> int:
    """One shard, written and reported. `form` is the format asked for with --format."""
    from plusx.cluster.inputs import find_records
    from plusx.cluster.shard import run_shard
    from plusx.images import NonImages

    if args.ray is not None:
        return run_ray(args, options, form)
    shard = read_shard(args.shard)
    out = batch_output(args, options.command, form)
    tally = NonImages()
    meter = ImageProgress()

    def start(n: int) -> None:
        meter.total = n

    done = run_shard(
        out.place, open_source(args, for_features=options.command == "embed"), options, out.form,
        find_records(args.paths, tally), shard, part_rows=args.part_rows, typed=typed_words(args, out.place.file is None),
        on_start=start, on_row=lambda row: meter.update(row.error is None),
    )  # fmt: skip
    meter.close()
    if words := tally.note():
        note(words)
    if not done.computed and done.rows:
        report(_("{output} has all rows of shard {shard} already ({rows})", output=args.output, shard=args.shard,
                 rows=_n("{n:,} row", "{n:,} rows", done.rows)))  # fmt: skip
    else:
        wrote(
            args.output, _("{rows} of shard {shard}", rows=_n("{n:,} row", "{n:,} rows", done.rows), shard=args.shard)
        )
    return finish(done.rows, done.unreadable)


def run_ray(args: argparse.Namespace, options: BatchOptions, form: str | None) -> int:
    """The whole job on Ray, written and reported."""
    from plusx.bundles import open_bundle
    from plusx.cluster.inputs import find_records
    from plusx.cluster.ray_cluster import check_address
    from plusx.cluster.with_ray import run_on_ray
    from plusx.images import NonImages

    address = check_address(args.ray)
    if args.shard is not None:
        raise SpecError(_("--shard and --ray both divide the images. Write one of them."))
    out = batch_output(args, options.command, form)
    tally = NonImages()
    meter = ImageProgress()

    def start(n: int) -> None:
        meter.total = n

    def part(rows: int, unreadable: int) -> None:
        for number in range(rows):
            meter.update(number >= unreadable)

    with bundle_on_disk(args, for_features=options.command == "embed") as path:
        done = run_on_ray(
            out.place, open_bundle(path), options, out.form, find_records(args.paths, tally), address,
            part_rows=args.part_rows, on_start=start, on_part=part,
        )  # fmt: skip
    meter.close()
    if words := tally.note():
        note(words)
    rows = _n("{n:,} row", "{n:,} rows", done.rows)
    if not done.computed and done.rows:
        report(_("{output} has all rows already ({rows})", output=args.output, rows=rows))
    else:
        wrote(args.output, rows)
    return finish(done.rows, done.unreadable)


def finish(rows: int, unreadable: int) -> int:
    """The exit code, after a line about images that could not be read."""
    if unreadable:
        text = _("plusx: {bad} of {n} images could not be read. Their rows say why.", bad=unreadable, n=rows)
        print(localized(text), file=sys.stderr)
    return NOTHING_WORKED if rows and unreadable == rows else 0


def batch_output(args: argparse.Namespace, command: str, form: str | None) -> BatchOutput:
    """The place and the format of the parts. Raises SpecError."""
    from plusx.cluster.addresses import is_remote
    from plusx.cluster.part_rows import FORMATS
    from plusx.cluster.places import place_at

    forms = FORMATS[command]
    if is_stdout(args.output):
        raise SpecError(_("With --shard or --ray, name a folder for the parts with -o DIR."))
    if form is not None and form not in forms:
        raise SpecError(_("--format {form} is not for parts. Allowed: {allowed}.", form=form, allowed=", ".join(forms)))
    place = place_at(args.output, tuple(f".{each}" for each in forms))
    if not is_remote(args.output):
        check_output(args.output, is_folder=place.file is None)
        check_inputs_kept(args, is_folder=place.file is None)
    if place.file is None:
        if Path(args.output).suffix and not Path(args.output).is_dir():
            raise SpecError(
                _(
                    "-o {output} ends in {suffix}, which parts are not written as. Let it end in one of {allowed}, or name a folder.",
                    output=args.output, suffix=Path(args.output).suffix, allowed=", ".join(f".{each}" for each in forms),
                )
            )  # fmt: skip
        return BatchOutput(place, form or forms[0])
    if args.part_rows is not None:
        raise SpecError(_("--part-rows is for parts in a folder, but -o {output} is one file.", output=args.output))
    ending = Path(args.output).suffix.lower()[1:]
    if form not in (None, ending):
        raise SpecError(
            _(
                "-o {output} ends in {suffix}, but --format {written} was asked for. Change one of them.",
                output=args.output, suffix=f".{ending}", written=form,
            )
        )  # fmt: skip
    return BatchOutput(place, ending)


def typed_words(args: argparse.Namespace, with_output: bool) -> list[str]:
    """The words of this command without its shard, to be typed again for another one."""
    words: list[str] = []
    rest = iter(args.typed)
    for word in rest:
        name = word.partition("=")[0]
        if name == "--shard" or (name in ("-o", "--output") and not with_output):
            if "=" not in word:
                next(rest, None)
        else:
            words.append(word)
    return words if len(words) <= _MOST_TYPED else []
