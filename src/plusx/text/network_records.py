"""A network as data: rows for programs, CSV, and the JSON schema plusx.show/1."""

from __future__ import annotations

import json
from typing import Any

from plusx.analysis import Analysis
from plusx.text.entries import TableEntry, entries
from plusx.text.notation import stage_names

COLUMNS = (
    "name", "kind", "text", "stage", "block", "repeat", "layers", "kernel", "stride", "padding", "dilation", "groups",
    "out", "jump", "rf", "start", "params", "macs", "share",
)  # fmt: skip


def records(analysis: Analysis, detail: str = "ops") -> list[dict[str, Any]]:
    """The lines that add up: rows × repeat sum to the totals. Keys as in COLUMNS."""
    return [_record(entry, analysis) for entry in entries(analysis, detail) if entry.leaf]


def _record(entry: TableEntry, analysis: Analysis) -> dict[str, Any]:
    op = entry.op
    values: tuple[Any, ...] = (
        entry.name, entry.kind, entry.text, entry.stage, entry.block, entry.repeat, list(entry.layers),
        *((op.kernel, op.stride, op.padding, op.dilation, op.groups) if op else (None,) * 5),
        [entry.channels, *entry.out], entry.jump, entry.rf, entry.start, entry.params, entry.macs,
        round(entry.macs / analysis.totals.macs, 6),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def to_csv(analysis: Analysis, detail: str = "ops") -> str:
    """`records` as CSV, lists written `64x56x56` and `15 18 21`."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records(analysis, detail):
        c_h_w, layers = "x".join(map(str, record["out"])), " ".join(map(str, record["layers"]))
        writer.writerow({**record, "out": c_h_w, "layers": layers}.values())
    return out.getvalue()


def to_json(analysis: Analysis, detail: str = "ops", *, version: str) -> str:
    """The schema plusx.show/1 as one JSON object; `show_record` lists its keys."""
    lines: list[str] = []
    for key, value in show_record(analysis, detail, version=version).items():
        text = json.dumps(value, ensure_ascii=False)
        if key in ("stages", "rows"):  # one a line, for readers and for git
            text = "[\n  " + ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def show_record(analysis: Analysis, detail: str = "ops", *, version: str) -> dict[str, Any]:
    """plusx.show/1: spec (text), fields, input (c, h, w), totals, depth, stages, rows. Keys are added, never renamed.

    `version` is that of the plusx that writes it.
    """
    spec, depth, totals = analysis.graph.spec, analysis.depth, analysis.totals
    sizes = {stage.name: len(stage.blocks) for stage in analysis.graph.stages}
    stages = [
        {
            "name": part.name, "names": list(stage_names(part.name)) if part.name in sizes else [part.name],
            "blocks": sizes.get(part.name, 0), "out": [part.channels, *part.out], "jump": part.jump, "rf": part.rf,
            "start": part.start, "params": part.params, "macs": part.macs, "global": part.whole,
        }
        for part in analysis.stages
    ]  # fmt: skip
    return {
        "schema": "plusx.show/1",
        "version": version,
        "spec": str(spec),
        "fields": spec.to_dict(),
        "input": [spec.in_channels, *analysis.size_px],
        "totals": {
            "params": totals.params, "macs": totals.macs, "macs_convention": "conv+linear", "depth": depth.counted,
            "depth_sum": depth.sum, "convs": depth.convs, "weighted_layers": depth.weighted,
            "activation_bytes": totals.activation_bytes, "state_bytes": totals.state_bytes, "keys": totals.keys,
        },
        "depth": {
            "counted": depth.counted, "sum": depth.sum, "ops": list(depth.counted_ops), "convs": depth.convs,
            "weighted": depth.weighted,
        },
        "stages": stages,
        "rows": records(analysis, detail),
    }  # fmt: skip
