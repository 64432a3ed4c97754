"""plusx bench: how fast a trained network runs on this machine, beside other engines."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from plusx.cli.languages import language
from plusx.cli.output import add_output, choose_format, emit
from plusx.i18n import Message, _, translate
from plusx.text.alignment import aligned

if TYPE_CHECKING:
    from plusx.deploy.benching import BenchRow

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
    from plusx.runtime.engines import EngineOptions

    lang = language(args.lang)
    rows = bench(
        args.source,
        args.against,
        EngineOptions(args.engine, args.precision, threads=args.threads),
        rounds=args.rounds,
        seconds=args.seconds,
        force=args.force,
    )
    network, about = (
        network_line(args.source),
        _("{machine}; {rounds} rounds", machine=machine_line(), rounds=args.rounds),
    )
    if form == "json":
        record = {
            "schema": "plusx.bench/1",
            "network": network,
            "machine": machine_line(),
            "rounds": args.rounds,
            "lines": [row.to_dict() for row in rows],
        }
        return emit(json.dumps(record, indent=1) + "\n", args.output)
    if form == "svg":
        from plusx.deploy.bench_chart import svg

        return emit(svg(rows, network, about, lang), args.output)
    return emit(table(rows, _("{network}; {about}", network=network, about=about), lang), args.output)


def table(rows: list[BenchRow], about: str, lang: str = "en") -> str:
    heads = (
        "", _("p50 ms"), _("p99 ms"), _("images/s"), _("per core"), _("of matmul peak"), _("start s"), _("peak MB"),
        _("speed-up [95 %]"),
    )  # fmt: skip
    whole = [[translate(cell, lang) for cell in row] for row in (heads, *(cells(row) for row in rows))]
    lines = aligned(whole[0], whole[1:], [False, *[True] * (len(heads) - 1)])
    return "\n".join([*lines, translate(about, lang)]) + "\n"


def cells(row: BenchRow) -> tuple[str | Message, ...]:
    from plusx.deploy.bench_chart import figure

    share = _("unknown") if row.ceiling is None else f"{row.ceiling:.0%}"
    gain = "1" if row.faster is None else f"{row.faster.value:.2f} [{row.faster.low:.2f}, {row.faster.high:.2f}]"
    figures = (f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}", figure(row.images_per_s), figure(row.per_core))
    return (row.name, *figures, share, f"{row.start_s:.2f}", f"{row.peak_mb:.0f}", gain)
