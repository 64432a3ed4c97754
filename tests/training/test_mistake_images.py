"""The mistakes of a run: those that its network makes, with the images that it made them on."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plusx.bundles import open_bundle
from plusx.images import normalise
from plusx.metrics import Mistake
from plusx.nn import build
from plusx.reports.mistakes import MistakeRow, read_mistakes
from plusx.training import RunOptions, fit
from plusx.training.mistake_images import mistake_rows
from training.tinyrun import resumed, splits, started, stopped_after, write_photos

RECIPE = "digits epochs=2 batch=16 lr=0.01 precision=fp32"


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def rows_of(run: Path) -> list[MistakeRow]:
    return read_mistakes(run, open_bundle(run / "bundle").weights_sha256)


def by_hand(run: Path) -> list[tuple[str, str, str, float, float]]:
    """Every mistake of the run's network on the images held out, the largest loss first."""
    bundle, val = open_bundle(run / "bundle"), splits().val
    assert val.images is not None
    with torch.no_grad():
        x = torch.from_numpy(normalise(val.images, bundle.preprocessing))
        p = build(bundle.spec, bundle.weights()).eval()(x).double().softmax(1).numpy()
    wrong = [i for i in range(len(val)) if p[i].argmax() != val.labels[i]]
    found = [(val.names[i], str(val.labels[i]), str(p[i].argmax()), p[i, val.labels[i]], p[i].max()) for i in wrong]
    return sorted(found, key=lambda each: each[3])


def test_they_are_those_that_the_network_makes(tmp_path: Path) -> None:
    list(started(tmp_path / "run", RECIPE))
    wrong, rows = by_hand(tmp_path / "run"), rows_of(tmp_path / "run")
    assert len(wrong) > 8, "too few to tell whether the worst were taken"
    found = [(row.path, row.label, row.predicted, row.p_label, row.p_predicted) for row in rows]
    assert [each[:3] for each in found[:8]] == [each[:3] for each in wrong[:8]]
    assert np.array([each[3:] for each in found[:8]]) == pytest.approx(
        np.array([each[3:] for each in wrong[:8]]), rel=1e-4
    )
    others = sorted(wrong[8:], key=lambda each: -each[4])[:8]
    assert [each[0] for each in found[8:]] == [each[0] for each in others]
    assert [row.worst for row in rows] == [True] * 8 + [False] * len(others)
    val = splits().val
    for row in rows:
        assert val.images is not None
        assert np.array_equal(pixels(row.image), val.images[list(val.names).index(row.path), ..., 0])
        assert pixels(row.cam).shape == (112, 112, 3)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert report.count("<img ") == 2 * len(rows) and len(report) < 1_000_000


def test_an_interrupted_run_has_them_when_it_is_done(tmp_path: Path) -> None:
    """Also where the kept epoch is one of before the interruption: they lie in the checkpoint."""
    list(started(tmp_path / "whole", RECIPE))
    stopped_after(tmp_path / "run", 9, RECIPE)
    assert not (tmp_path / "run" / "mistakes.json").exists()
    list(resumed(tmp_path / "run"))
    whole, run = ((tmp_path / name / "mistakes.json").read_bytes() for name in ("whole", "run"))
    assert whole == run and json.loads(run)["mistakes"]


def test_a_run_behind_frozen_layers_and_a_probe_have_them(tmp_path: Path) -> None:
    list(started(tmp_path / "first", RECIPE))
    options = RunOptions(weights=tmp_path / "first", threads=1)
    for name, recipe in (("maps", "layer4 epochs=1 views=1 freeze=layer1 head=new size=8"), ("probe", "probe")):
        list(fit(None, splits(), recipe, tmp_path / name, options))
        assert [row.path for row in rows_of(tmp_path / name)[:3]] == [each[0] for each in by_hand(tmp_path / name)[:3]]
        assert "<img " in (tmp_path / name / "report.html").read_text(encoding="utf-8")


def test_photos_are_shown_whole_and_unreadable_ones_left_out(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    words = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4"
    list(fit(words, photos, "default epochs=1 batch=8 size=24", tmp_path / "run", RunOptions(threads=1)))
    from plusx.data import open_data

    bundle, val = open_bundle(tmp_path / "run" / "bundle"), open_data(photos).val
    mistakes = [Mistake(i, int(val.labels[i]), 1 - int(val.labels[i]), 0.1, 0.9, 2.3) for i in range(len(val))]
    rows = mistake_rows(mistakes, val, bundle)
    assert len(rows) == len(val)
    for i, row in enumerate(rows):
        with Image.open(val.path(i)) as photo:
            assert pixels(row.image).shape[1::-1] == photo.size  # 40 px high, up to 62 wide: kept as they are
            height, width = pixels(row.cam).shape[:2]
            assert width / height == pytest.approx(photo.width / photo.height, rel=0.01)
    Path(val.path(0)).unlink()
    assert [row.path for row in mistake_rows(mistakes, val, bundle)] == [row.path for row in rows[1:]]
    assert mistake_rows(mistakes, val, bundle, seconds=-1.0) == []
