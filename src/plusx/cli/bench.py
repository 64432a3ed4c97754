"""plusx bench: the speed of a trained network on this machine, beside other engines."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from plusx.cli.output import add_output, choose_format, emit, screen_width
from plusx.cli.printing import localized
from plusx.i18n import Message, _
from plusx.text.alignment import fitted, hidden_note, paragraph

if TYPE_CHECKING:
    from plusx.deploy.benching import Line

FORMATS = ("table", "json", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", help=_("a bundle or a run"))
    add(
        "--against",
        nargs="+",
        metavar="ENGINE:PRECISION",
        help=_("like torch:bf16 openvino:fp32 (default: torch:fp32 if installed, else openvino:fp32)"),
    )
    add("--engine", default="auto", metavar="auto|openvino|onnxruntime|torch", help=_("what computes (default: auto)"))
    add("--precision", default="auto", metavar="auto|fp32|bf16|int8", help=_("number format (default: auto)"))
    add("--threads", type=int, metavar="N", help=_("cores to use (default: all)"))
    add("--rounds", type=int, default=7, metavar="N", help=_("interleaved rounds (default: 7)"))
    add("--seconds", type=float, default=1.0, metavar="S", help=_("how long each engine runs in a round (default: 1)"))
    add("--force", action="store_true", help=_("measure even if other processes use the machine"))
    add("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else table"))
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    from plusx.deploy.benching import bench, machine_line, network_line

    lines = bench(
        args.source, args.against, engine=args.engine, precision=args.precision, threads=args.threads,
        rounds=args.rounds, seconds=args.seconds, busy=args.force,
    )  # fmt: skip
    network, about = network_line(args.source), _("{machine}; {n} rounds", machine=machine_line(), n=args.rounds)
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

        return emit(svg(lines, network, localized(about)), args.output)
    return emit(
        table(lines, _("{network}; {about}", network=network, about=about), screen_width(args.output)), args.output
    )


HEADS = (
    _("engine"), _("p50 ms"), _("p99 ms"), _("images/s"), _("per core"), _("of ceiling"), _("start s"), _("peak MB"),
    _("speedup [95 %]"),
)  # fmt: skip
HIDDEN_FIRST = (6, 7, 5, 4, 2)
"""Columns that a narrow terminal has no room for."""


def table(lines: list[Line], about: Message, width: int | None = None) -> str:
    right = [bool(column) for column in range(len(HEADS))]
    rows = [cells(line) for line in lines]
    shown, hidden = fitted([localized(head) for head in HEADS], rows, right, width, drop=HIDDEN_FIRST)
    notes = [part for text in (*hidden_note(HEADS, hidden), about) for part in paragraph(localized(text), width)]
    return "\n".join([*shown, *notes]) + "\n"


def cells(line: Line) -> tuple[str, ...]:
    from plusx.deploy.bench_chart import figure

    share = localized(_("unknown")) if line.ceiling is None else f"{line.ceiling:.0%}"
    gain = "1" if line.faster is None else f"{line.faster.value:.2f} [{line.faster.low:.2f}, {line.faster.high:.2f}]"
    figures = (f"{line.p50_ms:.2f}", f"{line.p99_ms:.2f}", figure(line.images_per_s), figure(line.per_core))
    return (line.name, *figures, share, f"{line.start_s:.2f}", f"{line.peak_mb:.0f}", gain)
