"""plusx bench: how fast a trained network answers here, beside other engines."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from plusx.cli.networks import add_source, bundle_on_disk
from plusx.cli.output import add_output, choose_format, emit

if TYPE_CHECKING:
    from plusx.deploy.benching import Line

SUMMARY = "how fast a trained network answers here, beside others"
FORMATS = ("table", "json", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_source(parser)
    add(
        "--against",
        nargs="+",
        metavar="ENGINE:PRECISION",
        help="like torch:bf16 openvino:fp32 (default: torch:fp32 if installed, else openvino:fp32)",
    )
    add("--engine", default="auto", metavar="auto|openvino|onnxruntime|torch")
    add("--precision", default="auto", metavar="auto|fp32|bf16|int8")
    add("--threads", type=int, metavar="N", help="cores to use (default: all)")
    add("--rounds", type=int, default=7, metavar="N", help="interleaved rounds (default 7)")
    add("--seconds", type=float, default=1.0, metavar="S", help="how long a round runs each (default 1)")
    add("--busy", action="store_true", help="measure although others keep the machine busy")
    add("--format", metavar="|".join(FORMATS), help="default: as FILE ends, else table")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    from plusx.deploy.benching import bench, machine_line, network_line

    with bundle_on_disk(args) as source:
        lines = bench(
            source, args.against, engine=args.engine, precision=args.precision, threads=args.threads,
            rounds=args.rounds, seconds=args.seconds, busy=args.busy,
        )  # fmt: skip
        network = network_line(source)
    about = f"{machine_line()}; {args.rounds} rounds"
    if form == "json":
        record = {
            "schema": "plusx.bench/1",
            "network": network,
            "machine": machine_line(),
            "rounds": args.rounds,
            "lines": [line.to_dict() for line in lines],
        }
        return emit(json.dumps(record, indent=1) + "\n", args.output)
    if form == "svg":
        from plusx.deploy.bench_chart import svg

        return emit(svg(lines, network, about), args.output)
    return emit(table(lines, f"{network}; {about}"), args.output)


def table(lines: list[Line], about: str) -> str:
    head = ("", "p50 ms", "p99 ms", "images/s", "per core", "of ceiling", "start s", "peak MB", "faster [95 %]")
    rows = [head, *(cells(line) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    text = [
        "  ".join(
            f"{cell:<{w}}" if not i else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*text, about]) + "\n"


def cells(line: Line) -> tuple[str, ...]:
    from plusx.deploy.bench_chart import figure

    share = "unknown" if line.ceiling is None else f"{line.ceiling:.0%}"
    gain = "1" if line.faster is None else f"{line.faster.value:.2f} [{line.faster.low:.2f}, {line.faster.high:.2f}]"
    figures = (f"{line.p50_ms:.2f}", f"{line.p99_ms:.2f}", figure(line.images_per_s), figure(line.per_core))
    return (line.name, *figures, share, f"{line.start_s:.2f}", f"{line.peak_mb:.0f}", gain)
