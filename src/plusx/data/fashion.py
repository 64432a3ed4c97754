"""Folders of IDX files (MNIST's layout), and Fashion-MNIST from a folder, Debian's package or a checked download."""

from __future__ import annotations

import contextlib
import hashlib
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.data.dataset import Data, Splits, fingerprint, held_out
from plusx.data.idx import read_idx
from plusx.errors import DataError

Progress = Callable[[int, int], None]  # done, of how many

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
_LARGEST_DOWNLOAD = 64 << 20


def is_idx_folder(folder: Path) -> bool:
    """Whether the folder holds MNIST-like files: train-images…, train-labels…."""
    return _find(folder, "train", "images") is not None or _find(folder, "t10k", "images") is not None


def open_idx(folder: Path, val_split: float, seed: int) -> Splits:
    """Training and test part of a folder of IDX files; without t10k files, a stratified share of train is held out."""
    pictures, labels = _part(folder, "train")
    test = _part(folder, "t10k") if _find(folder, "t10k", "images") else None
    classes = _classes(labels, None if test is None else test[1], folder)
    train = _data("train", pictures, labels, classes)
    if test is None:
        out = held_out(train.names, train.labels, val_split, seed)
        train, val = train.subset(np.flatnonzero(~out)), train.subset(np.flatnonzero(out))
    else:
        val = _data("test", *test, classes)
        if val.channels != train.channels or test[0].shape[1:] != pictures.shape[1:]:
            raise DataError(f"test pictures of {folder} are {test[0].shape[1:]}, training ones {pictures.shape[1:]}")
    return Splits(train, val, size_px=min(pictures.shape[1:3]))


def fashion_folder(cache: Path, base_url: str = BASE_URL, progress: Progress | None = None) -> Path:
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
    name = target.name
    way_out = "or install Debian's package dataset-fashion-mnist, or name a folder that holds the four files"
    if os.environ.get("PLUSX_OFFLINE", "") not in ("", "0"):
        raise DataError(f"{name} is not here and PLUSX_OFFLINE is set; unset it, {way_out}")
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            raw = answer.read(_LARGEST_DOWNLOAD + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"cannot download {url} ({reason}); try again, {way_out}") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise DataError(f"{url} gave other bytes (sha256 {found[:12]}…, expected {sha256[:12]}…); try again, {way_out}")
    aside = target.with_name(f".{name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(raw)
        aside.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise DataError(f"cannot keep {target} ({error.strerror}); set PLUSX_CACHE to a place with room") from error


def _find(folder: Path, part: str, what: str) -> Path | None:
    rank = {"images": 3, "labels": 1}[what]
    for joint in ("-", "."):
        for end in ("", ".gz"):
            path = folder / f"{part}-{what}{joint}idx{rank}-ubyte{end}"
            if path.is_file():
                return path
    return None


def _part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    found = {what: _find(folder, part, what) for what in ("images", "labels")}
    for what, path in found.items():
        if path is None:
            rank = 3 if what == "images" else 1
            raise DataError(f"{folder} lacks {part}-{what}-idx{rank}-ubyte[.gz]; images and labels come in pairs")
    pictures, labels = (read_idx(path) for path in found.values() if path is not None)
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    if pictures.ndim != 4 or pictures.shape[3] not in (1, 3) or 0 in pictures.shape:
        raise DataError(f"{part}-images of {folder} have shape {pictures.shape}; expected (n, h, w), none of them 0")
    if labels.shape != pictures.shape[:1]:
        raise DataError(f"{part} of {folder} has {len(pictures)} images and {len(labels)} labels; fetch both again")
    return pictures, labels


def _classes(train: NDArray[np.uint8], test: NDArray[np.uint8] | None, folder: Path) -> tuple[str, ...]:
    count = int(train.max()) + 1
    if test is not None and int(test.max()) >= count:
        raise DataError(f"test labels of {folder} reach {int(test.max())}, those of train {count - 1}; they must agree")
    if count < 2:
        raise DataError(f"{folder} has one class; at least 2 are needed")
    is_fashion = hashlib.sha256(train.tobytes()).hexdigest() == FASHION_TRAIN_LABELS
    return FASHION_CLASSES if is_fashion else tuple(map(str, range(count)))


def _data(part: str, pictures: NDArray[np.uint8], labels: NDArray[np.uint8], classes: tuple[str, ...]) -> Data:
    names = tuple(f"{part}/{i:05d}" for i in range(len(labels)))
    mark = fingerprint(pictures, labels, classes)
    kind = "fashion-mnist" if classes == FASHION_CLASSES else "idx"
    return Data(kind, classes, pictures.shape[3], labels.astype(np.int64), names, mark, pictures)
