"""plusx cam: the region of an image that speaks for a class, as a heat map (Grad-CAM)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from plusx.cli.networks import add_source, open_source
from plusx.cli.output import wrote
from plusx.cli.printing import say
from plusx.cli.ranges import whole_number
from plusx.errors import DataError, unknown
from plusx.i18n import _

MOST_LISTED = 40
"""Classes that an error lists."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("photo", metavar="PHOTO", help=_("an image"))
    parser.add_argument(
        "--at", metavar="STAGE", help=_("a stage like layer4 or a block like layer3.5 (default: the last stage)")
    )
    parser.add_argument(
        "--class",
        dest="name",
        metavar="NAME",
        help=_("the class to explain, by name or number (default: the likeliest)"),
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=_("the PNG to write (default: PHOTO's name with -cam.png, here)")
    )


def run(args: argparse.Namespace) -> int:
    from plusx.bundles.atomic import write_file
    from plusx.images import decode, normalise, resize_crop

    bundle = open_source(args)
    out = Path(args.output or f"{Path(args.photo).stem}-cam.png")
    if out.suffix.lower() != ".png":
        name = out.with_suffix(".png").name
        raise DataError(_("-o {output} is not a PNG file. Name it {name}.", output=out, name=name))
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
    name, info = bundle.classes[cam.class_index], cam.info
    say(_("{name} {p:.1%}, at {stage}: {info}", name=name, p=cam.p, stage=cam.at, info=info))
    size = f"{image.shape[1]}x{image.shape[0]}"
    if not cam.heat.any():
        say(_("The heat is zero everywhere: no cell speaks for this class."))
    else:
        left, top, right, bottom = cam.field(cam.peak())
        say(
            _(
                "hottest cell at x {x:g}, y {y:g} of {size} px, receptive field x {left:g} to {right:g}, y {top:g} to "
                "{bottom:g}",
                x=x,
                y=y,
                size=size,
                left=left,
                right=right,
                top=top,
                bottom=bottom,
            )
        )
    wrote(str(out), _("{size} pixels", size=size))
    return 0


def _class_index(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return classes.index(name)
    number = whole_number(name)
    if number is not None and 0 <= number < len(classes):
        return number
    raise DataError(unknown(_("class"), name, classes, listing="bundle.json" if len(classes) > 40 else ""))
