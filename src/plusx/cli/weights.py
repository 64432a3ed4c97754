"""plusx weights: work on weights files. One parser for all ways: they share FILE and -o, and check what else they need."""

from __future__ import annotations

import argparse
from pathlib import Path

from plusx.cli.output import screen_width, wrote
from plusx.cli.printing import localized, say
from plusx.errors import SpecError, WeightsError, unknown
from plusx.i18n import _, joined
from plusx.text.alignment import paragraph, terminal_width


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("way", metavar="WAY", help=_("what to do: {ways}", ways=", ".join(WAYS)))
    parser.add_argument(
        "file", metavar="FILE", help=_("a .safetensors file, or a .pth state dict, with torchvision's names")
    )
    parser.add_argument("-o", "--output", metavar="OUT", help=_("the .safetensors file to write"))
    parser.add_argument(
        "--until", metavar="STAGE", help=_("cut: stem, a stage like layer3, or a block like layer3.4; inclusive")
    )
    parser.add_argument(
        "--network",
        metavar="WORDS",
        help=_("cut: what FILE holds, like 'resnet50 stride_in=1x1' (default: found from its shapes)"),
    )


def run(args: argparse.Namespace) -> int:
    if args.way not in WAYS:
        raise SpecError(unknown(_("way of {command}", command="plusx weights"), args.way, WAYS))
    return WAYS[args.way](args)


def cut(args: argparse.Namespace) -> int:
    """Keep the first stages of a network: channels, stride and field at the cut are printed."""
    if args.until is None or args.output is None:
        raise SpecError(
            _("plusx weights cut needs --until and -o. Write plusx weights cut FILE --until layer3 -o OUT.safetensors.")
        )
    out = Path(args.output)
    if out.suffix != ".safetensors":
        raise WeightsError(
            _(
                "-o {output} does not end in .safetensors, the one format that is written. Name it {name}.",
                output=out,
                name=out.with_suffix(".safetensors").name,
            )
        )
    from safetensors.torch import save

    from plusx.bundles.durable import write_file
    from plusx.cli.networks import read_network
    from plusx.nn.building import read_state
    from plusx.nn.feature_info import feature_info
    from plusx.nn.surgery import cut_state

    state = read_state(args.file)
    network = None if args.network is None else read_network(args.network.split())
    kept, spec = cut_state(state, args.until, network)
    tensors = {key: tensor.contiguous() for key, tensor in kept.items()}
    write_file(out, save(tensors, {"format": "pt", "plusx.spec": str(spec)}))
    say(_("{network}: {info}", network=str(spec), info=feature_info(spec, args.until)))
    wrote(args.output, _("{n} of {all} tensors", n=len(kept), all=len(state)))
    if network is None and spec.block == "bottleneck":
        say(
            _(
                "The receptive field is that of stride_in=3x3, which shapes cannot show. --network 'WORDS' names another "
                "network."
            )
        )
    return 0


def identify(args: argparse.Namespace) -> int:
    """Say which network a file's tensors make, and what tensors cannot tell."""
    from plusx.analysis import analyse
    from plusx.names.shapes import shapes_of, suggest
    from plusx.nn.building import read_state

    state = read_state(args.file)
    spec = suggest(shapes_of(state))
    if spec is None:
        some = ", ".join(list(state)[:3])
        raise WeightsError(
            _(
                "{file} does not fit: no network of plusx has exactly its {n} tensors ({some}, …). Give a file with "
                "torchvision's names and no prefix.",
                file=args.file,
                n=len(state),
                some=some,
            )
        )
    found = analyse(spec)
    kinds = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}))
    depth, params = found.depth.sum, found.totals.params
    unknowns = [_("dilation"), _("the stem's pool"), _("activation"), _("join"), _("preprocessing")]
    if spec.block == "bottleneck":
        unknowns.insert(0, _("where its bottlenecks stride (stride_in)"))
    tensors = _(
        "{n} ({kinds}), {params:,} parameters, depth {depth}", n=len(state), kinds=kinds, params=params, depth=depth
    )
    classes = spec.classes or _("none")
    rows = [
        (_("network"), str(spec)),
        (_("tensors"), localized(tensors)),
        (_("input"), localized(_("{n} channels; classes {classes}", n=spec.in_channels, classes=classes))),
        (_("unknown"), localized(_("{what}: ask whoever trained it", what=joined(", ", unknowns)))),
    ]
    for name, text in rows:
        first = localized(name)
        print("\n".join(paragraph(text, screen_width(), " " * 10, first + " " * (10 - terminal_width(first)))))
    return 0


WAYS = {"identify": identify, "cut": cut}
