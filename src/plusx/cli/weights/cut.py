"""plusx weights cut: the first stages of a network, as a file that says what it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from plusx.cli.networks import add_key, add_words, say_assumptions, words_of
from plusx.cli.output import counted, wrote
from plusx.errors import WeightsError
from plusx.i18n import _


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=_("a weights file of any family"))
    add("words", nargs="*", metavar="KEY=VALUE", help=_("fields that the file does not tell, like stride_in=1x1"))
    add(
        "--until",
        required=True,
        metavar="PLACE",
        help=_("stem, a stage like layer3, or a block like layer3.4; inclusive"),
    )
    add("-o", "--output", required=True, metavar="OUT", help=_("the .safetensors file to write"))
    add_words(parser)
    add_key(parser)


def run(args: argparse.Namespace) -> int:
    out = Path(args.output)
    if out.suffix != ".safetensors":
        raise WeightsError(
            _("-o {out} is not a safetensors file, the one kind that is written here. Name it {name}.", out=out, name=out.with_suffix(".safetensors").name)
        )  # fmt: skip
    from plusx.weights.cutting import cut_file

    spec, fields = words_of(args)
    made = cut_file(args.file, args.until, out, spec=spec, key=args.key, **fields)
    say_assumptions(made.translation.identification, made.whole, made.translation.notes)
    print(f"{made.translation.spec}: {made.info}")
    wrote(str(out), f"{made.kept} of {counted(made.had, 'tensor')}")
    return 0
