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
    from plusx.images import decode, input_place, normalise, resize_crop

    bundle = open_source(args)
    out = Path(args.output or f"{Path(args.photo).stem}-cam.png")
    if out.suffix.lower() != ".png":
        name = out.with_suffix(".png").name
        raise DataError(_("-o {output} is not a PNG file. Name it {name}.", output=out, name=name))
    chosen = None if args.name is None else _class_index(args.name, bundle.classes)
    pre = bundle.preprocessing
    photo = decode(Path(args.photo), pre.mode)
    read = decode(Path(args.photo), pre.mode, at_least_px=pre.decode_px)  # as predict reads it, perhaps smaller
    image = resize_crop(read, pre)
    place = input_place(read.shape[0], read.shape[1], pre).times(round(photo.shape[0] / read.shape[0]))

    import torch

    from plusx.nn import build
    from plusx.nn.cam import grad_cam
    from plusx.nn.cam_image import cam_png

    net = build(bundle.spec, bundle.weights())
    cam = grad_cam(net, torch.from_numpy(normalise(image[None], pre)), args.at, chosen)
    png, (h, w) = cam_png(photo, cam, place)
    write_file(out, png)
    y, x = place.at(*cam.centre(cam.peak()))
    name, info = bundle.classes[cam.class_index], cam.info
    say(_("{name} {p:.1%}, at {stage}: {info}", name=name, p=cam.p, stage=cam.at, info=info))
    size = f"{photo.shape[1]}x{photo.shape[0]}"
    if not cam.heat.any():
        say(_("The heat is zero everywhere: no cell speaks for this class."))
    else:
        left, top, right, bottom = cam.field(cam.peak())
        (top, left), (bottom, right) = place.at(top, left), place.at(bottom, right)
        say(
            _(
                "hottest cell at x {x:.0f}, y {y:.0f} of {size} px, receptive field x {left:.0f} to {right:.0f}, "
                "y {top:.0f} to {bottom:.0f}",
                x=x, y=y, size=size, left=left, right=right, top=top, bottom=bottom,
            )
        )  # fmt: skip
    if not _is_whole(place.box, photo.shape[0], photo.shape[1]):
        left, top, right, bottom = place.box
        say(
            _(
                "The network sees x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f} of it. The rest is darker.",
                left=left, right=right, top=top, bottom=bottom,
            )
        )  # fmt: skip
    wrote(str(out), _("{size} pixels", size=f"{w}x{h}"))
    return 0


def _is_whole(box: tuple[float, ...], h: int, w: int) -> bool:
    return all(abs(found - side) < 0.5 for found, side in zip(box, (0, 0, w, h), strict=True))


def _class_index(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return classes.index(name)
    number = whole_number(name)
    if number is not None and 0 <= number < len(classes):
        return number
    raise DataError(unknown(_("class"), name, classes, listing="bundle.json" if len(classes) > 40 else ""))
