"""report.html of a run, read from its files: run.json, metrics.jsonl, skipped.csv and the bundle's metrics."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

from plusx.analysis import Analysis, analyse
from plusx.bundles.atomic import Json, current_location, disk_error, read_json
from plusx.bundles.bundle import MANIFEST, SCHEMA, WEIGHTS
from plusx.bundles.records import RunRecord
from plusx.bundles.run import read_lines, read_run
from plusx.bundles.runs import RunRow, read_run_row
from plusx.errors import BundleError, PlusxError
from plusx.i18n import Message, _, _n, bytes_text, duration, translator
from plusx.locks import replacing
from plusx.metrics import confused_pairs, wilson
from plusx.reports.mistakes import read_mistakes
from plusx.reports.run_commands import command_of, next_commands
from plusx.reports.training_charts import Curves, Epoch
from plusx.reports.training_page import ClassLine, Facts, RecipeLine, RunReport, StageLine, report_page

REPORT = "report.html"
RECIPE_FACTS = {"name": _("recipe"), "batch": _("batch"), "lr": _("peak learning rate")}
RUN_FACTS = {
    "machine": _("processor"), "device": _("device"), "precision": _("precision"), "threads": _("threads"),
    "world_size": _("processes"),
}  # fmt: skip
KINDS = {"folder": _("folder"), "memory": _("memory")}
MOST_CLASSES, MOST_MATRIX, MOST_PAIRS, MOST_SKIPPED = 120, 20, 12, 50
MOST_BYTES = 1_000_000
"""Of the page: fewer mistakes are shown where they do not fit."""
MOST_PATH = 1000
"""Characters of a path and of a reason."""
MOST_NAME = 120
"""Characters of the name of a class, and of any other text that is data."""

Shipped = Callable[[str], Mapping[str, Any]]
"""The keys and values of the recipe of a name; empty where there is none."""


def unknown_recipe(name: str) -> Mapping[str, Any]:
    return {}


def write_report(run: str | Path, lang: str = "en", shipped: Shipped = unknown_recipe) -> Path:
    """Write RUN/report.html in a language and return its path. Raises BundleError (no run there), RunError (disk).

    A training and `plusx runs --report` may write it at the same time. The page has at most 1 MB.
    """
    path = Path(run) / REPORT
    page = _fitting(read_report(run, shipped), lang)
    try:
        with replacing(path) as file:
            file.write(page)
    except OSError as error:
        raise disk_error(path, error) from error
    return path


def _fitting(report: RunReport, lang: str) -> bytes:
    """The page in at most MOST_BYTES: with half of the mistakes, and half of those, until it fits, and then no drawing."""
    shown, say = len(report.mistakes), translator(lang)
    while True:
        fewer = report.mistakes[:shown]
        note = report.mistakes_note
        if note is not None and shown < len(report.mistakes):
            note = _("{note} {shown} of them fit into this page.", note=note, shown=shown)
        page = report_page(replace(report, mistakes=fewer, mistakes_note=note), say, lang).encode()
        if len(page) <= MOST_BYTES or not (shown or report.network):
            return page
        if not shown:
            report = replace(report, network=None)
        shown //= 2


def read_report(run: str | Path, shipped: Shipped = unknown_recipe) -> RunReport:
    """The contents of the page of a run. What is missing or unreadable besides run.json is skipped. Raises BundleError."""
    found = read_run(run)
    row, (metrics, weights) = read_run_row(found.path), _metrics(found)
    lines = list(read_lines(found.path / "metrics.jsonl"))
    epochs = list(_epochs(lines))
    steps = [line for line in lines if line.get("event") == "step" and _whole(line.get("step"))]
    last = max((line for line in lines if _is_evaluation(line)), key=lambda line: line["epoch"], default=None)
    by = last["step"] / last["epoch"] if last is not None else 1
    names = [str(line.name) for line in _classes(metrics)]
    matrix = _matrix(metrics, len(names))
    skipped, n_skipped = _skipped(found.path / "skipped.csv")
    many = len(names) > MOST_CLASSES
    mistakes = [
        replace(each, label=_short(each.label), predicted=_short(each.predicted))
        for each in read_mistakes(found.path, weights)
    ]
    network = _analysis(found)
    return RunReport(
        title=row.network or _("unknown network"),
        lines=list(_lines(found, row, metrics)),
        tiles=list(_tiles(metrics)),
        curves=Curves(
            epochs=epochs,
            kept_epoch=metrics["epoch"] if _whole(metrics.get("epoch")) else None,
            x_label=_("epoch") if last is not None else _("step"),
            losses=[(line["step"] / by, line["loss"]) for line in steps if _number(line.get("loss"))],
            rates=[(line["step"] / by, line["lr"]) for line in steps if _number(line.get("lr"))],
        ),
        stages=list(_stages(lines, found.path)),
        mistakes=mistakes,
        mistakes_note=_mistakes_note(metrics, len(mistakes)),
        classes=_worst(_classes(metrics)) if many else _classes(metrics),
        classes_note=_most_classes(len(names)) if many else None,
        pairs=confused_pairs(matrix, names, MOST_PAIRS) if matrix else [],
        pairs_note=_pairs_note(metrics, matrix),
        matrix=matrix if len(names) <= MOST_MATRIX else [],
        names=names,
        skipped=skipped,
        skipped_note=_skipped_note(len(skipped), n_skipped),
        network=network,
        facts=list(_facts(found, row, network)),
        recipe_name=str((row.recipe or {}).get("name", "")),
        recipe=list(_recipe(row.recipe or {}, shipped)),
        command=command_of(found.command),
        next=list(next_commands(found, row)),
    )


def _most_classes(n: int) -> Message:
    return _("The {most} of {n} classes with the lowest shares.", most=MOST_CLASSES, n=n)


def _metrics(run: RunRecord) -> tuple[Json, str | None]:
    """The metrics in the bundle of the run, and the hash of its weights; nothing where the bundle is missing or damaged."""
    try:
        found = read_json(current_location(run.bundle) / MANIFEST, SCHEMA)
    except BundleError:
        return {}, None
    metrics, files = found.get("metrics"), found.get("files")
    weights = files.get(WEIGHTS) if isinstance(files, dict) else None
    mark = weights.get("sha256") if isinstance(weights, dict) else None
    return metrics if isinstance(metrics, dict) else {}, mark if isinstance(mark, str) else None


def _mistakes_note(metrics: Json, shown: int) -> Message | None:
    n, correct = metrics.get("n"), metrics.get("correct")
    if not (shown and _whole(n) and _whole(correct) and 0 <= correct < n):
        return None
    return _n(
        "{shown} of {n:,} mistake. The predicted class is bold, the image's own stands below it. The heat shows what spoke for "
        "the predicted class (Grad-CAM); what the network did not see is darker.",
        "{shown} of {n:,} mistakes. The predicted class is bold, the image's own stands below it. The heat shows what spoke for "
        "the predicted class (Grad-CAM); what the network did not see is darker.",
        n - correct, shown=shown,
    )  # fmt: skip


def _recipe(recipe: Json, shipped: Shipped) -> Iterator[RecipeLine]:
    """Every key; with the recipe's own value where that is another."""
    plain = shipped(str(recipe.get("name", "")))
    for key, value in recipe.items():
        if key != "name":
            own = _text(plain[key]) if key in plain and _text(plain[key]) != _text(value) else None
            yield RecipeLine(_short(key), _short(_text(value)), own)


def _short(text: str) -> str:
    """A text that is data, cut where nobody would read on, so that the page stays small."""
    return text if len(text) <= MOST_NAME else f"{text[: MOST_NAME - 1]}…"


def _lines(run: RunRecord, row: RunRow, metrics: Json) -> Iterator[Message]:
    """Below the title: the data, the progress, and the weights that the figures belong to."""
    in_memory = _("{kind} in memory", kind=str(row.data_kind))
    data = Path(row.data_path).name if row.data_path is not None else in_memory
    if row.n_train is not None:
        yield _("{data}, {n:,} training images", data=data, n=row.n_train)
    if run.stages:
        yield from _staged_lines(row, metrics)
        return
    epochs = {"done": row.epochs_done, "epochs": row.epochs}
    note = row.note if isinstance(row.note, Message) else Message(row.note)
    yield {
        "done": _("done: {done} of {epochs} epochs", **epochs),
        "running": _("running: {done} of {epochs} epochs so far", **epochs),
        "interrupted": _("interrupted after step {step}: {done} of {epochs} epochs", step=row.step, **epochs),
        "failed": _("failed: {note}", note=note),
        "damaged": _("damaged: {note}", note=note),
    }[row.state]
    if _whole(metrics.get("epoch")):
        yield _(
            "The figures below are of the weights in the bundle (epoch {epoch}) on the validation images.",
            epoch=metrics["epoch"],
        )


def _staged_lines(row: RunRow, metrics: Json) -> Iterator[Message]:
    """The same of a run in stages."""
    note = row.note if isinstance(row.note, Message) else Message(row.note)
    stages = {"done": row.epochs_done, "stages": row.epochs}
    yield {
        "done": _("done: {done} of {stages} stages", **stages),
        "running": _("running: {done} of {stages} stages so far", **stages),
        "interrupted": _("interrupted: {done} of {stages} stages", **stages),
        "failed": _("failed: {note}", note=note),
        "damaged": _("damaged: {note}", note=note),
    }[row.state]
    if isinstance(metrics.get("stage"), str):
        yield _("The figures below are of stage {stage}, on the validation images.", stage=metrics["stage"])


def _tiles(metrics: Json) -> Iterator[tuple[Message, str, Message]]:
    n, correct, top1, top5 = (metrics.get(key) for key in ("n", "correct", "top1", "top5"))
    if not (_whole(n) and _whole(correct) and _number(top1) and 0 <= correct <= n):
        return
    low, high = wilson(correct, n) or (0.0, 1.0)
    interval = f"{low:.1%}\u00a0–\u00a0{high:.1%}"
    rests = _("{correct:,} of {n:,}; 95 %: {interval}", correct=correct, n=n, interval=interval)
    yield _("Top-1"), f"{top1:.2%}", rests
    correct5 = metrics.get("correct5")
    if _number(top5) and _whole(correct5):
        yield _("Top-5"), f"{top5:.2%}", _("{correct:,} of {n:,}", correct=correct5, n=n)
    if _number(metrics.get("nll")):
        yield _("NLL"), f"{metrics['nll']:.4f}", _("nats an image, validation")
    if _number(metrics.get("ece")):
        yield _("ECE"), f"{metrics['ece']:.4f}", _("calibration error, 15 bins")


def _epochs(lines: Iterable[Json]) -> Iterator[Epoch]:
    for line in lines:
        if _is_evaluation(line):
            low, high = wilson(round(line["top1"] * line["n"]), line["n"]) or (0.0, 1.0)
            losses = line["train_loss"], line["train_top1"], line["nll"]
            yield Epoch(line["epoch"], *losses, line["top1"], low, high)


def _stages(lines: Iterable[Json], run: Path) -> Iterator[StageLine]:
    """Each stage once: its last line."""
    last = {line["name"]: line for line in lines if line.get("event") == "stage" and isinstance(line.get("name"), str)}
    for name, line in last.items():
        n, images, top1, nll, seconds = (line.get(key) for key in ("n", "images", "top1", "nll", "seconds"))
        if not (_whole(n) and _whole(images) and _number(top1) and _number(nll) and _number(seconds)):
            continue
        low, high = wilson(round(top1 * n), n) or (0.0, 1.0)
        kept, why = line.get("best") is True, str(line.get("why", ""))
        if line.get("failed") is True:
            why = _("it failed: {why}", why=why)
        own_report = re.fullmatch(r"[a-z0-9]+", name) is not None and (run / name / REPORT).is_file()
        yield StageLine(name, n, top1, low, high, nll, images, duration(seconds), kept, why, own_report)


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
            ClassLine(
                _short(str(row.get("class"))), row["n"], row["correct"], *(wilson(row["correct"], row["n"]) or (0, 1))
            )
        )
    return found


def _worst(classes: list[ClassLine]) -> list[ClassLine]:
    return sorted((each for each in classes if each.n), key=lambda each: each.correct / each.n)[:MOST_CLASSES]


def _matrix(metrics: Json, k: int) -> list[list[int]]:
    """The confusion matrix, if the bundle has a valid one."""
    rows = metrics.get("confusion")
    if not isinstance(rows, list) or len(rows) != k or k == 0:
        return []
    if not all(isinstance(row, list) and len(row) == k and all(map(_whole, row)) for row in rows):
        return []
    return rows


def _pairs_note(metrics: Json, matrix: list[list[int]]) -> Message | None:
    if matrix:
        return None if metrics.get("n") != metrics.get("correct") else _("No mistakes.")
    if not metrics:
        return None
    return _("The bundle stores no confusion matrix for so many classes. plusx evaluate --confusion computes it.")


def _skipped(path: Path) -> tuple[list[tuple[str, str]], int]:
    """The first rows of skipped.csv, and how many there are."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = (row for row in islice(csv.reader(file), 1, None) if len(row) == 2)
            first = [(row[0][-MOST_PATH:], row[1][:MOST_PATH]) for row in islice(rows, MOST_SKIPPED)]
            return first, len(first) + sum(1 for _ in rows)
    except (OSError, csv.Error):
        return [], 0


def _skipped_note(shown: int, n: int) -> Message:
    if shown == n:
        return _n("{n:,} image was skipped.", "{n:,} images were skipped.", n)
    return _("{n:,} images were skipped. These are the first {shown}; skipped.csv has all.", n=n, shown=shown)


def _facts(run: RunRecord, row: RunRow, network: Analysis | None) -> Iterator[tuple[Message, Facts]]:
    yield _("Network"), [] if network is None else _network_facts(network)
    yield _("Data"), [*_data_facts(run, row)]
    yield _("Training"), [*_training_facts(run, row)]
    yield _("Environment"), [*_environment(run)]


def _data_facts(run: RunRecord, row: RunRow) -> Iterator[tuple[str, str]]:
    data = run.data
    yield _("from"), str(row.data_path) if row.data_path else KINDS["memory"]
    yield _("kind"), KINDS.get(str(row.data_kind), str(row.data_kind))
    parts = [(part, found) for part, found in (("train", data.train), ("val", data.val)) if found is not None]
    counts = {"train": _("train images"), "val": _("val images")}
    hashes = {"train": _("train hash"), "val": _("val hash")}
    yield from ((counts[part], f"{found.n:,}") for part, found in parts)
    yield from ((hashes[part], str(found.fingerprint)[:16]) for part, found in parts)
    yield _("classes"), str(len(data.classes) or "")


def _training_facts(run: RunRecord, row: RunRow) -> Iterator[tuple[str, str]]:
    yield from ((name, _text(run.recipe[key])) for key, name in RECIPE_FACTS.items() if key in run.recipe)
    if not run.stages:
        yield _("steps"), f"{row.step:,}" if row.step is not None else ""
    yield _("seed"), str(run.seed)
    yield _("began"), row.began.strftime("%Y-%m-%d %H:%M UTC") if row.began is not None else ""
    yield _("time"), duration(row.seconds)
    yield _("size on disk"), bytes_text(row.size_bytes)


def _environment(run: RunRecord) -> Iterator[tuple[str, str]]:
    yield from ((name, _text(value)) for key, name in RUN_FACTS.items() if (value := getattr(run, key)) is not None)
    yield from ((str(name), str(version)) for name, version in run.versions.items())


def _analysis(run: RunRecord) -> Analysis | None:
    """At the size of the evaluation; None where this plusx cannot lower the spec."""
    try:
        return analyse(run.spec, run.preprocessing.crop_px if run.preprocessing else None)
    except PlusxError:
        return None


def _network_facts(found: Analysis) -> Facts:
    """Depth and costs."""
    h, w = found.size_px
    return [
        (_("depth"), found.depth.sum),
        (_("params"), f"{found.totals.params:,}"),
        (_("MACs"), _("{macs:,} at {h}x{w}", macs=found.totals.macs, h=h, w=w)),
        (_("input"), f"{found.graph.spec.in_channels}x{h}x{w}"),
    ]


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e12


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
