"""plusx weights: work on weights files. One parser for all ways: they share FILE and -o, and check what else they need."""

from __future__ import annotations

import argparse
from pathlib import Path

from plusx.cli.output import counted, wrote
from plusx.errors import SpecError, WeightsError, unknown

SUMMARY = "say what a weights file is, or cut it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("way", metavar="WAY", help=", ".join(WAYS))
    parser.add_argument(
        "file", metavar="FILE", help="a .safetensors file, or a .pth state dict, with torchvision's names"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="the .safetensors file to write")
    parser.add_argument(
        "--until", metavar="PLACE", help="cut: stem, a stage like layer3, or a block like layer3.4; inclusive"
    )
    parser.add_argument(
        "--network",
        metavar="WORDS",
        help="cut: what FILE holds, like 'resnet50 stride_in=1x1' (default: found from its shapes)",
    )


def run(args: argparse.Namespace) -> int:
    if args.way not in WAYS:
        raise SpecError(unknown("way of plusx weights", args.way, WAYS))
    return WAYS[args.way](args)


def cut(args: argparse.Namespace) -> int:
    """Keep the first stages of a network: channels, stride and field at the cut are printed."""
    if args.until is None or args.output is None:
        raise SpecError("weights cut needs a place and a file to write; plusx weights cut FILE --until layer3 -o OUT")
    out = Path(args.output)
    if out.suffix != ".safetensors":
        raise WeightsError(
            f"-o {out}, only safetensors files are written; name it {out.with_suffix('.safetensors').name}"
        )
    from safetensors.torch import save

    from plusx.bundles.atomic import write_file
    from plusx.cli.networks import read_network
    from plusx.nn.building import read_state
    from plusx.nn.feature_info import feature_info
    from plusx.nn.surgery import cut_state

    state = read_state(args.file)
    network = None if args.network is None else read_network(args.network.split())
    kept, spec = cut_state(state, args.until, network)
    tensors = {key: tensor.contiguous() for key, tensor in kept.items()}
    write_file(out, save(tensors, {"format": "pt", "plusx.spec": str(spec)}))
    print(f"{spec}: {feature_info(spec, args.until)}")
    wrote(args.output, f"{len(kept)} of {counted(len(state), 'tensor')}")
    if network is None and spec.block == "bottleneck":
        print("the field is that of a stride in the 3x3, which shapes do not tell; --network says otherwise")
    return 0


def identify(args: argparse.Namespace) -> int:
    """Say which network a file's tensors make, and what tensors cannot tell."""
    from plusx.analysis import analyse
    from plusx.nn.building import read_state
    from plusx.nn.suggest import shapes_of, suggest

    state = read_state(args.file)
    spec = suggest(shapes_of(state))
    if spec is None:
        some = ", ".join(list(state)[:3])
        raise WeightsError(
            f"{args.file}: no network of plusx has exactly these {len(state)} tensors ({some}, …); "
            "torchvision's names are read, without a prefix"
        )
    found = analyse(spec)
    kinds = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}))
    print(f"network   {spec}")
    print(f"tensors   {len(state)} ({kinds}), {found.totals.params:,} parameters, depth {found.depth.sum}")
    print(f"input     {spec.in_channels} channels; classes {spec.classes or 'none'}")
    strides = "where its bottlenecks stride (stride_in), " if spec.block == "bottleneck" else ""
    print(f"not told  {strides}dilation, the stem's pool, activation, join, preprocessing: ask whoever trained it")
    return 0


WAYS = {"identify": identify, "cut": cut}
