"""plusx export: a trained network in other formats, proven to compute the same."""

from __future__ import annotations

import argparse
import sys

from plusx.cli.languages import language
from plusx.cli.output import wrote
from plusx.errors import MissingExtra
from plusx.i18n import _, _n, translate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", help=_("a bundle or a run"))
    add(
        "--to",
        default="openvino",
        metavar="openvino|onnx|torch-export",
        help=_("what to export to (default: openvino)"),
    )
    add("--precision", default="fp32", metavar="fp32|bf16|int8", help=_("number format (default: fp32)"))
    add(
        "--layout",
        default="plain",
        metavar="plain|triton|ovms|kserve",
        help=_("the directory layout of a model server; needs -o"),
    )
    add(
        "--data",
        metavar="D",
        help=_(
            "images to compare the export with the network on: a data folder, or any images (default: the run's own)"
        ),
    )
    add("--calibrate", metavar="D", help=_("images to calibrate int8 on (default: the training part of --data)"))
    add(
        "--accept-drop",
        type=float,
        default=0.01,
        metavar="F",
        help=_("the drop of top-1 from fp32 that bf16 or int8 may have (default: 0.01)"),
    )
    add("--size", metavar="N", help=_("side of the input in pixels (default: the bundle's); needs -o"))
    add("--dynamic-size", action="store_true", help=_("export with free height and width; needs -o"))
    add("-o", "--output", metavar="DIR", help=_("a new directory (default: into the bundle, where predict finds it)"))


def run(args: argparse.Namespace) -> int:
    from plusx.cli.networks import read_size
    from plusx.runtime.engines import installed

    if not installed("torch"):
        raise MissingExtra(_("plusx export needs torch for its proof. Install it with pip install 'plusx[export]'."))
    from plusx.deploy import ExportConfig, export

    config = ExportConfig(
        args.to,
        args.precision,
        args.layout,
        read_size(args.size),
        args.dynamic_size,
        args.data,
        args.calibrate,
        args.accept_drop,
    )
    lang = language(args.lang)
    made = export(args.source, config, args.output, log=lambda line: print(translate(line, lang), file=sys.stderr))
    wrote(str(made.path), _n("{n:,} file", "{n:,} files", len(made.files)))
    print(made.path)
    return 0
