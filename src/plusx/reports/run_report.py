"""report.html of a run, read from its files: run.json, metrics.jsonl, skipped.csv and the bundle's metrics."""

from __future__ import annotations

import csv
import math
import shlex
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

from plusx.analysis import analyse
from plusx.bundles.bundle import MANIFEST, SCHEMA
from plusx.bundles.durable import Json, read_json, standing, write_file
from plusx.bundles.records import RunRecord
from plusx.bundles.run import read_lines, read_run
from plusx.bundles.runs import RunRow, look
from plusx.errors import BundleError, PlusxError
from plusx.i18n import bytes_text, duration, translator
from plusx.metrics import confused, wilson
from plusx.reports.training_page import ClassLine, Epoch, Facts, Report, report_page
from plusx.specs import ResNetSpec

REPORT = "report.html"
RECIPE_FACTS = {"recipe": "name", "batch": "batch", "peak rate": "lr"}
MOST_CLASSES, MOST_MATRIX, MOST_PAIRS, MOST_SKIPPED = 120, 20, 12, 50


def write_report(run: str | Path, lang: str = "en") -> Path:
    """Write RUN/report.html in a language and return its path. Raises BundleError (no run there), RunError (disk)."""
    path = Path(run) / REPORT
    write_file(path, report_page(read_report(run), translator(lang), lang).encode("utf-8", "replace"))
    return path


def read_report(run: str | Path) -> Report:
    """What the page of a run says. Raises BundleError; what is missing or garbled besides run.json is left out."""
    found = read_run(run)
    row, metrics = look(found.path), _metrics(found)
    lines = list(read_lines(found.path / "metrics.jsonl"))
    epochs = list(_epochs(lines))
    steps = [line for line in lines if line.get("event") == "step" and _whole(line.get("step"))]
    last = max((line for line in lines if _is_evaluation(line)), key=lambda line: line["epoch"], default=None)
    by = last["step"] / last["epoch"] if last is not None else 1
    names = [str(line.name) for line in _classes(metrics)]
    matrix = _matrix(metrics, len(names))
    skipped, n_skipped = _skipped(found.path / "skipped.csv")
    many = len(names) > MOST_CLASSES
    return Report(
        title=row.network or "unknown network",
        lines=list(_lines(row, metrics)),
        tiles=list(_tiles(metrics)),
        epochs=epochs,
        kept_epoch=metrics["epoch"] if _whole(metrics.get("epoch")) else None,
        x_label="epoch" if last is not None else "step",
        losses=[(line["step"] / by, line["loss"]) for line in steps if _number(line.get("loss"))],
        rates=[(line["step"] / by, line["lr"]) for line in steps if _number(line.get("lr"))],
        classes=_worst(_classes(metrics)) if many else _classes(metrics),
        classes_note=f"the {MOST_CLASSES} of {len(names)} classes with the lowest shares" if many else "",
        pairs=confused(matrix, names, MOST_PAIRS) if matrix else [],
        pairs_note=_pairs_note(metrics, matrix),
        matrix=matrix if len(names) <= MOST_MATRIX else [],
        names=names,
        skipped=skipped,
        skipped_note=_skipped_note(len(skipped), n_skipped),
        facts=list(_facts(found, row, metrics)),
        recipe=[(key, _text(value)) for key, value in (row.recipe or {}).items()],
        command=shlex.join(map(str, found.command)),
    )


def _metrics(run: RunRecord) -> Json:
    """The metrics in the run's bundle; nothing where there is none, or a damaged one."""
    try:
        metrics = read_json(standing(run.bundle) / MANIFEST, SCHEMA).get("metrics")
    except BundleError:
        return {}
    return metrics if isinstance(metrics, dict) else {}


def _lines(row: RunRow, metrics: Json) -> Iterator[str]:
    """Below the title: the data, how far it has come, whose figures these are."""
    of = Path(row.data_path).name if row.data_path is not None else f"{row.data_kind} in memory"
    if row.n_train is not None:
        yield f"{of}, {row.n_train:,} training images"
    far = {
        "done": f"done: {row.epochs_done} of {row.epochs} epochs",
        "running": f"running: {row.epochs_done} of {row.epochs} epochs so far",
        "interrupted": f"interrupted after step {row.step}: {row.epochs_done} of {row.epochs} epochs",
        "failed": f"failed: {row.note}",
        "damaged": f"damaged: {row.note}",
    }[row.state]
    yield far
    if _whole(metrics.get("epoch")):
        yield f"figures below: the weights in the bundle, of epoch {metrics['epoch']}, on the validation images"


def _tiles(metrics: Json) -> Iterator[tuple[str, str, str]]:
    n, correct, top1, top5 = (metrics.get(key) for key in ("n", "correct", "top1", "top5"))
    if not (_whole(n) and _whole(correct) and _number(top1) and 0 <= correct <= n):
        return
    low, high = wilson(correct, n) or (0.0, 1.0)
    yield "Top-1", f"{top1:.2%}", f"{correct:,} of {n:,}; 95 %: {low:.1%}\u00a0–\u00a0{high:.1%}"
    correct5 = metrics.get("correct5")
    if _number(top5) and _whole(correct5):
        yield "Top-5", f"{top5:.2%}", f"{correct5:,} of {n:,}"
    if _number(metrics.get("nll")):
        yield "NLL", f"{metrics['nll']:.4f}", "nats an image, validation"
    if _number(metrics.get("ece")):
        yield "ECE", f"{metrics['ece']:.4f}", "calibration error, 15 bins"


def _epochs(lines: Iterable[Json]) -> Iterator[Epoch]:
    for line in lines:
        if _is_evaluation(line):
            low, high = wilson(round(line["top1"] * line["n"]), line["n"]) or (0.0, 1.0)
            losses = line["train_loss"], line["train_top1"], line["nll"]
            yield Epoch(line["epoch"], *losses, line["top1"], low, high)


def _is_evaluation(line: Json) -> bool:
    counts, values = ("epoch", "step", "n"), ("train_loss", "train_top1", "nll", "top1")
    return (
        line.get("event") == "evaluated"
        and all(_whole(line.get(key)) and line[key] > 0 for key in counts)
        and all(_number(line.get(key)) for key in values)
        and 0 <= line["top1"] <= 1
    )


def _classes(metrics: Json) -> list[ClassLine]:
    found: list[ClassLine] = []
    rows = metrics.get("per_class")
    for row in rows if isinstance(rows, list) else ():
        if not (isinstance(row, dict) and _whole(row.get("n")) and _whole(row.get("correct"))):
            return []
        if not 0 <= row["correct"] <= row["n"]:
            return []
        found.append(
            ClassLine(str(row.get("class")), row["n"], row["correct"], *(wilson(row["correct"], row["n"]) or (0, 1)))
        )
    return found


def _worst(classes: list[ClassLine]) -> list[ClassLine]:
    return sorted((each for each in classes if each.n), key=lambda each: each.correct / each.n)[:MOST_CLASSES]


def _matrix(metrics: Json, k: int) -> list[list[int]]:
    """The confusion matrix, if the bundle has a proper one."""
    rows = metrics.get("confusion")
    if not isinstance(rows, list) or len(rows) != k or k == 0:
        return []
    if not all(isinstance(row, list) and len(row) == k and all(map(_whole, row)) for row in rows):
        return []
    return rows


def _pairs_note(metrics: Json, matrix: list[list[int]]) -> str:
    if matrix:
        return "" if metrics.get("n") != metrics.get("correct") else "No mistakes."
    return "plusx evaluate --confusion counts them: for so many classes the bundle holds none" if metrics else ""


def _skipped(path: Path) -> tuple[list[tuple[str, str]], int]:
    """The first rows of skipped.csv, and how many there are."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = (row for row in islice(csv.reader(file), 1, None) if len(row) == 2)
            first = [(row[0], row[1]) for row in islice(rows, MOST_SKIPPED)]
            return first, len(first) + sum(1 for _ in rows)
    except (OSError, csv.Error):
        return [], 0


def _skipped_note(shown: int, all_: int) -> str:
    return (
        f"{all_:,} left out" if shown == all_ else f"{all_:,} left out, the first {shown} of them; skipped.csv has all"
    )


def _facts(run: RunRecord, row: RunRow, metrics: Json) -> Iterator[tuple[str, Facts]]:
    fields, data = run.fields, run.data
    yield "Network", [*_figures(run)]
    parts = [(part, data.get(part)) for part in ("train", "val")]
    yield (
        "Data",
        [
            ("from", str(row.data_path or "memory")),
            ("kind", str(row.data_kind)),
            *((f"{part} images", f"{p['n']:,}") for part, p in parts if isinstance(p, dict) and _whole(p.get("n"))),
            *((f"{part} hash", str(p.get("fingerprint"))[:16]) for part, p in parts if isinstance(p, dict)),
            ("classes", str(len(data["classes"])) if isinstance(data.get("classes"), list) else ""),
        ],
    )
    yield (
        "Training",
        [
            *((key, _text(run.recipe[of])) for key, of in RECIPE_FACTS.items() if of in run.recipe),
            ("steps", f"{row.step:,}" if row.step is not None else ""),
            *((key, _text(fields[key])) for key in ("seed", "device", "precision", "threads") if key in fields),
            ("began", row.began.strftime("%Y-%m-%d %H:%M UTC") if row.began is not None else ""),
            ("time", duration(row.seconds)),
            ("size on disk", bytes_text(row.size_bytes)),
            *((str(name), str(version)) for name, version in run.versions.items()),
        ],
    )


def _figures(run: RunRecord) -> Facts:
    """Depth and costs at the size that is evaluated; none where this plusx cannot lower the spec."""
    pre = run.fields.get("preprocessing")
    size = pre.get("crop_px") if isinstance(pre, dict) else None
    try:
        found = analyse(ResNetSpec.from_dict(run.spec), size if _whole(size) else None)
    except (PlusxError, TypeError, KeyError):
        return []
    h, w = found.size_px
    return [
        ("depth", found.depth.sum),
        ("params", f"{found.totals.params:,}"),
        ("MACs", f"{found.totals.macs:,} at {h}x{w}"),
        ("input", f"{found.graph.spec.in_channels}x{h}x{w}"),
    ]


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e12


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
