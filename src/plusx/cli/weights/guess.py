"""plusx weights guess: what a file does not show, ranked by how well it fits labelled images or known outputs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plusx.cli.networks import add_key
from plusx.cli.output import add_output, choose_format, emit
from plusx.cli.printing import localized
from plusx.errors import DataError, SpecError
from plusx.files import open_regular
from plusx.i18n import _
from plusx.text.alignment import aligned

if TYPE_CHECKING:
    from plusx.weights import Guess

FORMATS = ("table", "json")
MOST_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=_("a weights file of any family"))
    add("--data", metavar="D", help=_("labelled images, as for plusx train"))
    add("--inputs", metavar="X.npy", help=_("inputs (n, c, h, w) that the network was once given"))
    add("--outputs", metavar="Y.npy", help=_("the outputs that it gave for them (n, classes)"))
    add("--labels", metavar="FILE|imagenet-1k", help=_("the network's classes, to match them with those of the images"))
    add("--images", type=int, default=48, metavar="N", help=_("how many images to try (default: 48)"))
    add_key(parser)
    add("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else table"))
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    if (args.data is None) == (args.outputs is None) or (args.inputs is None) != (args.outputs is None):
        raise SpecError(_("plusx weights guess needs evidence: --data D, or --inputs X.npy with --outputs Y.npy."))
    from plusx.data import open_data
    from plusx.weights import guess

    data = None if args.data is None else open_data(args.data).train
    inputs, outputs = (None if name is None else _array(name) for name in (args.inputs, args.outputs))
    found = guess(
        args.file, data=data, inputs=inputs, outputs=outputs, labels=args.labels, key=args.key, images=args.images
    )
    if form == "json":
        return emit(json.dumps([_record(each) for each in found], indent=1) + "\n", args.output)
    return emit(table(found), args.output)


def _array(name: str) -> Any:
    """The numpy array of a file; nothing in it is executed. Raises DataError."""
    import numpy as np

    try:
        with open_regular(Path(name)) as file:
            return np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(_("There is no file {name}. Check the path.", name=name)) from None
    except (OSError, ValueError, EOFError):
        raise DataError(_("{name} is not an array that numpy wrote. Write it with numpy.save.", name=name)) from None


def _record(found: Guess) -> dict[str, Any]:
    return {
        "words": list(found.words),
        "colour": found.colour,
        "normalisation": found.normalisation,
        "score": found.score,
        "evidence": found.evidence,
    }


def table(found: list[Guess]) -> str:
    """The likeliest possibilities, one a line."""
    rows = [
        [" ".join(each.words) or "-", each.colour, each.normalisation or "-", localized(each.evidence)]
        for each in found[:MOST_SHOWN]
    ]
    heads = [_("words"), _("colour"), _("normalisation"), _("evidence")]
    return "\n".join(aligned([*map(localized, heads)], rows, [False] * 4)) + "\n"
