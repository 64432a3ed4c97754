"""plusx weights bundle: a weights file as a bundle, with classes and preprocessing."""

from __future__ import annotations

import argparse

from plusx.cli.networks import add_file_options, add_words, open_source
from plusx.cli.output import wrote
from plusx.errors import BundleError
from plusx.i18n import _, _n

WRITES_FOLDER = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="FILE", help=_("a weights file of any family"))
    add("words", nargs="*", metavar="KEY=VALUE", help=_("what the tensors do not show, like norm=group8"))
    add("-o", "--output", required=True, metavar="DIR", help=_("the bundle to write"))
    add_words(parser)
    add_file_options(parser)


def run(args: argparse.Namespace) -> int:
    from plusx.weights import FileBundle, write_bundle

    bundle = open_source(args)
    if not isinstance(bundle, FileBundle):
        raise BundleError(_("{source} is already a bundle or a run. Give a weights file.", source=args.source))
    out = write_bundle(bundle, args.output)
    tensors = _n("{n:,} tensor", "{n:,} tensors", len(bundle.tensors))
    wrote(str(out), _("{network}, {tensors}", network=str(bundle.spec), tensors=tensors))
    print(out)
    return 0
