"""plusx weights convert: a file for another system, with a proof that it is the same network."""

from __future__ import annotations

import argparse

from plusx.cli.networks import add_key, add_words, words_of
from plusx.cli.output import is_stdout, wrote
from plusx.cli.printing import note, say
from plusx.errors import SpecError
from plusx.i18n import _

WRITES_FOLDER = True
"""-o may name a folder: Hugging Face's models are folders."""
TARGETS = ("plusx", "torchvision", "timm", "mmdet", "mmpretrain", "huggingface", "detectron2", "keras")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=_("a weights file of any family"))
    add("words", nargs="*", metavar="KEY=VALUE", help=_("what the tensors do not show, like norm=group8"))
    add("--to", required=True, metavar="|".join(TARGETS), help=_("the system that reads the new file"))
    add("-o", "--output", required=True, metavar="OUT", help=_("the file to write; for huggingface a directory"))
    add_words(parser)
    add_key(parser)
    add("--bgr-to-rgb", action="store_true", help=_("turn a network for BGR images into one for RGB images"))


def run(args: argparse.Namespace) -> int:
    from plusx.weights import convert_file
    from plusx.weights.conversion.convert_weights import EXTRA, PROOF

    if is_stdout(args.output):
        raise SpecError(_("plusx weights convert writes a file and a proof beside it. Name the file with -o OUT."))
    spec, fields = words_of(args)
    colour = "RGB" if args.bgr_to_rgb else None
    out = convert_file(args.file, args.to, args.output, spec=spec, key=args.key, colour=colour, on_note=note, **fields)
    beside, stem = (out, "") if out.is_dir() else (out.parent, f"{out.name}.")
    proof, extra = beside / f"{stem}{PROOF}", beside / f"{stem}{EXTRA}"
    say(_("proof  {path}", path=proof))
    if extra.is_file():
        say(_("extra  {path} (tensors that {target} has no name for)", path=extra, target=args.to))
    wrote(str(out), args.to)
    return 0
