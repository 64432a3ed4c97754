"""CIFAR-10 and CIFAR-100 as published (cs.toronto.edu/~kriz/cifar.html): the binary and the Python version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.data.idx import read_bounded
from plusx.data.parts import DataParts, LabelledPart, UnreadPart, class_names, in_range, memory_part
from plusx.data.unpickle import unpickle
from plusx.errors import DataError
from plusx.i18n import _

SIDE = 32
_PIXELS = 3 * SIDE * SIDE  # red, then green, then blue plane
CLASSES_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary")

# classes, training files, test file, file of class names; in the folder as the archive unpacks
_LAYOUTS = {
    "cifar-10 binary": (10, [f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin", "batches.meta.txt"),
    "cifar-10 python": (10, [f"data_batch_{i}" for i in range(1, 6)], "test_batch", "batches.meta"),
    "cifar-100 binary": (100, ["train.bin"], "test.bin", "fine_label_names.txt"),
    "cifar-100 python": (100, ["train"], "test", "meta"),
}


def cifar_folder(root: Path) -> Path | None:
    """`root`, or the folder in it that the archive unpacks to, if it holds CIFAR files."""
    for folder in (root, *(root / name for name in FOLDERS)):
        if _layout(folder) is not None:
            return folder
    return None


def open_cifar(folder: Path) -> DataParts:
    """Training and test part, in memory (180 MB). Raises DataError."""
    name = _layout(folder)
    if name is None:
        raise DataError(
            _(
                "{folder} holds no CIFAR files. Name the folder with data_batch_1, data_batch_1.bin, or train and test.",
                folder=folder,
            )
        )
    count, train, test, meta = _LAYOUTS[name]
    present = [file for file in train if (folder / file).is_file()]
    if 0 < len(present) < len(train):
        missing = next(file for file in train if file not in present)
        raise DataError(
            _(
                "{folder} lacks {missing} of {name}. Unpack the whole archive.",
                folder=folder,
                missing=missing,
                name=name,
            )
        )
    read = _read_pickle if name.endswith("python") else _read_binary
    classes = _class_names(folder / meta, count)

    def source(files: list[str], which: str) -> UnreadPart | None:
        def part() -> LabelledPart:
            found = [read(folder / file, count) for file in files]
            labels = [label for _, some in found for label in some]
            images = np.concatenate([pixels for pixels, _ in found])
            return memory_part(name.split()[0], str(folder), which, images, labels, classes)

        return UnreadPart(str(folder), classes, part) if (folder / files[0]).is_file() else None

    return DataParts(str(folder), source(train, "train"), source([test], "test"))


def _layout(folder: Path) -> str | None:
    for name, (_count, train, test, meta) in _LAYOUTS.items():
        # "train" and "test" alone could be anything: the list of names must lie beside them
        sure = name != "cifar-100 python" or (folder / meta).is_file()
        if sure and any((folder / file).is_file() for file in (train[0], test)):
            return name
    return None


def _read_binary(path: Path, count: int) -> tuple[NDArray[np.uint8], list[int]]:
    """uint8 (n, 32, 32, 3) and labels: a record is one label byte (CIFAR-100: coarse, then fine) and three planes."""
    head = 1 if count == 10 else 2
    raw = read_bounded(path)
    if not raw or len(raw) % (head + _PIXELS):
        raise DataError(
            _(
                "{path} has {n} bytes, which is not a multiple of {record} as for CIFAR-{count}. Get the file again.",
                path=path,
                n=len(raw),
                record=head + _PIXELS,
                count=count,
            )
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, head + _PIXELS)
    return _upright(rows[:, head:]), _labels(rows[:, head - 1].tolist(), count, path)


def _read_pickle(path: Path, count: int) -> tuple[NDArray[np.uint8], list[int]]:
    found = unpickle(read_bounded(path), str(path))
    pixels, labels = _item(found, "data"), _item(found, "labels" if count == 10 else "fine_labels")
    if not isinstance(pixels, np.ndarray) or pixels.shape[1:] != (_PIXELS,) or not isinstance(labels, list):
        raise DataError(
            _(
                "{path} is not a batch of CIFAR-{count}: data of shape (n, {pixels}) or the list of labels is missing. Get the file again.",
                path=path,
                count=count,
                pixels=_PIXELS,
            )
        )
    if len(labels) != len(pixels) or not len(labels):
        raise DataError(
            _(
                "{path} has {images} images and {labels} labels. Get the file again.",
                path=path,
                images=len(pixels),
                labels=len(labels),
            )
        )
    return _upright(pixels), _labels(labels, count, path)


def _item(found: Any, key: str) -> Any:
    """Keys are text or bytes, as the Python that wrote them had it."""
    return found.get(key, found.get(key.encode())) if isinstance(found, dict) else None


def _upright(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


def _labels(labels: list[Any], count: int, path: Path) -> list[int]:
    if not all(type(label) is int for label in labels):
        raise DataError(_("The labels of {path} are not all whole numbers. Get the file again.", path=path))
    in_range(min(labels), count, str(path))
    in_range(max(labels), count, str(path))
    return labels


def _class_names(path: Path, count: int) -> tuple[str, ...]:
    """As the file of names says; without it CIFAR-10's known names, or numbers."""
    if not path.is_file():
        return CLASSES_10 if count == 10 else tuple(map(str, range(count)))
    raw = read_bounded(path)
    if path.suffix == ".txt":
        names: Any = [line.strip() for line in raw.decode("utf-8", "replace").splitlines() if line.strip()]
    else:
        names = _item(unpickle(raw, str(path)), "label_names" if count == 10 else "fine_label_names")
        if isinstance(names, list):
            names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]
    if not isinstance(names, list) or len(names) != count:
        raise DataError(
            _(
                "{path} does not hold {count} class names. Get the file again, or remove it.",
                path=path,
                count=count,
            )
        )
    return class_names(names, str(path))
