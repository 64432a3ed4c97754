"""From pretrained weights and images to a bundle with a new classifier, without training the network."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from plusx.bundles import Bundle, DataRecord, PartRecord, Provenance, save_bundle
from plusx.bundles.bundle import WEIGHTS
from plusx.data import Data, Splits
from plusx.i18n import Message, _n
from plusx.metrics import Counters, Evaluation, Mistakes
from plusx.probing.probe import CrossValidation, LinearProbe, cross_validate, refit
from plusx.probing.vectors import ImageVectors, Progress, Say, VectorMaker, never, silent
from plusx.probing.views import CROPS, MIRRORED, PLAIN, ImageView
from plusx.runtime.engines import AUTO, EngineOptions
from plusx.version import __version__

EXTRA_IMAGES = 600
"""Images computed beyond the plain ones to try further views, at most: ten seconds of a ResNet-50 on two cores."""
MOST_CLASSES_WITH_CONFUSION = 100


@dataclass(frozen=True, eq=False)
class ProbeOutcome:
    """A finished probe: its bundle on disk, the vectors it was fitted to, its evaluation on the validation images."""

    bundle: Path
    probe: LinearProbe
    train: ImageVectors
    val: ImageVectors
    evaluation: Evaluation
    views: tuple[ImageView, ...]
    """Views besides the plain one, which made held-out images more likely."""
    precision: str
    seconds: float

    @property
    def images(self) -> int:
        """Images that have a vector."""
        return len(self.train) + len(self.val)


@dataclass(eq=False)
class Probing:
    """How a classifier is fitted to the features of `first`: for which images, by which engine.

    `data` is where the images come from, for the bundle's provenance. `progress` gets (done, total) of the images of each
    pass, `say` what a user should know.
    """

    first: Bundle
    splits: Splits
    seed: int = 0
    class_weights: str = "none"
    options: EngineOptions = AUTO
    data: DataRecord | None = None
    stopped: Callable[[], bool] = never
    progress: Progress | None = None
    say: Say = silent

    @cached_property
    def maker(self) -> VectorMaker:
        """Raises SpecError, DataError."""
        return VectorMaker(self.first, self.options, say=self.say)

    def plain(self, out: str | Path) -> ProbeOutcome | None:
        """The probe of each image's plain view, written as a bundle at `out`.

        None if `stopped` returned true: nothing is written then, and the vectors computed so far are in the cache.
        Raises SpecError, DataError, BundleError, MissingExtra, RunError.
        """
        began, splits = time.monotonic(), self.splits
        train = self._vectors(splits.train)
        val = None if train is None else self._vectors(splits.val)
        if train is None or val is None:
            return None
        if (line := contradiction([(splits.train, train), (splits.val, val)])) is not None:
            self.say(line)
        validation = self._cross_validated(train)
        return None if validation is None else self._written(out, began, validation, train, val)

    def with_views(self, plain: ProbeOutcome, out: str | Path) -> ProbeOutcome | None:
        """The probe of those further views that make held-out images more likely and as often right, written at `out`.

        `plain` itself, and nothing written, where none does; None if `stopped` returned true. Raises as `plain` does.
        """
        began, train = time.monotonic(), plain.train
        best, views, seen = plain.probe.validation, (), []
        for group in tried_views(len(train)):
            made = [self._vectors(self.splits.train, view) for view in group]
            if self.stopped():
                return None
            more = [vectors for vectors in made if vectors is not None and vectors.keys == train.keys]
            if len(more) < len(group):  # a file changed since its first view
                break
            tried = self._cross_validated(train, [*seen, *more], near=plain.probe.c)
            if tried is None:
                return None
            if tried.nll < best.nll and tried.accuracy >= best.accuracy:
                best, views, seen = tried, (*views, *group), [*seen, *more]
        return self._written(out, began, best, train, plain.val, views, seen) if views else plain

    def _vectors(self, data: Data, view: ImageView = PLAIN) -> ImageVectors | None:
        return self.maker.vectors(data, view, stopped=self.stopped, progress=self.progress)

    def _cross_validated(
        self, train: ImageVectors, views: Sequence[ImageVectors] = (), near: float | None = None
    ) -> CrossValidation | None:
        return cross_validate(
            train.values, train.labels, self.splits.train.classes, class_weights=self.class_weights, seed=self.seed,
            views=[vectors.values for vectors in views], near=near, threads=self.options.threads, stopped=self.stopped,
        )  # fmt: skip

    def _written(
        self,
        out: str | Path,
        began: float,
        validation: CrossValidation,
        train: ImageVectors,
        val: ImageVectors,
        views: tuple[ImageView, ...] = (),
        seen: Sequence[ImageVectors] = (),
    ) -> ProbeOutcome:
        """Fitted to all images, evaluated, and on disk."""
        classes = self.splits.train.classes
        probe = refit(
            validation, train.values, train.labels, classes, class_weights=self.class_weights,
            views=[vectors.values for vectors in seen], threads=self.options.threads,
        )  # fmt: skip
        evaluation = evaluate_vectors(probe, val, classes)
        precision = self.maker.plan.precision
        about = provenance(
            self.first, self.splits, probe, views, self.seed, self.class_weights, precision, self.data or DataRecord()
        )
        path = probe_bundle(self.first, probe, classes, out, evaluation, about)
        return ProbeOutcome(path, probe, train, val, evaluation, views, precision, time.monotonic() - began)


def tried_views(images: int) -> list[tuple[ImageView, ...]]:
    """The groups of further views that so many training images are tried in, one after the other; mirrored ones come first."""
    groups, left = [], EXTRA_IMAGES
    for group in ((MIRRORED,), CROPS):
        left -= len(group) * images
        if left >= 0:
            groups.append(group)
    return groups


def evaluate_vectors(probe: LinearProbe, val: ImageVectors, classes: Sequence[str]) -> Evaluation:
    """The Evaluation of a probe on vectors, with its mistakes."""
    counters, seen, logits = Counters(classes), Mistakes(), probe.logits(val.values)
    counters.add(logits, val.labels)
    seen.add(val.kept.tolist(), logits, val.labels)
    return replace(counters.result(), mistakes=seen.result())


def probe_bundle(
    first: Bundle,
    probe: LinearProbe,
    classes: Sequence[str],
    out: str | Path,
    evaluation: Evaluation,
    provenance: Provenance,
) -> Path:
    """The network of `first` with the probe as its classifier, as a bundle at `out`. Raises BundleError, RunError."""
    tensors = {name: array for name, array in first.weights().items() if not name.startswith("fc.")}
    tensors |= {"fc.weight": probe.weight, "fc.bias": probe.bias}
    metrics = evaluation.to_dict(confusion=len(classes) <= MOST_CLASSES_WITH_CONFUSION)
    spec = first.spec.replace(classes=len(classes))
    return save_bundle(out, spec, classes, first.preprocessing, tensors, metrics, provenance)


def provenance(
    first: Bundle,
    splits: Splits,
    probe: LinearProbe,
    views: Sequence[ImageView],
    seed: int,
    class_weights: str,
    precision: str,
    data: DataRecord,
) -> Provenance:
    """Where a probe's bundle comes from: the weights, the data, and what the folds said."""
    found, parts = probe.validation, (splits.train, splits.val)
    train, val = (PartRecord(len(part), part.fingerprint) for part in parts)
    record = replace(data, kind=data.kind or splits.train.kind, train=train, val=val)
    about = {
        "weights": {"path": str(first.path), "sha256": first.files[WEIGHTS]["sha256"], "network": str(first.spec)},
        "c": found.c, "temperature": found.temperature, "folds": found.n_folds, "views": [view.name for view in views],
        "out_of_fold": {"n": int(found.tested.sum()), "accuracy": found.accuracy, "nll": found.nll},
    }  # fmt: skip
    versions = {"plusx": __version__, "scikit-learn": version("scikit-learn"), "python": platform.python_version()}
    return Provenance(
        network=str(first.spec.replace(classes=len(splits.train.classes))),
        recipe={"name": "probe", "class_weights": class_weights}, seed=seed, data=record, precision=precision,
        versions=versions, other={"probe": about},
    )  # fmt: skip


def contradiction(parts: Sequence[tuple[Data, ImageVectors]]) -> Message | None:
    """A line on images that occur under two classes; None where there are none."""
    seen: dict[bytes, tuple[str, int]] = {}
    found: dict[bytes, tuple[str, str, int, int]] = {}
    for data, vectors in parts:
        for i, key, label in zip(vectors.kept.tolist(), vectors.keys, vectors.labels.tolist(), strict=True):
            path, other = seen.setdefault(key, (data.path(i), label))
            if other != label:
                found.setdefault(key, (path, data.path(i), other, label))
    if not found:
        return None
    one, two, a, b = next(iter(found.values()))
    classes = parts[0][0].classes
    return _n(
        "{n} image is in two classes: {one} ({a}) is the same as {two} ({b}). Remove one of them.",
        "{n} images are in two classes. The first: {one} ({a}) is the same as {two} ({b}). plusx data check lists all.",
        len(found), one=one, two=two, a=classes[a], b=classes[b],
    )  # fmt: skip
