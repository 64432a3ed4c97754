"""The contents of the page of a data check: which images are shown, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plusx.data import Splits
from plusx.data.check import DataReport
from plusx.errors import DataError
from plusx.i18n import Message, _, _n, translator
from plusx.images.thumbnail import thumbnail
from plusx.probing.checking import ImageRef, VectorReport
from plusx.reports.data_page import DataPage, FindingGroup, ImageCard, ImagePair, ShareLine, Suspicion, data_page

MOST_SUSPICIONS, MOST_PAIRS, MOST_LINES, MOST_CLASSES = 48, 18, 6, 120
MOST_THUMBNAIL_BYTES = 800_000
"""Of all thumbnails together, so that a page has less than 1 MB."""


def check_page(
    title: str, splits: Splits, report: DataReport, found: VectorReport | None = None, lang: str = "en"
) -> str:
    """The page of a check, in a language; `found` is what the vectors told, where weights were given."""
    thumbnails = _Thumbnails(splits)
    pairs = list(_pairs(found, thumbnails)) if found else []
    suspicions = list(_suspicions(found, thumbnails)) if found else []
    page = DataPage(
        title=title,
        lines=list(_lines(report, found)),
        tiles=list(_tiles(report, found)),
        suspicions=suspicions,
        suspicions_note=_suspicions_note(found, len(suspicions)) if found else None,
        pairs=pairs,
        pairs_note=_pairs_note(found, len(pairs)) if found else None,
        shares=[ShareLine(p.share, p.images, p.accuracy, *p.interval) for p in found.curve.points] if found else [],
        verdict=found.curve.verdict() if found else None,
        findings=list(_groups(report, found is not None)),
        classes=[(row.name, row.train, row.val) for row in report.classes[:MOST_CLASSES]],
        classes_note=_classes_note(report),
    )
    return data_page(page, translator(lang), lang)


class _Thumbnails:
    """Thumbnails of the images of both parts, until they fill the page."""

    def __init__(self, splits: Splits) -> None:
        self.parts = {"train": splits.train, "val": splits.val}
        self.bytes = 0

    def of(self, image: ImageRef) -> str:
        """The data URI of an image; "" where the page is full, or the image cannot be read any more."""
        if self.bytes > MOST_THUMBNAIL_BYTES:
            return ""
        try:
            uri = thumbnail(self.parts[image.part].read(image.index, at_least_px=160))
        except DataError:
            return ""
        self.bytes += len(uri)
        return uri


def _suspicions(found: VectorReport, thumbnails: _Thumbnails) -> Iterator[Suspicion]:
    for row in found.suspicions[:MOST_SUSPICIONS]:
        card = ImageCard(thumbnails.of(row.image), row.image.path, "")
        yield Suspicion(card, row.image.label, row.p_label, row.looks_like, row.p_looks_like)


def _pairs(found: VectorReport, thumbnails: _Thumbnails) -> Iterator[ImagePair]:
    for leak in found.near_leaks[:MOST_PAIRS]:
        cards = [ImageCard(thumbnails.of(ref), ref.path, ref.label, ref.part) for ref in (leak.train, leak.val)]
        yield ImagePair(cards[0], cards[1], leak.similarity)


def _lines(report: DataReport, found: VectorReport | None) -> Iterator[Message]:
    yield _(
        "{kind}: {n_train:,} training images, {n_val:,} validation images",
        kind=report.kind, n_train=report.n_train, n_val=report.n_val,
    )  # fmt: skip
    if found is not None:
        yield _(
            "features of {weights} ({network}), computed by {engine} in {precision}",
            weights=Path(found.weights).name, network=found.network, engine=found.engine, precision=found.precision,
        )  # fmt: skip
    yield from report.notes


def _tiles(report: DataReport, found: VectorReport | None) -> Iterator[tuple[Message, str, Message]]:
    counts = report.counts()
    if found is not None:
        low, high = found.curve.points[-1].interval
        yield _("suspected labels"), f"{counts['labels']:,}", _n("of {n:,} image", "of {n:,} images", found.tested)
        yield (
            _("near-duplicates"),
            f"{counts['near-leaks']:,}",
            _n("of {n:,} validation image", "of {n:,} validation images", report.n_val),
        )
        yield (
            _("accuracy of a probe"),
            f"{found.correct / found.tested:.1%}",
            _("on held-out images; 95 %: {low:.1%} to {high:.1%}", low=low, high=high),
        )
    others = sum(n for kind, n in counts.items() if kind not in ("labels", "near-leaks"))
    yield _("other findings"), f"{others:,}", _("unreadable, equal, tiny or unusual images, and rare classes")


def _suspicions_note(found: VectorReport, shown: int) -> Message:
    if not found.suspicions:
        return _("No image is confidently of another class than its label says.")
    about = _(
        "A classifier that was fitted without the image is confident of another class (bold) than its label says (below it). The most likely errors come first. Look at an image before you change its label."
    )
    if shown < len(found.suspicions):
        return _(
            "{about} {shown} of {n:,} are shown; --format json lists all.",
            about=about,
            shown=shown,
            n=len(found.suspicions),
        )
    return about


def _pairs_note(found: VectorReport, shown: int) -> Message:
    if not found.near_leaks:
        return _("No validation image is nearly the same as a training image.")
    about = _(
        "Validation accuracy is too high where the network was trained on nearly the same image. Keep such images in one part."
    )
    if shown < len(found.near_leaks):
        return _(
            "{about} {shown} of {n:,} pairs are shown; --format json lists all.",
            about=about,
            shown=shown,
            n=len(found.near_leaks),
        )
    return about


def _groups(report: DataReport, with_images: bool) -> Iterator[FindingGroup]:
    for kind, count in report.counts().items():
        shown = with_images and kind in ("labels", "near-leaks")
        rows = [] if shown else [finding for finding in report.findings if finding.kind == kind][:MOST_LINES]
        lines = [(" = ".join(finding.paths[:4]), finding.note) for finding in rows]
        yield FindingGroup(kind, report.kinds[kind], count, lines, 0 if shown else count - len(lines))


def _classes_note(report: DataReport) -> Message | None:
    if len(report.classes) <= MOST_CLASSES:
        return None
    return _("The first {most} of {n} classes.", most=MOST_CLASSES, n=len(report.classes))
