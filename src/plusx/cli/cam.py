"""plusx cam: where a trained network looks, on the image."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from plusx.cli.networks import add_source, open_source
from plusx.cli.output import wrote
from plusx.errors import DataError, unknown

SUMMARY = "where a trained network looks, on the image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("photo", metavar="PHOTO", help="an image")
    parser.add_argument(
        "--at", metavar="PLACE", help="a stage like layer4 or a block like layer3.5 (default: the last stage)"
    )
    parser.add_argument(
        "--class", dest="name", metavar="NAME", help="the class to explain, by name or number (default: the likeliest)"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the PNG to write (default: PHOTO's name with -cam.png, here)"
    )


def run(args: argparse.Namespace) -> int:
    from plusx.bundles.durable import write_file
    from plusx.images import decode, normalise, resize_crop

    bundle = open_source(args)
    out = Path(args.output or f"{Path(args.photo).stem}-cam.png")
    if out.suffix.lower() != ".png":
        raise DataError(f"-o {out} would be no PNG, the one kind that is written; name it {out.stem}.png")
    chosen = None if args.name is None else _class_index(args.name, bundle.classes)
    pre = bundle.preprocessing
    image = resize_crop(decode(Path(args.photo), pre.mode, at_least_px=pre.decode_px), pre)

    import torch

    from plusx.nn import build
    from plusx.nn.cam import grad_cam
    from plusx.nn.cam_image import cam_png

    net = build(bundle.spec, bundle.weights())
    cam = grad_cam(net, torch.from_numpy(normalise(image[None], pre)), args.at, chosen)
    write_file(out, cam_png(image, cam))
    y, x = cam.centre(cam.peak())
    print(f"{bundle.classes[cam.class_index]} {cam.p:.1%}, at {cam.at}: {cam.info}")
    if not cam.heat.any():
        print("no cell speaks for this class: the heat is zero everywhere")
    else:
        left, top, right, bottom = cam.field(cam.peak())
        seen = f"seeing x {left:g} to {right:g}, y {top:g} to {bottom:g}"
        print(f"hottest around x {x:g}, y {y:g} of {image.shape[1]}x{image.shape[0]} px, {seen}")
    wrote(str(out), f"{image.shape[1]}x{image.shape[0]} pixels")
    return 0


def _class_index(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return classes.index(name)
    if name.isdigit() and int(name) < len(classes):
        return int(name)
    raise DataError(
        unknown("class", name, classes) if len(classes) <= 40 else unknown("class", name, classes).split(" allowed:")[0]
    )
