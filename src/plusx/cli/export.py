"""plusx export: a trained network for other systems, proven to be the same function."""

from __future__ import annotations

import argparse
import sys

from plusx.cli.networks import add_source, open_source, read_size, require_bundle
from plusx.cli.output import counted, wrote
from plusx.i18n import _

SUMMARY = "a trained network for OpenVINO, ONNX, torch.export and model servers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_source(parser)
    add("--to", default="openvino", metavar="openvino|onnx|torch-export")
    add("--precision", default="fp32", metavar="fp32|bf16|int8")
    add(
        "--layout",
        default="plain",
        metavar="plain|triton|ovms|kserve",
        help="a directory as that server takes it; needs -o",
    )
    add(
        "--data",
        metavar="D",
        help="real images to prove it on: a data folder, or any images (default: the run's own)",
    )
    add("--calibrate", metavar="D", help="images to calibrate int8 on (default: the training part of --data)")
    add(
        "--accept-drop",
        type=float,
        default=0.01,
        metavar="F",
        help="share of fp32's top-1 that bf16 or int8 may lose (default 0.01)",
    )
    add("--size", metavar="N", help="side of the input in pixels (default: the bundle's); needs -o")
    add("--dynamic-size", action="store_true", help="leave height and width open; needs -o")
    add("-o", "--output", metavar="DIR", help="a new directory (default: into the bundle, where predict finds it)")


def run(args: argparse.Namespace) -> int:
    if args.output is None:
        require_bundle(args.source, _("Name a new directory with -o DIR."))
    from plusx.runtime.plan import installed
    from plusx.runtime.quiet import missing

    if not installed("torch"):
        raise missing("torch", "export")
    from plusx.deploy import Order, export

    order = Order(
        args.to,
        args.precision,
        args.layout,
        read_size(args.size),
        args.dynamic_size,
        args.data,
        args.calibrate,
        args.accept_drop,
    )
    made = export(open_source(args), order, args.output, say=lambda line: print(line, file=sys.stderr))
    wrote(str(made.path), counted(len(made.files), "file"))
    print(made.path)
    return 0
