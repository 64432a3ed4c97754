"""plusx weights convert: a file for another system, with a proof that it is the same network."""

from __future__ import annotations

import argparse
import json

from plusx.cli.networks import add_key, add_words, colour_of, say_note, words_of
from plusx.cli.output import wrote
from plusx.errors import SpecError
from plusx.i18n import _

WRITES_FOLDER = True
"""-o may name a folder: Hugging Face's models are folders."""
TARGETS = ("plusx", "torchvision", "timm", "mmdet", "mmpretrain", "huggingface", "detectron2", "keras")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=_("a weights file of any family"))
    add("words", nargs="*", metavar="KEY=VALUE", help=_("fields that the file does not tell, like norm=group8"))
    add("--to", required=True, metavar="|".join(TARGETS), help=_("the system that shall read it"))
    add("-o", "--output", required=True, metavar="OUT", help=_("the file to write; for huggingface a folder"))
    add_words(parser)
    add_key(parser)
    add("--bgr-to-rgb", action="store_true", help=_("turn a network for BGR images into one for RGB images"))


def run(args: argparse.Namespace) -> int:
    from plusx.weights.convert import EXTRA, PROOF, convert_file

    if args.output == "-":
        raise SpecError(_("plusx weights convert writes a file and a proof beside it. Name the file with -o OUT."))
    spec, fields = words_of(args)
    out = convert_file(args.file, args.to, args.output, spec=spec, key=args.key, colour=colour_of(args), **fields)
    beside, stem = (out, "") if out.is_dir() else (out.parent, f"{out.name}.")
    proof = beside / f"{stem}{PROOF}"
    for note in json.loads(proof.read_text(encoding="utf-8"))["notes"]:
        say_note(note)
    print(_("proof  {path}", path=proof))
    extra = beside / f"{stem}{EXTRA}"
    if extra.is_file():
        print(_("extra  {path} (tensors that {target} has no name for)", path=extra, target=args.to))
    wrote(str(out), args.to)
    return 0
