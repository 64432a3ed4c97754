"""plusx weights cut: the first stages of a network, as a file that names its network."""

from __future__ import annotations

import argparse
from pathlib import Path

from plusx.cli.networks import add_key, add_words, say_assumptions, words_of
from plusx.cli.output import wrote
from plusx.cli.printing import say
from plusx.errors import WeightsError
from plusx.i18n import _


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=_("a weights file of any family"))
    add("words", nargs="*", metavar="KEY=VALUE", help=_("what the tensors do not show, like norm=group8"))
    add(
        "--until",
        required=True,
        metavar="STAGE",
        help=_("stem, a stage like layer3, or a block like layer3.4; inclusive"),
    )
    add("-o", "--output", required=True, metavar="OUT", help=_("the .safetensors file to write"))
    add_words(parser)
    add_key(parser)


def run(args: argparse.Namespace) -> int:
    """Print channels, stride and receptive field at the cut, and write the file."""
    out = Path(args.output)
    if out.suffix != ".safetensors":
        raise WeightsError(
            _(
                "-o {output} does not end in .safetensors, the one format that is written. Name it {name}.",
                output=out,
                name=out.with_suffix(".safetensors").name,
            )
        )
    from plusx.weights.cutting import cut_file

    spec, fields = words_of(args)
    made = cut_file(args.file, args.until, out, spec=spec, key=args.key, **fields)
    say_assumptions(made.translation.identification, made.whole, made.translation.notes)
    say(_("{network}: {info}", network=str(made.translation.spec), info=made.info.describe()))
    wrote(args.output, _("{n} of {all} tensors", n=made.kept, all=made.had))
    return 0
