"""plusx weights bundle: a weights file as a bundle, with classes and preprocessing."""

from __future__ import annotations

import argparse

from plusx.cli.networks import add_file_options, add_words, open_source, words_of
from plusx.cli.output import counted, wrote
from plusx.errors import BundleError
from plusx.i18n import _

WRITES_FOLDER = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="FILE", help=_("a weights file of any family"))
    add("words", nargs="*", metavar="KEY=VALUE", help=_("fields that the file does not tell, like norm=group8"))
    add("-o", "--output", required=True, metavar="DIR", help=_("the bundle to write"))
    add_words(parser)
    add_file_options(parser)


def run(args: argparse.Namespace) -> int:
    from plusx.weights.bundling import FileBundle, write_bundle

    spec, fields = words_of(args)
    bundle = open_source(args, spec=spec, **fields)
    if not isinstance(bundle, FileBundle):
        raise BundleError(_("{source} is a bundle or a run already. Give a weights file.", source=args.source))
    out = write_bundle(bundle, args.output)
    wrote(str(out), f"{bundle.spec}, {counted(len(bundle.tensors), 'tensor')}")
    print(out)
    return 0
