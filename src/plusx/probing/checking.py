"""What the vectors of a data set tell beside its pixels: suspected labels, near-duplicates, and whether more images help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plusx.bundles import Bundle
from plusx.data import Data, Skipped, Splits
from plusx.data.check import KINDS, DataReport, Finding, Side
from plusx.i18n import Message, _
from plusx.probing.curve import AccuracyCurve, accuracy_curve
from plusx.probing.neighbours import near_duplicates
from plusx.probing.probe import cross_validate
from plusx.probing.suspects import suspected_labels
from plusx.probing.vectors import ImageVectors, Progress, Say, VectorMaker, silent
from plusx.runtime.engines import AUTO, EngineOptions

FOUND_BY_VECTORS: dict[str, Message] = {
    "near-leaks": _("nearly the same image in train and in val"),
    "labels": _("the label is likely wrong: the image looks like another class"),
}
_AFTER = {"leaks": "near-leaks", "conflicts": "labels"}


def all_kinds() -> dict[str, Message]:
    """What a check with weights looks for, the worst first."""
    kinds: dict[str, Message] = {}
    for kind, text in KINDS.items():
        kinds[kind] = text
        if (more := _AFTER.get(kind)) is not None:
            kinds[more] = FOUND_BY_VECTORS[more]
    return kinds


@dataclass(frozen=True)
class ImageRef:
    """Image `index` of one part of the data, where it lies, and its class."""

    part: Side
    index: int
    path: str
    label: str

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "part": self.part, "class": self.label}


@dataclass(frozen=True)
class LabelSuspicion:
    """An image, the class that it looks like, and the out-of-fold probabilities of its own class and of that one."""

    image: ImageRef
    looks_like: str
    p_label: float
    p_looks_like: float

    def to_dict(self) -> dict[str, Any]:
        about = {"looks_like": self.looks_like, "p_class": self.p_label, "p_looks_like": self.p_looks_like}
        return {**self.image.to_dict(), **about}


@dataclass(frozen=True)
class NearLeak:
    """A validation image, the training image that is nearly the same, and the cosine of their centred vectors."""

    val: ImageRef
    train: ImageRef
    similarity: float

    def to_dict(self) -> dict[str, Any]:
        return {"val": self.val.to_dict(), "train": self.train.to_dict(), "similarity": self.similarity}


@dataclass(frozen=True)
class VectorReport:
    """What the vectors tell. `n` images have one; `tested` of them were held out once, `correct` were classified rightly."""

    weights: str
    network: str
    engine: str
    precision: str
    n: int
    tested: int
    correct: int
    nll: float
    c: float
    folds: int
    suspicions: tuple[LabelSuspicion, ...]
    near_leaks: tuple[NearLeak, ...]
    curve: AccuracyCurve
    skipped: tuple[Skipped, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `plusx data check --weights --format json` prints them."""
        points = [
            {"share": p.share, "images": p.images, "accuracy": p.accuracy, "interval95": list(p.interval)}
            for p in self.curve.points
        ]
        return {
            "weights": self.weights, "network": self.network, "engine": self.engine, "precision": self.precision, "n": self.n,
            "out_of_fold": {
                "n": self.tested, "correct": self.correct, "accuracy": self.correct / self.tested, "nll": self.nll,
                "c": self.c, "folds": self.folds,
            },
            "labels": [row.to_dict() for row in self.suspicions],
            "near_leaks": [row.to_dict() for row in self.near_leaks],
            "curve": points, "gain": self.curve.gain, "gain95": [self.curve.low, self.curve.high],
            "verdict": self.curve.verdict(),
            "skipped": [{"path": row.path, "reason": row.reason} for row in self.skipped],
        }  # fmt: skip


def check_vectors(
    splits: Splits,
    bundle: Bundle,
    equal: Sequence[Finding] = (),
    *,
    seed: int = 0,
    options: EngineOptions = AUTO,
    progress: Progress | None = None,
    say: Say = silent,
) -> VectorReport:
    """What the features of `bundle` tell of both parts. Pairs that `equal` names, being equal in pixels, are not near-leaks.

    Each image is judged by a probe that was fitted without it. Raises SpecError, DataError, MissingExtra.
    """
    maker = VectorMaker(bundle, options, say=say)
    train, val = (_vectors(maker, data, progress) for data in (splits.train, splits.val))
    classes = splits.train.classes
    values = np.concatenate([train.values, val.values])
    labels = np.concatenate([train.labels, val.labels])
    refs = [*_refs("train", splits.train, train), *_refs("val", splits.val, val)]
    found = cross_validate(values, labels, classes, seed=seed, threads=options.threads)
    if found is None:
        raise RuntimeError("a check without a stop request was stopped")
    curve = accuracy_curve(found, values, labels, len(classes), seed=seed, threads=options.threads)
    if curve is None:
        raise RuntimeError("a check without a stop request was stopped")
    together = {frozenset(finding.paths) for finding in equal}
    suspects = suspected_labels(found, labels)
    likely = labels.copy()
    likely[[row.row for row in suspects]] = [row.looks_like for row in suspects]
    pairs = near_duplicates(train.values, val.values, likely[: len(train)], likely[len(train) :])
    near = [NearLeak(refs[len(train) + pair.val], refs[pair.train], pair.similarity) for pair in pairs]
    return VectorReport(
        weights=str(bundle.path),
        network=str(bundle.spec.replace(classes=0)),
        engine=maker.plan.engine,
        precision=maker.plan.precision,
        n=len(labels),
        tested=int(found.tested.sum()),
        correct=curve.points[-1].correct,
        nll=found.nll,
        c=found.c,
        folds=found.n_folds,
        suspicions=tuple(
            LabelSuspicion(refs[row.row], classes[row.looks_like], row.p_label, row.p_looks_like) for row in suspects
        ),
        near_leaks=tuple(
            leak for leak in near if not any({leak.val.path, leak.train.path} <= group for group in together)
        ),
        curve=curve,
        skipped=(*train.skipped, *val.skipped),
    )


def with_vectors(report: DataReport, found: VectorReport) -> DataReport:
    """The report with what the vectors found among its findings."""
    findings = [*report.findings]
    for leak in found.near_leaks:
        findings.append(
            Finding(
                "near-leaks",
                (leak.train.path, leak.val.path),
                _("nearly the same (similarity {similarity:.3f}), in train and in val", similarity=leak.similarity),
            )
        )
    for row in found.suspicions:
        findings.append(
            Finding(
                "labels",
                (row.image.path,),
                _(
                    "labelled {label} ({p_label:.0%}), looks like {looks_like} ({p_looks_like:.0%})",
                    label=row.image.label, p_label=row.p_label, looks_like=row.looks_like, p_looks_like=row.p_looks_like,
                ),
            )
        )  # fmt: skip
    kinds = all_kinds()
    rank = {kind: i for i, kind in enumerate(kinds)}
    findings.sort(key=lambda finding: rank[finding.kind])
    return replace(report, findings=tuple(findings), kinds=kinds)


def _vectors(maker: VectorMaker, data: Data, progress: Progress | None) -> ImageVectors:
    found = maker.vectors(data, progress=progress)
    if found is None:
        raise RuntimeError("vectors without a stop request were stopped")
    return found


def _refs(part: Side, data: Data, vectors: ImageVectors) -> list[ImageRef]:
    return [ImageRef(part, i, data.path(i), data.classes[int(data.labels[i])]) for i in vectors.kept.tolist()]
