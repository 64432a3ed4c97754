"""From pretrained weights and images to a bundle with a new classifier, without training the network."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from plusx.bundles import Bundle, DataRecord, PartRecord, Provenance, save_bundle
from plusx.bundles.bundle import WEIGHTS
from plusx.data import Data, Splits
from plusx.i18n import Message, _n
from plusx.metrics import Counters, Evaluation, Mistakes
from plusx.probing.probe import CrossValidation, LinearProbe, cross_validate, refit
from plusx.probing.vectors import ImageVectors, Progress, Say, VectorMaker, never, silent
from plusx.probing.views import CROPS, MIRRORED, ImageView
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


def run_probe(
    first: Bundle,
    splits: Splits,
    out: str | Path,
    *,
    seed: int = 0,
    class_weights: str = "none",
    options: EngineOptions = AUTO,
    data: DataRecord | None = None,
    extra_images: int = EXTRA_IMAGES,
    stopped: Callable[[], bool] = never,
    progress: Progress | None = None,
    say: Say = silent,
) -> ProbeOutcome | None:
    """Fits a classifier to the features of `first`, evaluates it, and writes the whole network as a bundle at `out`.

    None if `stopped` returned true: nothing is written at `out` then, and the vectors computed so far are in the cache.
    `extra_images`: how many images may be computed once more to try mirrored images and crops. `data` is where the images
    come from, for the bundle's provenance. `progress` gets (done, total) of the images of each pass, `say` what a user
    should know. Raises SpecError, DataError, BundleError, MissingExtra, RunError.
    """
    began = time.monotonic()
    maker, classes = VectorMaker(first, options, say=say), splits.train.classes
    train = maker.vectors(splits.train, stopped=stopped, progress=progress)
    val = None if train is None else maker.vectors(splits.val, stopped=stopped, progress=progress)
    if train is None or val is None:
        return None
    if (line := contradiction([(splits.train, train), (splits.val, val)])) is not None:
        say(line)
    plain = cross_validate(
        train.values, train.labels, classes, class_weights=class_weights, seed=seed, threads=options.threads, stopped=stopped
    )  # fmt: skip
    if plain is None:
        return None
    validation, views, seen = _with_views(
        maker, splits.train, train, plain, class_weights, seed, extra_images, stopped, progress
    )
    if stopped():
        return None
    others = [vectors.values for vectors in seen]
    probe = refit(
        validation, train.values, train.labels, classes, class_weights=class_weights, views=others, threads=options.threads
    )  # fmt: skip
    evaluation = evaluate_vectors(probe, val, classes)
    about = provenance(first, splits, probe, views, seed, class_weights, maker.plan.precision, data or DataRecord())
    path = probe_bundle(first, probe, classes, out, evaluation, about)
    seconds = time.monotonic() - began
    return ProbeOutcome(path, probe, train, val, evaluation, views, maker.plan.precision, seconds)


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


def _with_views(
    maker: VectorMaker,
    data: Data,
    train: ImageVectors,
    plain: CrossValidation,
    class_weights: str,
    seed: int,
    extra_images: int,
    stopped: Callable[[], bool],
    progress: Progress | None,
) -> tuple[CrossValidation, tuple[ImageView, ...], list[ImageVectors]]:
    """The cross-validation with those further views that make held-out images more likely and as often right."""
    best, views, seen, left = plain, (), [], extra_images
    for group in ((MIRRORED,), CROPS):
        left -= len(group) * len(train)
        if left < 0 or stopped():
            break
        made = [maker.vectors(data, view, stopped=stopped, progress=progress) for view in group]
        more = [vectors for vectors in made if vectors is not None and vectors.keys == train.keys]
        if len(more) < len(group):  # stopped, or a file changed since its first view
            break
        tried = cross_validate(
            train.values, train.labels, data.classes, class_weights=class_weights, seed=seed,
            views=[vectors.values for vectors in (*seen, *more)], near=plain.c, threads=maker.options.threads,
            stopped=stopped,
        )  # fmt: skip
        if tried is not None and tried.nll < best.nll and tried.accuracy >= best.accuracy:
            best, views, seen = tried, (*views, *group), [*seen, *more]
    return best, views, seen
