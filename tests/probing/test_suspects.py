"""Planted wrong labels and near-duplicates are found, and clean data give none; the curve is scikit-learn's accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from plusx.data import open_data
from plusx.probing.curve import SHARES, AccuracyCurve, CurvePoint, accuracy_curve
from plusx.probing.neighbours import near_duplicates
from plusx.probing.probe import CrossValidation, cross_validate
from plusx.probing.suspects import suspected_labels

CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The pixels of 600 digits as vectors, and their labels."""
    data = open_data("digits").train
    assert data.images is not None
    return data.images[:600].reshape(600, -1).astype(np.float32), data.labels[:600]


def validated(x: np.ndarray, labels: np.ndarray) -> CrossValidation:
    found = cross_validate(x, labels, CLASSES)
    assert found is not None
    return found


def planted(labels: np.ndarray, n: int, seed: int = 0) -> tuple[np.ndarray, set[int]]:
    """The labels with `n` of them wrong, and which."""
    random = np.random.default_rng(seed)
    rows = random.permutation(len(labels))[:n]
    wrong = labels.copy()
    wrong[rows] = (labels[rows] + 1 + random.integers(9, size=n)) % 10
    return wrong, set(rows.tolist())


@pytest.mark.parametrize("n", [12, 60])
def test_planted_wrong_labels_are_found(digits, n):
    """Of 2 % and of 10 % wrong labels: recall at least 85 %, precision at least 60 %, and the most suspicious are right."""
    x, labels = digits
    wrong, rows = planted(labels, n)
    found = suspected_labels(validated(x, wrong), wrong)
    hits = [suspect for suspect in found if suspect.row in rows]
    assert len(hits) >= 0.85 * n and len(hits) >= 0.6 * len(found)
    assert all(suspect.row in rows for suspect in found[: n // 2])
    assert sum(suspect.looks_like == labels[suspect.row] for suspect in hits) >= 0.9 * len(hits)
    for suspect in found:
        assert suspect.label == wrong[suspect.row] != suspect.looks_like and suspect.p_looks_like > suspect.p_label
    assert [suspect.margin for suspect in found] == sorted((suspect.margin for suspect in found), reverse=True)


def test_right_labels_give_few_suspicions(digits):
    x, labels = digits
    assert len(suspected_labels(validated(x, labels), labels)) <= 0.04 * len(labels)


def test_the_confident_joint_by_hand():
    """Northcutt et al., equation 2: the bars are .8 (mean of .9, .9, .6) and .5 (mean of .7, .5, .3)."""
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.5, 0.5], [0.7, 0.3]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    x = np.zeros((6, 2), np.float32)
    found = replace(
        cross_validate(np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32), labels, ("a", "b")) or pytest.fail(),
        logits=np.log(shares).astype(np.float32), tested=np.ones(6, dtype=bool),
    )  # fmt: skip
    assert len(x) == 6 and suspected_labels(found, labels) == []
    shares[5] = [0.85, 0.15]
    (suspect,) = suspected_labels(replace(found, logits=np.log(shares).astype(np.float32)), labels)
    assert (suspect.row, suspect.label, suspect.looks_like) == (5, 1, 0)
    assert suspect.margin == pytest.approx(0.7)


# ---- near-duplicates ----


def test_planted_near_duplicates_are_found(digits):
    x, labels = digits
    random = np.random.default_rng(3)
    train, val = x[:400].copy(), x[400:].copy()
    before = near_duplicates(train, val, labels[:400], labels[400:])
    rows = random.permutation(400)[:10]
    copies = train[rows] * 1.02 + random.normal(size=(10, 64)).astype(np.float32) * 0.15
    found = near_duplicates(
        train, np.concatenate([val, copies]), labels[:400], np.concatenate([labels[400:], labels[rows]])
    )
    hits = {pair.val - 200: pair.train for pair in found if pair.val >= 200}
    assert hits == dict(enumerate(rows.tolist()))
    assert len(before) <= 4, "different scans of a digit are no duplicates"
    assert {pair.val for pair in found[:8]} <= set(range(200, 210))
    values = [pair.similarity for pair in found]
    assert values == sorted(values, reverse=True) and 0.9 <= values[-1] and values[0] <= 1


def test_near_duplicates_of_large_sets_are_those_of_blocks(monkeypatch, digits):
    x, labels = digits
    args = x[:400], x[380:], labels[:400], labels[380:]
    whole = near_duplicates(*args)
    monkeypatch.setattr("plusx.probing.neighbours._BLOCK", 7)
    assert [(pair.val, pair.train) for pair in near_duplicates(*args)] == [(pair.val, pair.train) for pair in whole]
    assert {(i, 380 + i) for i in range(20)} <= {(pair.val, pair.train) for pair in whole}


# ---- would more images help ----


def test_the_curve_is_scikit_learns_accuracy(digits):
    x, labels = digits
    x, labels = x[:240], labels[:240]
    found = validated(x, labels)
    curve = accuracy_curve(found, x, labels, 10)
    assert curve is not None and [point.share for point in curve.points] == list(SHARES)
    assert [point.n for point in curve.points] == [240] * 4
    assert curve.points[-1].correct == int((found.logits.argmax(1) == labels).sum())
    assert [point.images for point in curve.points] == pytest.approx([48, 96, 144, 192], abs=6)
    scaled = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    theirs = []
    for _repeat in range(3):  # other quarters of the same folds
        random, hits = np.random.default_rng(_repeat), 0
        for fold in range(5):
            trained = np.flatnonzero(found.folds != fold)
            part = random.permutation(trained)[: len(trained) // 4]
            part = np.concatenate([part, [np.flatnonzero((labels == k) & (found.folds != fold))[0] for k in range(10)]])
            model = LogisticRegression(C=found.c, max_iter=1000).fit(scaled[part], labels[part])
            hits += int((model.predict(scaled[found.folds == fold]) == labels[found.folds == fold]).sum())
        theirs.append(hits / 240)
    assert min(theirs) - 0.05 < curve.points[0].accuracy < max(theirs) + 0.05
    assert curve.points[0].accuracy < curve.points[-1].accuracy
    assert curve.low < curve.gain < curve.high
    assert curve.gain == pytest.approx(curve.points[-1].accuracy - curve.points[1].accuracy)


@pytest.mark.parametrize(
    ("gain", "low", "high", "says"),
    [
        (0.03, 0.01, 0.05, "more images are likely to help"),
        (0.001, -0.004, 0.006, "will hardly help"),
        (0.01, -0.02, 0.04, "too uncertain to tell"),
        (-0.03, -0.06, -0.005, "will hardly help"),
    ],
)
def test_the_verdict(gain, low, high, says):
    points = tuple(CurvePoint(share, round(400 * share), 100, 90) for share in SHARES)
    text = AccuracyCurve(points, gain, low, high).verdict()
    assert says in text and "From 200 to 400" in text and "\n" not in text
