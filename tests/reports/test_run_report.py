"""report.html says what the run's files say, needs nothing else, and is written whatever else is broken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plusx import spec
from plusx.bundles import open_bundle, read_run, save_bundle, start_run, write_checkpoint_dir
from plusx.bundles.atomic import sealed_bytes
from plusx.cli.main import main
from plusx.errors import BundleError
from plusx.images import Preprocessing
from plusx.metrics import Counters
from plusx.reports.mistakes import MistakeRow, write_mistakes
from plusx.reports.run_report import read_report, write_report
from plusx.svg.line_chart import robust_top
from plusx.training.events import Checkpointed, Evaluated, Event, Finished
from plusx.training.report_sink import ReportFile
from waiting import HANG

CJK = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]+ (?:[a-z]+ )+[a-z]{2,}")  # three plain words in a row
CLASSES = ("ant", "bee", "<script>alert('x')</script>")
CONFUSION = np.array([[40, 9, 1], [0, 25, 0], [2, 0, 23]])
TOP1 = (0.5, 0.7, 0.88, 0.8)
NLL = (1.1, 0.9, 0.3, 0.4)


def make(path: Path) -> Path:
    """A run of four epochs of ten steps, the third of which is in the bundle; all numbers chosen here."""
    pre = Preprocessing("RGB", 64, 64, mean=(0.5,) * 3, std=(0.2,) * 3)
    part = {"n": 100, "fingerprint": "0123456789abcdefXX"}
    start_run(path, {
        "command": ["plusx", "train", "resnet18", "--data", "my photos"], "spec": spec("resnet18 classes=3").to_dict(),
        "network": "resnet18 classes=3", "recipe": {"name": "default", "epochs": 4, "batch": 32, "lr": 0.05, "flip": True},
        "preprocessing": pre.to_dict(), "seed": 7, "device": "cpu", "precision": "fp32", "threads": 2,
        "data": {"kind": "folder", "path": "/home/me/photos", "fingerprint": "f", "classes": list(CLASSES), "n": 320,
                 "train": {"n": 320, "fingerprint": "a"}, "val": part, "val_split": 0.2},
        "versions": {"plusx": "0.1.0", "torch": "2.14.0"}, "began": "2026-03-01T12:00:00+00:00",
    })  # fmt: skip
    counters = Counters(CLASSES)
    for true, row in enumerate(CONFUSION):
        for answer, count in enumerate(row):
            if count:
                counters.add(np.repeat(np.eye(3)[[answer]], count, axis=0), [true] * count)
    metrics = {"epoch": 3, **counters.result().to_dict()}
    save_bundle(path / "bundle", spec("resnet18 classes=3"), CLASSES, pre, {"w": np.zeros(3, np.float32)}, metrics)
    rows: list[dict[str, Any]] = [{"event": "started", "step": 0}]
    for epoch, (top1, nll) in enumerate(zip(TOP1, NLL, strict=True), 1):
        steps = range(10 * epoch - 9, 10 * epoch + 1)
        rows += [{"event": "step", "step": s, "epoch": epoch, "lr": 0.05 * (40 - s) / 40, "loss": 2 / s} for s in steps]
        rows.append({"event": "evaluated", "step": 10 * epoch, "epoch": epoch, "n": 100, "top1": top1, "nll": nll,
                     "best": top1 == max(TOP1[:epoch]), "train_loss": nll + 0.2, "train_top1": top1 - 0.1})  # fmt: skip
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    best = {"epoch": 3, "step": 30, "top1": 0.88, "nll": 0.3}
    progress = {"step": 40, "evaluated": 4, "best": best, "kept": best, "seconds": 754.0}
    write_checkpoint_dir(
        path / "checkpoints", "step-00000040", {"state.json": json.dumps({"progress": progress}).encode()}
    )
    (path / "skipped.csv").write_text("path,reason\n/p/cut.jpg,damaged: ends early\n")
    return path


class Page(HTMLParser):
    """The page's tags, and the texts that a reader sees; fails on a tag that is not closed in order."""

    VOID = ("meta", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.texts.append(data.strip())


def written(path: Path, lang: str = "en") -> tuple[str, Page]:
    text = write_report(path, lang).read_text(encoding="utf-8")
    return text, Page(text)


def test_it_says_what_the_files_say(tmp_path):
    texts = written(make(tmp_path / "run"))[1].texts
    for said in (
        "resnet18 classes=3", "photos, 320 training images", "done: 4 of 4 epochs", "88.00%", "0.05", "12 min 34 s",
        "The figures below are of the weights in the bundle (epoch 3) on the validation images.", "kept: epoch 3",
        "11,178,051",  # torchvision's resnet18 with three classes
        "2026-03-01 12:00 UTC", "2.14.0", "0123456789abcdef", "/home/me/photos", "/p/cut.jpg", "1 image was skipped.",
        "plusx train resnet18 --data 'my photos'", "cpu", "fp32",
    ):  # fmt: skip
        assert said in texts, said
    assert (
        "88 of 100; 95 %: 80.2%\u00a0–\u00a093.0%" in texts
    )  # statsmodels: proportion_confint(88, 100, method="wilson")
    at = texts.index("ant")
    assert texts[at : at + 5] == ["ant", "50", "40", "80.0%", "67.0% – 88.8%"]  # the same, of 40 in 50
    at = texts.index("predicted as")
    assert texts[at + 3 : at + 11] == ["ant", "bee", "9", "18.0%", CLASSES[2], "ant", "2", "8.0%"]


def test_it_needs_nothing_else_and_runs_nothing(tmp_path):
    text, page = written(make(tmp_path / "run"))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    for _, attributes in page.tags:
        assert {"src", "href", "xlink:href", "srcset"}.isdisjoint(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text and "@import" not in text and "http" not in text
    assert "<script" not in text and "&lt;script&gt;alert('x')" in text
    assert "@media(prefers-color-scheme:dark)" in text and len(text) < 60_000


def test_points_stand_where_their_values_say(tmp_path):
    """Dots of both curves: x rises with the epoch, y falls linearly with the value; the ring is on the kept epoch's."""
    text = written(make(tmp_path / "run"))[0]
    loss, top1, *_ = re.findall(r"<svg.*?</svg>", text, re.S)

    def dots(svg: str, role: str) -> list[tuple[float, float]]:
        found = re.findall(rf'class="{role} dot" cx="([\d.]+)" cy="([\d.]+)"', svg)
        return [(float(x), float(y)) for x, y in found]

    for svg, series in (
        (loss, {"val": NLL, "train": [v + 0.2 for v in NLL]}),
        (top1, {"val": TOP1, "train": [v - 0.1 for v in TOP1]}),
    ):
        places = [*dots(svg, "val"), *dots(svg, "train")]
        values = [*series["val"], *series["train"]]
        slope, offset = np.polyfit(values, [y for _, y in places], 1)
        assert slope < 0 and np.abs(np.polyval([slope, offset], values) - [y for _, y in places]).max() < 0.1
        assert np.diff([x for x, _ in places[:4]]) == pytest.approx([places[1][0] - places[0][0]] * 3, abs=0.11)
        ring = re.search(r'class="ring" cx="([\d.]+)" cy="([\d.]+)"', svg)
        assert ring and (float(ring[1]), float(ring[2])) == places[2]
    assert "<title>epoch 3, validation: 88.00%</title>" in top1 and "<title>epoch 3, training: 0.5000</title>" in loss


def test_chinese_leaves_no_english_sentence(tmp_path):
    page = written(make(tmp_path / "run"), "zh")[1]
    assert sum(bool(CJK.search(text)) for text in page.texts) > 40
    own = {"resnet18 classes=3", "plusx train resnet18 --data 'my photos'", "damaged: ends early"}
    left = [text for text in page.texts if text not in own and not CJK.search(text) and re.search(r"[a-z]{3}", text)]
    names = {*CLASSES, "/home/me/photos", "/p/cut.jpg", "0123456789abcdef", "cpu", "fp32", "default", "plusx", "torch"}
    keys = {"epochs", "batch", "flip", "yes"}  # of the recipe's language
    ops = re.compile(
        r"(stem|layer\d|conv1|maxpool|avgpool|fc)\b|(Conv|MaxPool|AvgPool|Linear)\b|plusx "
    )  # and commands
    assert {text for text in left if not ops.match(text)} <= names | keys
    assert not [text for text in page.texts if text not in own and not ops.match(text) and ENGLISH.search(text)]


def test_names_that_are_words_of_plusx_stay_as_they_are(tmp_path):
    """A folder named `images`, a class named `class`: data is never translated."""
    path = make(tmp_path / "run")
    run = json.loads((path / "run.json").read_text())
    edit(path / "run.json", data={**run["data"], "path": "/data/images"}, network="input")
    rows = [{"class": name, "n": 10, "correct": 5} for name in ("class", "memory", "epoch")]
    edit(path / "bundle/bundle.json", metrics={"n": 30, "correct": 15, "top1": 0.5, "per_class": rows})
    texts = written(path, "zh")[1].texts
    assert "images，320 张训练图像" in texts and texts.count("input") == 2  # title and heading
    assert {"class", "memory", "epoch"} <= set(texts)


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "no log": lambda r: (r / "metrics.jsonl").unlink(),
    "odd log": lambda r: (r / "metrics.jsonl").write_text(
        '{"event":"evaluated","epoch":"x"}\n[1]\n{"event":"evaluated","epoch":0,"step":1,"n":1,"top1":1,"nll":1,'
        '"train_loss":1,"train_top1":1}\n{"event":"step","step":1,"loss":NaN,"lr":1e999}\n{"event":"step"}\n\xff\n'
    ),
    "one step": lambda r: (r / "metrics.jsonl").write_text('{"event":"step","step":1,"loss":2.3,"lr":0}\n'),
    "no bundle": lambda r: (r / "bundle/bundle.json").unlink(),
    "odd metrics": lambda r: edit(r / "bundle/bundle.json", metrics={"n": -1, "top1": "x", "per_class": 3, "epoch": []}),
    "impossible counts": lambda r: edit(
        r / "bundle/bundle.json", metrics={"n": -2, "correct": 5, "top1": 0.5, "top5": 0.5, "confusion": [[-1]]}
    ),
    "half of top-5": lambda r: edit(r / "bundle/bundle.json", metrics={"n": 2, "correct": 1, "top1": 0.5, "top5": 0.5}),
    "impossible classes": lambda r: edit(
        r / "bundle/bundle.json", metrics={"per_class": [{"class": "a", "n": 1, "correct": 5}], "confusion": [[1, 2]]}
    ),
    "metrics a list": lambda r: edit(r / "bundle/bundle.json", metrics=[]),
    "odd recipe": lambda r: edit(r / "run.json", recipe={"lr": [], "name": None}),
    "binary skipped": lambda r: (r / "skipped.csv").write_bytes(bytes(range(256)) * 9),
    "no checkpoint": lambda r: [p.unlink() for p in (r / "checkpoints").glob("*/*")],
}  # fmt: skip


def edit(path: Path, **keys: object) -> None:
    path.write_bytes(sealed_bytes({**json.loads(path.read_text()), **keys}))


@pytest.mark.parametrize("what", BREAKAGES)
def test_it_is_written_whatever_else_is_broken(what, tmp_path):
    BREAKAGES[what](make(tmp_path / "run"))
    for lang in ("en", "zh"):
        assert Page(write_report(tmp_path / "run", lang).read_text(encoding="utf-8")).texts


def test_without_run_json_there_is_no_report(tmp_path):
    with pytest.raises(BundleError, match="no run at"):
        read_report(tmp_path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"spec": None}, "invalid value of spec. Use another copy"),
        ({"versions": [1]}, "invalid value of versions"),
        ({"spec": {"block": 7}}, "cannot be used. [Uu]nknown block"),
        ({"data": {"train": 3, "val": {}, "classes": 7}}, "invalid value of train"),
        ({"data": {"val": {}}}, "lacks n"),
        ({"preprocessing": {"crop_px": -5}}, "run.json (lacks mean|cannot be used)"),
    ],
)
def test_a_garbled_run_json_is_one_line(fields, words, tmp_path):
    """What a run is stands there: a report that guessed it would be of another run."""
    edit(make(tmp_path / "run") / "run.json", **fields)
    with pytest.raises(BundleError, match=words) as caught:
        read_report(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_many_steps_and_classes_make_no_large_page(tmp_path):
    path = make(tmp_path / "run")
    with (path / "metrics.jsonl").open("a") as file:
        file.writelines(f'{{"event":"step","step":{s},"loss":{1 + s % 7},"lr":0.1}}\n' for s in range(41, 50_000))
    rows = [{"class": f"class {i}", "n": 10, "correct": i % 11 if i % 11 <= 10 else 0} for i in range(5000)]
    edit(path / "bundle/bundle.json", metrics={"n": 10, "correct": 1, "top1": 0.1, "per_class": rows})
    text, page = written(path)
    assert len(text) < 150_000
    assert "The 120 of 5000 classes with the lowest shares." in page.texts
    assert any("plusx evaluate --confusion" in said for said in page.texts)


# ---- curves ----


def test_one_outlier_does_not_flatten_the_curves(tmp_path):
    """A first evaluation of 907: the others take up the chart as without it, and the value is stated."""
    path = make(tmp_path / "run")
    lines = (path / "metrics.jsonl").read_text()
    assert lines.count('"nll": 1.1') == 1
    (path / "metrics.jsonl").write_text(lines.replace('"nll": 1.1', '"nll": 907.25'))
    text, page = written(path)
    loss = re.findall(r"<svg.*?</svg>", text, re.S)[0]
    heights = [float(y) for y in re.findall(r'class="val dot" cx="[\d.]+" cy="([\d.]+)"', loss)]
    assert len(heights) == 3 and max(heights) - min(heights) > 50  # 0.9 and 0.3 of 2, in a chart of 206
    assert "Beyond the axis: validation 907.2 in epoch 1." in page.texts and "907.2" in page.texts
    assert "<title>epoch 1, validation: 907.2500</title>" in loss
    assert "超出坐标轴：第 1 轮验证 907.2。" in written(path, "zh")[1].texts
    (path / "metrics.jsonl").write_text(lines)
    assert "Beyond the axis" not in written(path)[0]


@pytest.mark.parametrize(
    ("values", "top"),
    [
        ([2.0, 1.0, 0.5, 900.0], 2.0),
        ([1e9, 1e3, *np.linspace(3, 1, 40)], 3.0),
        (list(4 * np.exp(-np.arange(60) / 6)), 4.0),  # a fall over four decades is no outlier
        ([5.0, 4.0], 5.0),
        ([2.5], 2.5),
        ([0.0, 0.0, 3.0], 3.0),
    ],
)
def test_the_axis_ends_below_outliers_alone(values, top):
    assert robust_top(values) == top


# ---- mistakes ----


def mistake(number: int = 0, kilobytes: int = 1, **changed: Any) -> MistakeRow:
    uri = f"data:image/jpeg;base64,{'A' * 1000 * kilobytes}"
    row = MistakeRow(f"/p/bee/{number:03d}.jpg", "bee", "ant", 0.02, 0.9, 3.9, uri, uri, worst=number < 8)
    return replace(row, **changed)


def test_mistakes_stand_with_their_heat_maps(tmp_path):
    path = make(tmp_path / "run")
    weights = open_bundle(path / "bundle").weights_sha256
    write_mistakes(path, weights, [mistake(i) for i in range(10)])
    text, page = written(path)
    images = [dict(attributes) for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 20 and all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in images)
    assert any(said.startswith("10 of 12 mistakes. The predicted class is bold") for said in page.texts)  # 100 - 88
    at = page.texts.index("ant")
    assert page.texts[at : at + 5] == ["ant", "90%", "bee", "2%", "bee/000.jpg"]
    assert {"Worst: the least probability for the image's own class", "Most certain: the largest probability for another class"} <= set(page.texts)  # fmt: skip
    assert "<script" not in text and "http" not in text


def test_mistakes_of_other_weights_are_not_shown(tmp_path):
    path = make(tmp_path / "run")
    write_mistakes(path, "0" * 64, [mistake()])
    assert "<img" not in written(path)[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"image": 'data:image/jpeg;base64,A"><script>'}, {"cam": "https://example.org/x.jpg"}, {"p_label": 2.0},
        {"image": "data:image/svg+xml;base64,AAAA"}, {"nll": "x"}, {"path": 7}, {"worst": 1},
    ],
)  # fmt: skip
def test_a_hostile_mistake_is_left_out(changed, tmp_path):
    path = make(tmp_path / "run")
    weights = open_bundle(path / "bundle").weights_sha256
    write_mistakes(path, weights, [mistake(**changed), mistake(1)])
    images = [attributes for tag, attributes in written(path)[1].tags if tag == "img"]
    assert len(images) == 2 and all(image["alt"] == "/p/bee/001.jpg" for image in images)


def test_a_page_has_at_most_a_megabyte_and_says_what_it_left_out(tmp_path):
    path = make(tmp_path / "run")
    weights = open_bundle(path / "bundle").weights_sha256
    write_mistakes(path, weights, [mistake(i, 100) for i in range(16)])
    text, page = written(path)
    assert len(text.encode()) <= 1_000_000 and sum(tag == "img" for tag, _ in page.tags) == 8
    assert any(said.endswith("4 of them fit into this page.") for said in page.texts)
    names = [f"{i}{'x' * 100_000}" for i in range(20)]
    rows = [{"class": name, "n": 10, "correct": 5} for name in names]
    matrix = (np.ones((20, 20), int) * 5).tolist()
    edit(
        path / "bundle/bundle.json",
        metrics={"n": 200, "correct": 100, "top1": 0.5, "per_class": rows, "confusion": matrix},
    )
    assert len(written(path)[0].encode()) <= 1_000_000


# ---- recipe and commands ----


def test_what_differs_from_the_recipe_is_marked(tmp_path, capsys):
    """`default` has 30 epochs, batches of 32 and a rate of 0.05."""
    path = make(tmp_path / "run")
    assert main(["runs", str(path), "--report"]) == 0
    capsys.readouterr()
    text = (path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<dt>(\w+)</dt><dd><b>(.*?)</b> <s>(.*?)</s>", text) == [("epochs", "4", "30")] * 2
    assert "<dt>batch</dt><dd>32</dd>" in text
    assert "<s>" not in written(path)[0]  # where the recipe of that name is unknown


def test_the_next_commands_are_those_of_its_state(tmp_path):
    path = make(tmp_path / "run")
    texts = written(path)[1].texts
    assert texts[texts.index("predict") + 1] == f"plusx predict {path} IMAGE …"
    assert texts[texts.index("evaluate again") + 1] == f"plusx evaluate {path} --data /home/me/photos --confusion"
    assert f"plusx train --weights {path} --data /home/me/photos" in texts
    assert not any("--resume" in said for said in texts)
    recipe = json.loads((path / "run.json").read_text())["recipe"]
    edit(path / "run.json", recipe={**recipe, "epochs": 9})  # four are done, and nobody trains it
    assert f"plusx train --resume {path}" in written(path)[1].texts


# ---- who writes it ----


def test_the_sink_writes_at_the_end_and_now_and_then(tmp_path, monkeypatch):
    path = make(tmp_path / "run")
    monkeypatch.setenv("PLUSX_LANG", "zh_CN.UTF-8")
    sink, report = ReportFile(path, seconds=0.0), path / "report.html"
    evaluated = Evaluated(1, 1, 1, 1.0, 0.1, True, 0.1, 1.0, {}, 1.0)
    finished = Finished(40, 4, "done", 1.0, path, None, None)
    events: list[tuple[ReportFile, Event, bool]] = [
        (sink, Checkpointed(1, path, 0.1, 0.0), False), (sink, evaluated, True),
        (ReportFile(path, seconds=1e9), evaluated, False), (ReportFile(path, seconds=1e9), finished, True),
    ]  # fmt: skip
    for each, event, wanted in events:
        each(event)
        assert report.exists() is wanted
        report.unlink(missing_ok=True)
    sink(finished)
    assert 'lang="zh"' in report.read_text(encoding="utf-8")
    (tmp_path / "none").mkdir()
    ReportFile(tmp_path / "none")(finished)  # stopped before it began
    assert list((tmp_path / "none").iterdir()) == []


def test_runs_report_writes_it_again(tmp_path, capsys):
    for name in ("a", "b"):
        make(tmp_path / "runs" / name)
    start_run(tmp_path / "runs/c", dict.fromkeys(("command", "spec", "recipe", "data", "seed", "versions")))
    assert main(["runs", str(tmp_path / "runs"), "--report", "--lang", "zh"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert err.splitlines() == [f"已写入 {tmp_path / 'runs' / name / 'report.html'}" for name in ("a", "b")]
    assert 'lang="zh"' in (tmp_path / "runs/a/report.html").read_text(encoding="utf-8")
    assert read_run(tmp_path / "runs/a").seed == 7


def test_it_needs_no_torch(tmp_path):
    make(tmp_path / "run")
    code = f"import sys; from plusx.reports.run_report import write_report; write_report({str(tmp_path / 'run')!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout.strip() == "False"
