"""The real images that an export is calibrated and proven on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle, read_run
from plusx.data import BUILT_IN, Data, ListColumns, open_data, order
from plusx.errors import DataError, PlusxError
from plusx.evaluation.held_out import columns_of, open_held_out
from plusx.i18n import Message, _, joined
from plusx.images import Preprocessing, decode, resize_crop
from plusx.runtime.inputs import find_images

IndexProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class ProofImages:
    """uint8 (n, h, w, c) at the network's size; `labels` (n,) index the bundle's classes, None where they are unknown."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.pixels)


def proof_images(bundle: Bundle, where: str | None, most: int, progress: IndexProgress | None = None) -> ProofImages:
    """Images to prove on: the held-out share of the training, a data folder's evaluation part, or a folder without labels.

    `where` None is the data of the run that the bundle belongs to. Raises DataError when there is none.
    """
    where = where or known_data(bundle)
    try:
        data, _ = open_held_out(where, bundle, skip_bad=True, progress=progress)
    except DataError:
        if where in BUILT_IN or not Path(where).exists() or _has_class_folders(where, bundle):
            raise
        return loose_images(bundle, where, most)
    return _read(data, bundle, most, seed=0)


def calibration_images(
    bundle: Bundle, where: str | None, most: int, progress: IndexProgress | None = None
) -> ProofImages:
    """Images to calibrate int8 on: the training part of the data, or a folder without labels. Raises DataError."""
    given, where = where, where or known_data(bundle)
    if given is not None and where not in BUILT_IN and not _has_class_folders(where, bundle):
        return loose_images(bundle, where, most)
    split, seed = bundle.provenance.data.val_split or 0.2, bundle.provenance.seed or 0
    columns = columns_of(bundle) if given is None else ListColumns()
    return _read(open_data(where, val_split=split, seed=seed, progress=progress, **columns).train, bundle, most, seed=1)


def known_data(bundle: Bundle) -> str:
    """The data that the bundle was trained on, if it still exists there. Raises DataError."""
    run = bundle.path.parent
    if (run / "run.json").is_file():
        data = read_run(run).data
        where = data.path or data.kind
        if where in BUILT_IN or (isinstance(where, str) and (Path(where).exists() or has_magic(where))):
            return where
    kind = bundle.provenance.data.kind
    if kind is not None and kind in BUILT_IN:
        return kind
    raise DataError(
        joined(" ", [_lost_images(run, bundle), _("Name a folder of images with --data, like --data photos/.")])
    )


def _lost_images(run: Path, bundle: Bundle) -> Message:
    where = read_run(run).data.path if (run / "run.json").is_file() else None
    if where is None:
        return _("{path} does not say where the images of its training are.", path=bundle.path)
    return _("The images that {run} was trained on are no longer at {where}.", run=run, where=where)


def loose_images(bundle: Bundle, where: str, most: int) -> ProofImages:
    """The first `most` readable images of a folder, unlabelled. Raises DataError when fewer than two can be read."""
    pre, kept = bundle.preprocessing, []
    for item in find_images([where]):
        if len(kept) == most:
            break
        try:
            if isinstance(item.source, Path | bytes):
                kept.append(resize_crop(decode(item.source, pre.mode, at_least_px=pre.decode_px), pre))
        except DataError:
            continue
    return ProofImages(where, _stack(kept, where), None)


def _read(data: Data, bundle: Bundle, most: int, seed: int) -> ProofImages:
    """At most `most` of the data, drawn by `seed` independently of their classes."""
    pre: Preprocessing = bundle.preprocessing
    chosen = np.sort(order(len(data), seed=seed, epoch=0)[:most])
    pixels = [resize_crop(data.read(int(i), pre.mode, pre.decode_px), pre) for i in chosen]
    return ProofImages(data.kind, _stack(pixels, data.kind), data.labels[chosen])


def _stack(pixels: list[NDArray[np.uint8]], where: str) -> NDArray[np.uint8]:
    if len(pixels) < 2:
        raise DataError(
            _(
                "A proof needs at least 2 images, but {where} has {n} that can be read. Name others.",
                where=where,
                n=len(pixels),
            )
        )
    if len({image.shape for image in pixels}) > 1:
        raise DataError(
            _(
                "The images of {where} differ in size, and this network does not crop them. Give images of one size.",
                where=where,
            )
        )
    return np.stack(pixels)


def _has_class_folders(where: str, bundle: Bundle) -> bool:
    try:
        found = open_data(where).train.classes
    except PlusxError:
        return False
    return bool(set(found) & set(bundle.classes))
