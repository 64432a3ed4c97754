"""The linear probe: scikit-learn's own solution, whatever the shortcuts; planted faults of labels are refused in one line."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from plusx.data import open_data
from plusx.errors import DataError, MissingExtra, SpecError
from plusx.probing.folds import stratified_folds
from plusx.probing.logistic import Span, Standardisation, mean_nll, temperature
from plusx.probing.probe import CS, LinearProbe, cross_validate, fit_probe

NAMES = [f"class {i}" for i in range(10)]


def vectors(n: int, d: int, k: int, seed: int = 0, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clusters behind a ReLU, features of very different sizes, two that never change."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    inner = spread * random.normal(size=(k, 8))[labels] + random.normal(size=(n, 8))
    x = inner @ random.normal(size=(8, d)) + random.normal(size=(n, d))
    x = np.maximum(x, 0) * np.exp(2 * random.normal(size=d)) + random.normal(size=d)
    x[:, 0], x[:, 1] = 0.0, 1e6
    return x.astype(np.float32), labels


def fitted(*args, **keys) -> LinearProbe:
    found = fit_probe(*args, **keys)
    assert found is not None
    return found


# ---- scikit-learn is the oracle ----


@pytest.mark.parametrize(("n", "d", "k"), [(60, 200, 4), (200, 30, 3), (90, 300, 2), (120, 12, 2)])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_probe_is_scikit_learns_regression_of_standardised_vectors(n, d, k, weights):
    x, labels = vectors(n, d, k)
    labels = np.where(np.arange(n) < n // 2, 0, labels)  # one class has many more images
    probe = fitted(x, labels, NAMES[:k], class_weights=weights)
    wide = x.astype(np.float64)
    scaled = (wide - wide.mean(0)) / np.where(wide.std(0) > 1e-3, wide.std(0), 1)
    theirs = LogisticRegression(
        C=probe.c, tol=1e-10, max_iter=20_000, class_weight=None if weights == "none" else "balanced"
    ).fit(scaled, labels)
    want = theirs.decision_function(scaled)
    if k == 2:
        want = np.stack([-want / 2, want / 2], axis=1)
    got = probe.logits(x) * probe.validation.temperature
    assert np.abs(got - want).max() < 2e-3 * np.abs(want).max()
    assert probe.weight.dtype == probe.bias.dtype == np.float32 and probe.weight.shape == (k, d)


def test_out_of_fold_logits_come_from_fits_without_the_image():
    x, labels = vectors(80, 40, 4)
    found = cross_validate(x, labels, NAMES[:4])
    assert found is not None and found.tested.all() and found.n_folds == 5
    wide = x.astype(np.float64)
    scaled = (wide - wide.mean(0)) / np.where(wide.std(0) > 1e-3, wide.std(0), 1)
    for fold in range(5):
        held = found.folds == fold
        theirs = LogisticRegression(C=found.c, tol=1e-10, max_iter=20_000).fit(scaled[~held], labels[~held])
        want = theirs.decision_function(scaled[held]) / found.temperature
        got = found.logits[held]
        centred = [rows - rows.mean(axis=1, keepdims=True) for rows in (got, want)]
        assert np.abs(centred[0] - centred[1]).max() < 0.02 * np.abs(want).max()


def test_digits_pixels_are_classified_as_scikit_learn_does():
    """8x8 pixels of the digits as vectors: held-out accuracy of logistic regression with its C from cross-validation."""
    data = open_data("digits")
    train, val = (
        (part.images.reshape(len(part), -1).astype(np.float32), part.labels) for part in (data.train, data.val)
    )
    probe = fitted(*train, data.train.classes)
    ours = (probe.logits(val[0]).argmax(1) == val[1]).mean()
    assert 0.95 < ours < 1 and abs(probe.validation.accuracy - ours) < 0.02
    assert CS[0] < probe.c < CS[-1] and CS[-1] / CS[0] >= 1e7


def test_weights_of_raw_vectors_give_the_same_logits():
    x, _labels = vectors(50, 120, 3)
    standard = Standardisation.of(x)
    span = Span.of(standard.apply(x))
    assert span.inner.shape == (50, 50)
    inner = np.random.default_rng(1).normal(size=(3, 50))
    weight, bias = standard.undo(span.outer(inner), np.array([1.0, 2.0, 3.0]))
    assert np.allclose(x.astype(np.float64) @ weight.T + bias, span.inner @ inner.T + [1, 2, 3], atol=1e-6)
    other, _labels = vectors(7, 120, 3, seed=5)
    assert np.allclose(
        span.project(standard.apply(other)) @ inner.T, standard.apply(other) @ span.outer(inner).T, atol=1e-6
    )


def test_probabilities_are_calibrated_and_the_temperature_is_the_best():
    x, labels = vectors(300, 20, 3, spread=0.6)
    found = cross_validate(x, labels, NAMES[:3])
    assert found is not None and 0.5 < found.accuracy < 0.95
    for factor in (0.8, 1.25):
        assert mean_nll(found.logits * factor, labels) > found.nll
    assert found.nll == pytest.approx(mean_nll(found.logits, labels))
    shares = np.exp(found.logits) / np.exp(found.logits).sum(1, keepdims=True)
    assert abs(shares.max(1).mean() - found.accuracy) < 0.05


def test_the_temperature_of_faultless_logits_is_bounded():
    logits, labels = 5 * np.eye(3)[np.arange(30) % 3], np.arange(30) % 3
    assert 0.2 < temperature(logits, labels) < 5
    flipped = np.where(np.arange(30) < 10, (labels + 1) % 3, labels)
    assert temperature(logits, flipped) > temperature(logits, labels)
    # by hand: two classes, 3 of 4 right at a margin m give T = m / log(3) without the supposed image
    many = np.tile([[1.0, 0.0]], (4000, 1))
    assert temperature(many, np.arange(4000) % 4 // 3) == pytest.approx(1 / np.log(3), rel=0.01)


def test_it_is_deterministic_and_the_seed_chooses_the_folds():
    x, labels = vectors(60, 80, 3)
    one, two, three = (fitted(x, labels, NAMES[:3], seed=seed) for seed in (1, 1, 2))
    assert (one.weight == two.weight).all() and (one.validation.folds == two.validation.folds).all()
    assert (one.validation.folds != three.validation.folds).any()


def test_views_share_their_images_fold_and_weight():
    x, labels = vectors(60, 40, 3)
    alone, twice = fitted(x, labels, NAMES[:3]), fitted(x, labels, NAMES[:3], views=[x])
    assert twice.c == alone.c
    assert np.allclose(twice.validation.logits, alone.validation.logits, atol=0.02 * np.abs(alone.logits(x)).max())


# ---- folds ----


@pytest.mark.parametrize("counts", [(10, 10, 10), (1, 5, 9), (2, 2), (2, 1, 1), (3, 1), (40, 2, 7)])
def test_folds_are_stratified_and_leave_each_class_an_image(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    folds = stratified_folds(labels, seed=3)
    k = folds.max() + 1
    assert k == min(5, sum(n for n in counts if n > 1))
    sizes = np.bincount(folds[folds >= 0], minlength=k)
    assert sizes.max() - sizes.min() <= 1
    for label, n in enumerate(counts):
        own = folds[labels == label]
        assert (own == -1).all() if n == 1 else (own >= 0).all()
        for fold in range(k):
            assert (own != fold).any()
        per = np.bincount(own[own >= 0], minlength=k)
        assert per.max() - per.min() <= 1


# ---- too few images ----


def test_fewer_images_than_folds_and_a_class_of_one():
    x, labels = vectors(4, 30, 2)
    assert fitted(x, labels, NAMES[:2]).validation.n_folds == 4
    x, labels = vectors(9, 30, 3)
    keep = np.array([0, 3, 6, 1, 4, 7, 2])  # class 2 has one image
    probe = fitted(x[keep], labels[keep], NAMES[:3])
    assert probe.validation.tested.tolist() == [True] * 6 + [False]
    assert np.isnan(probe.validation.logits[-1]).all() and np.isfinite(probe.weight).all()
    assert probe.logits(x[keep])[-1].argmax() == 2


@pytest.mark.parametrize(
    ("labels", "classes", "says"),
    [
        ([0, 0, 1, 1], 3, "'class 2' has no training image"),
        ([0, 0, 0], 1, "There is 1 class"),
        ([0, 1, 2], 3, "Each class has 1 training image"),
    ],
)
def test_what_no_classifier_can_be_fitted_to_is_one_line(labels, classes, says):
    x = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
    with pytest.raises(DataError, match=says) as caught:
        fit_probe(x, np.array(labels), NAMES[:classes])
    assert "\n" not in str(caught.value)


def test_unknown_class_weights_and_a_missing_scikit_learn(monkeypatch):
    x, labels = vectors(12, 5, 2)
    with pytest.raises(SpecError, match="Did you mean 'balanced'"):
        fit_probe(x, labels, NAMES[:2], class_weights="balance")
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtra, match=r"pip install 'plusx\[train\]'"):
        fit_probe(x, labels, NAMES[:2])


def test_a_stop_ends_it_between_two_fits():
    x, labels = vectors(40, 20, 2)
    asked = iter([False] * 7 + [True] * 100)
    assert fit_probe(x, labels, NAMES[:2], stopped=lambda: next(asked)) is None
