"""A linear probe: logistic regression on frozen features, its regulariser chosen by folds, its probabilities calibrated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError, SpecError, unknown
from plusx.i18n import _
from plusx.probing.folds import ALWAYS_TRAINED, FOLDS, stratified_folds
from plusx.probing.logistic import Classifier, Floats, Span, Standardisation, computing_threads, mean_nll, temperature

CS = tuple(float(f"{10.0**half:.3g}") for half in np.arange(-6, 2.25, 0.5))
"""C of `sklearn.linear_model.LogisticRegression`, over eight decades: the best differs by five between data sets."""
CLASS_WEIGHTS = ("none", "balanced")
FOLD_FIT = {"tolerance": 1e-4, "steps": 75}
_FINAL_FIT = {"tolerance": 1e-6, "steps": 1000}
_SINGLE_ABOVE = 1 << 23
"""Numbers in the training rows from which the folds are computed in float32."""

Stopped = Callable[[], bool]


def never() -> bool:
    return False


@dataclass(frozen=True)
class PathPoint:
    """One regulariser that was tried: its calibrated out-of-fold nll in nats, and its out-of-fold accuracy."""

    c: float
    nll: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The best C, and what it gives for images that were held out.

    `logits` float32 (n, classes), divided by `temperature`; rows are NaN where `tested` bool (n,) is false: images that are
    the only ones of their class. `folds` int64 (n,).
    """

    c: float
    temperature: float
    logits: NDArray[np.float32]
    tested: NDArray[np.bool_]
    folds: NDArray[np.int64]
    path: tuple[PathPoint, ...]
    accuracy: float
    nll: float

    @property
    def n_folds(self) -> int:
        return int(self.folds.max()) + 1


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A classifier of raw vectors: logits = x @ weight.T + bias; float32 (classes, d) and (classes,). Standardisation and
    temperature are multiplied into them."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    validation: CrossValidation

    @property
    def c(self) -> float:
        return self.validation.c

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (n, classes) of (n, d)."""
        return vectors @ self.weight.T + self.bias


@dataclass(frozen=True, eq=False)
class _Rows:
    """The training rows in one coordinate system. `images` int64 (rows,) says of which image each is a view."""

    x: Floats
    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    """How much an image counts, shared by its views."""

    def of(self, chosen: NDArray[np.bool_]) -> _Rows:
        """The views of the images that are `chosen`, bool (images,)."""
        rows = chosen[self.images]
        return _Rows(self.x[rows], self.images[rows], self.labels[rows], self.weights[rows])


def fit_probe(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    class_weights: str = "none",
    seed: int = 0,
    views: Sequence[NDArray[np.float32]] = (),
    folds: int = FOLDS,
    threads: int | None = None,
    stopped: Stopped = never,
) -> LinearProbe | None:
    """The probe of (n, d) vectors and their labels; None if `stopped` returned true.

    `views` are further vectors (n, d) of the same images; they are trained on, and never decide alone whether an image is
    right. `class_weights` none or balanced: rare classes count as much as frequent ones. Deterministic. Raises SpecError,
    DataError for labels that no classifier can be fitted to, MissingExtra without scikit-learn.
    """
    validation = cross_validate(
        vectors, labels, classes, class_weights=class_weights, seed=seed, views=views, folds=folds, threads=threads,
        stopped=stopped,
    )  # fmt: skip
    if validation is None:
        return None
    return refit(validation, vectors, labels, classes, class_weights=class_weights, views=views, threads=threads)


def refit(
    validation: CrossValidation,
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    class_weights: str = "none",
    views: Sequence[NDArray[np.float32]] = (),
    threads: int | None = None,
) -> LinearProbe:
    """The probe of all images with the C and the temperature of a cross-validation of the same images."""
    standard = Standardisation.of(vectors)
    with computing_threads(vectors.size * (1 + len(views)), threads):
        rows, span = _rows(vectors, labels, views, standard)
        model = Classifier(len(classes), **_FINAL_FIT)
        model.fit(rows.x, rows.labels, validation.c, _weighted(rows, class_weights))
    weight, bias = standard.undo(span.outer(model.weight), model.bias)
    scale = 1 / validation.temperature
    return LinearProbe((weight * scale).astype(np.float32), (bias * scale).astype(np.float32), validation)


def cross_validate(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    class_weights: str = "none",
    seed: int = 0,
    views: Sequence[NDArray[np.float32]] = (),
    folds: int = FOLDS,
    near: float | None = None,
    threads: int | None = None,
    stopped: Stopped = never,
) -> CrossValidation | None:
    """Each of CS on the same folds; the best has the least calibrated nll of held-out images, the stronger of equals.

    With `near` only the values of CS within a decade of it are tried. Features are standardised over all images, which
    tells nothing of their labels. As `fit_probe` otherwise.
    """
    if class_weights not in CLASS_WEIGHTS:
        raise SpecError(unknown(_("class_weights"), class_weights, CLASS_WEIGHTS))
    _require(labels, classes)
    with computing_threads(vectors.size * (1 + len(views)), threads):
        rows, _span = _rows(vectors, labels, views, Standardisation.of(vectors))
        if rows.x.size > _SINGLE_ABOVE:
            rows = _Rows(rows.x.astype(np.float32), rows.images, rows.labels, rows.weights)
        cs = [c for c in CS if near is None or near / 11 < c < near * 11]
        places = stratified_folds(labels, seed, folds)
        return _best_of_path(rows, labels, places, len(classes), class_weights, cs, stopped)


def _best_of_path(
    rows: _Rows,
    labels: NDArray[np.int64],
    places: NDArray[np.int64],
    classes: int,
    class_weights: str,
    cs: Sequence[float],
    stopped: Stopped,
) -> CrossValidation | None:
    """From the strongest regulariser to the weakest, each fold's fit begins at its last solution."""
    tested, path = places != ALWAYS_TRAINED, []
    models = [Classifier(classes, **FOLD_FIT) for _fold in range(int(places.max()) + 1)]
    best: CrossValidation | None = None
    for c in cs:
        logits = np.full((len(labels), classes), np.nan, dtype=np.float32)
        for fold, model in enumerate(models):
            if stopped():
                return None
            part = rows.of(places != fold)
            model.fit(part.x, part.labels, c, _weighted(part, class_weights))
            held = np.flatnonzero(places == fold)
            logits[held] = model.logits(rows.x[held])
        heat = temperature(logits[tested], labels[tested])
        logits /= np.float32(heat)
        nll, accuracy = mean_nll(logits[tested], labels[tested]), _accuracy(logits[tested], labels[tested])
        path.append(PathPoint(c, nll, accuracy))
        if best is None or nll < best.nll:
            best = CrossValidation(c, heat, logits, tested, places, (), accuracy, nll)
    return None if best is None else replace(best, path=tuple(path))


def _rows(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    views: Sequence[NDArray[np.float32]],
    standard: Standardisation,
) -> tuple[_Rows, Span]:
    """The images' plain vectors first, then their other views, in coordinates of their span."""
    every = 1 + len(views)
    span = Span.of(standard.apply(np.concatenate([vectors, *views]) if views else vectors))
    images = np.tile(np.arange(len(labels)), every)
    return _Rows(span.inner, images, labels[images], np.full(len(images), 1 / every)), span


def _weighted(rows: _Rows, class_weights: str) -> NDArray[np.float64]:
    """What each row counts. Balanced is scikit-learn's: n / (classes · images of the class)."""
    if class_weights == "none":
        return rows.weights
    counts = np.bincount(rows.labels)
    present = np.count_nonzero(counts)
    return rows.weights * (len(rows.labels) / (present * np.maximum(counts, 1)))[rows.labels]


def _accuracy(logits: Floats, labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def _require(labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raises DataError for labels that no classifier can be fitted to."""
    if len(classes) < 2:
        raise DataError(_("There is 1 class, and a classifier needs at least 2. Add a folder of other images."))
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        raise DataError(
            _(
                "Class {name!r} has no training image that can be read. Add images, or remove the class.",
                name=classes[int(np.flatnonzero(counts == 0)[0])],
            )
        )
    if counts.max() < 2:
        raise DataError(
            _(
                "Each class has 1 training image, so none can be held out to choose a regulariser. Give at least 1 class 2 images."
            )
        )
