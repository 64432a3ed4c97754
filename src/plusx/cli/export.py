"""plusx export: a trained network in other formats, proven to compute the same."""

from __future__ import annotations

import argparse
import sys

from plusx.cli.languages import language
from plusx.cli.output import counted, wrote
from plusx.errors import MissingExtra
from plusx.i18n import _, translate

SUMMARY = "a trained network for OpenVINO, ONNX, torch.export and model servers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a bundle or a run")
    add("--to", default="openvino", metavar="openvino|onnx|torch-export")
    add("--precision", default="fp32", metavar="fp32|bf16|int8")
    add(
        "--layout",
        default="plain",
        metavar="plain|triton|ovms|kserve",
        help="a directory in the layout that a model server loads; needs -o",
    )
    add(
        "--data",
        metavar="D",
        help="real images for the proof: a data folder, or any images (default: those of the training run)",
    )
    add("--calibrate", metavar="D", help="images to calibrate int8 with (default: the training part of --data)")
    add(
        "--accept-drop",
        type=float,
        default=0.01,
        metavar="F",
        help="share of fp32's top-1 that bf16 or int8 may lose (default 0.01)",
    )
    add("--size", metavar="N", help="side of the input in pixels (default: the bundle's); needs -o")
    add("--dynamic-size", action="store_true", help="leave height and width open; needs -o")
    add("-o", "--output", metavar="DIR", help="a new directory (default: inside the bundle, where predict finds it)")


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
    wrote(str(made.path), counted(len(made.files), "file"))
    print(made.path)
    return 0
