"""Folders of IDX files (MNIST's layout), and Fashion-MNIST from a folder, Debian's package or a checked download."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx import settings
from plusx.data.idx import read_idx
from plusx.data.indexing import ProgressCallback
from plusx.data.parts import DataParts, LabelledPart, UnreadPart, in_range, memory_part
from plusx.errors import DataError
from plusx.i18n import _

# Zalando's class names, in the order of their labels (github.com/zalandoresearch/fashion-mnist, README)
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
BASE_URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
# sha256 of the published .gz files. Debian's copies are the same streams with name and time taken out of the gzip
# header; put back (2017-08-31 10:50 UTC), they give the MD5 sums that the publisher's README lists.
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
# sha256 of the training labels' bytes: tells clothes from digits in a folder with the same file names
FASHION_TRAIN_LABELS = "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"
_PARTS = {"train": "train", "t10k": "test"}  # as the files are named, as the images are
_LARGEST_DOWNLOAD = 64 << 20


def is_idx_folder(folder: Path) -> bool:
    """Whether the folder holds MNIST-like files: train-images…, t10k-images…."""
    return any(_find(folder, name, "images") is not None for name in _PARTS)


def open_idx(folder: Path) -> DataParts:
    """The training and the test part of a folder of IDX files. Labels are read now, they are small. Raises DataError."""
    labels = {name: _labels(folder, name) for name in _PARTS if _find(folder, name, "images") is not None}
    known = labels.get("train", labels.get("t10k"))
    if known is None or not known.size:
        raise DataError(_("{folder} has no labels. Get its files again.", folder=folder))
    is_fashion = hashlib.sha256(known.tobytes()).hexdigest() == FASHION_TRAIN_LABELS
    classes = FASHION_CLASSES if is_fashion else tuple(map(str, range(int(known.max()) + 1)))

    def source(name: str) -> UnreadPart | None:
        return (
            UnreadPart(str(folder), classes, lambda: _part(folder, name, labels[name], classes))
            if name in labels
            else None
        )

    return DataParts(str(folder), source("train"), source("t10k"))


def fashion_folder(cache: Path, base_url: str = BASE_URL, progress: ProgressCallback | None = None) -> Path:
    """Where Fashion-MNIST lies: Debian's package, else the cache, else downloaded into it. Raises DataError."""
    if is_idx_folder(DEBIAN):
        return DEBIAN
    folder = cache / "fashion-mnist"
    for done, name in enumerate(SHA256):
        if progress is not None:
            progress(done, len(SHA256))
        if not (folder / name).is_file():
            download(base_url + name, folder / name, SHA256[name])
    return folder


def download(url: str, target: Path, sha256: str) -> None:
    """Fetch a file, compare its sha256, and only then put it at `target`. Raises DataError."""
    import urllib.request  # as slow to import as numpy

    name = target.name
    way_out = _("Or install Debian's package dataset-fashion-mnist, or name a folder that holds the four files.")
    if settings.offline():
        raise DataError(
            _("{name} is not in the cache and PLUSX_OFFLINE is set. Unset it. {way_out}", name=name, way_out=way_out)
        )
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            raw = answer.read(_LARGEST_DOWNLOAD + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            _("{url} cannot be downloaded ({reason}). Try again. {way_out}", url=url, reason=reason, way_out=way_out)
        ) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise DataError(
            _(
                "{url} gave other bytes than published (sha256 {found}…, not {sha256}…). Try again. {way_out}",
                url=url,
                found=found[:12],
                sha256=sha256[:12],
                way_out=way_out,
            )
        )
    aside = target.with_name(f".{name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(raw)
        aside.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise DataError(
            _(
                "{target} cannot be written ({reason}). Set PLUSX_CACHE to a folder with free space.",
                target=target,
                reason=error.strerror,
            )
        ) from error


def _find(folder: Path, part: str, what: str) -> Path | None:
    rank = {"images": 3, "labels": 1}[what]
    for joint in ("-", "."):
        for end in ("", ".gz"):
            path = folder / f"{part}-{what}{joint}idx{rank}-ubyte{end}"
            if path.is_file():
                return path
    return None


def _labels(folder: Path, part: str) -> NDArray[np.uint8]:
    return read_idx(_paired(folder, part, "labels"))


def _paired(folder: Path, part: str, what: str) -> Path:
    if (path := _find(folder, part, what)) is None:
        rank = 3 if what == "images" else 1
        raise DataError(
            _(
                "{folder} lacks {part}-{what}-idx{rank}-ubyte[.gz]. Put it there, since images and labels come in pairs.",
                folder=folder,
                part=part,
                what=what,
                rank=rank,
            )
        )
    return path


def _part(folder: Path, name: str, labels: NDArray[np.uint8], classes: tuple[str, ...]) -> LabelledPart:
    images = read_idx(_paired(folder, name, "images"))
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise DataError(
            _(
                "The {name}-images of {folder} have the shape {shape}. Give (n, h, w) with no side of 0.",
                name=name,
                folder=folder,
                shape=images.shape,
            )
        )
    if labels.shape != images.shape[:1]:
        raise DataError(
            _(
                "{name} of {folder} has {images} images and {labels} labels. Get both files again.",
                name=name,
                folder=folder,
                images=len(images),
                labels=len(labels),
            )
        )
    in_range(int(labels.max()), len(classes), f"{name} in {folder}")
    kind = "fashion-mnist" if classes == FASHION_CLASSES else "idx"
    return memory_part(kind, str(folder), _PARTS[name], images, labels.tolist(), classes)
