"""HDF5 files of Keras, read by pyfive: `.h5` of Keras 1 to 3 and Keras 3's `.weights.h5`. Links out of the file are refused.

pyfive reads the structure, through a file that counts what is asked of it; the values are read here, from their place in
the mapped file. Tensors are named as Keras names them, layer and weight: `conv1_conv/kernel`, `conv1_bn/moving_mean`.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from plusx.errors import MissingExtra, PlusxError, WeightsError
from plusx.i18n import _
from plusx.weights.containers.keras_names import keras_facts, keras_names
from plusx.weights.containers.mapped_file import map_file
from plusx.weights.stored import StoredFile, StoredTensor

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_OBJECTS = 20_000
"""Groups and datasets in one file; Keras's ResNet-152 with its optimizer has some 6,000."""
MOST_DEPTH = 16
MOST_READS = 2_000_000
_NOWHERE = 0xFFFFFFFFFFFFFFFF
_CONTIGUOUS = 1


def matches(head: bytes) -> bool:
    return head.startswith(SIGNATURE)


def read(path: Path) -> StoredFile:
    """The tensors of an HDF5 file. Raises WeightsError, or MissingExtra where pyfive is not installed."""
    path = Path(path)
    return from_bytes(map_file(path), path, "hdf5", None)


def from_bytes(view: memoryview, path: Path, container: str, config: Mapping[str, Any] | None) -> StoredFile:
    """The tensors of an HDF5 file that lies in memory; `config` is the model's, where it comes with another file."""
    try:
        import pyfive
    except ImportError:
        raise MissingExtra(
            _("{file} is an HDF5 file, which pyfive reads. Install it with pip install 'plusx[keras]'.", file=path.name)
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyfive's on attributes that it leaves out; Keras's own are texts
            data, texts = _contents(pyfive.File(cast(Any, _Counted(view, path.name))), view, path)
    except PlusxError:
        raise
    except AssertionError:
        raise WeightsError(
            _(
                "{file} is damaged, or holds a link to another file, which plusx does not follow. Save the model whole.",
                file=path.name,
            )
        ) from None
    except Exception:  # whatever a damaged file makes a foreign parser raise
        raise WeightsError(_("{file} is a damaged HDF5 file. Fetch it again.", file=path.name)) from None
    return _stored(path, container, data, texts, config)


def _contents(file: Any, view: memoryview, path: Path) -> tuple[dict[str, StoredTensor], dict[str, dict[str, Any]]]:
    """Tensors by path, and the texts of each group's attributes."""
    data: dict[str, StoredTensor] = {}
    texts: dict[str, dict[str, Any]] = {}
    for name, item in _walk(file, path.name):
        if not hasattr(item, "dtype"):
            texts[name] = _attributes(item)
        elif (tensor := _tensor(item, name, view, file.userblock_size, path)) is not None:
            data[name] = tensor
    return data, texts


def _stored(path: Path, container: str, data: dict[str, StoredTensor], texts: dict[str, dict[str, Any]], config: Mapping[str, Any] | None) -> StoredFile:  # fmt: skip
    root = texts.get("", {})
    if config is None and "model_config" in root:
        config = parsed(root["model_config"], path.name)
    tree: dict[str, StoredTensor] = {}
    for old, new in keras_names(data, texts, config).items():
        tree[old if new in tree else new] = data[old]
    metadata = {name: str(value) for name, value in root.items() if name in ("keras_version", "backend")}
    return StoredFile(path, container, tree, keras_facts(config), metadata)


def parsed(text: str | bytes, name: str) -> Mapping[str, Any]:
    """A model's configuration. Raises WeightsError where it is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WeightsError(
            _("{name} holds a model configuration that is no JSON object. The file is damaged.", name=name)
        )
    return found


def _walk(file: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every group and dataset with its path, the root's being empty."""
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    count = 0
    while waiting:
        path, item, depth = waiting.pop()
        count += 1
        if count > MOST_OBJECTS or depth > MOST_DEPTH:
            raise WeightsError(
                _(
                    "{name} holds more or deeper groups than any model ({most_objects} at most). Do not trust it.",
                    name=name,
                    most_objects=MOST_OBJECTS,
                )
            )
        yield path, item
        if hasattr(item, "keys"):
            for key in item:
                child = item.get_lazy_view(key)
                if child is not None:  # a soft link to nowhere
                    waiting.append((f"{path}/{key}".lstrip("/"), child, depth + 1))


def _tensor(item: Any, name: str, view: memoryview, base: int, path: Path) -> StoredTensor | None:
    """A dataset's tensor, or None for one that holds text."""
    shape, dtype = tuple(int(n) for n in item.shape or ()), np.dtype(item.dtype)
    if dtype.kind not in "fiub":
        return None
    size = math.prod(shape) * dtype.itemsize
    layout = item.id.layout_class
    if layout == _CONTIGUOUS:
        offset = item.id.data_offset
        if offset == _NOWHERE and size:
            raise WeightsError(
                _(
                    "{file} keeps the values of {name} in another file, or never wrote them. Save the model into one file.",
                    file=path.name,
                    name=name,
                )
            )
        if size and offset + base + size > len(view):
            raise WeightsError(
                _(
                    "{file}: {name} needs {size} bytes at {offset}, beyond the file's end. Fetch it again.",
                    file=path.name,
                    name=name,
                    size=size,
                    offset=offset,
                )
            )
        place = view[offset + base : offset + base + size] if size else memoryview(b"")
        return StoredTensor(shape, _name(dtype), lambda: _native(np.frombuffer(place, dtype).reshape(shape)))
    if layout == 3 or size > len(view):
        raise WeightsError(
            _(
                "{file}: {name} lies in other files, or is larger than the file itself. Save the model whole.",
                file=path.name,
                name=name,
            )
        )
    if item.id.filter_pipeline:
        raise WeightsError(
            _(
                "{file}: {name} is compressed. Unpack it first with h5repack -f NONE {file} OUT.h5",
                file=path.name,
                name=name,
            )
        )
    return StoredTensor(shape, _name(dtype), _reader(item, shape, name, path))


def _reader(item: Any, shape: tuple[int, ...], name: str, path: Path) -> Callable[[], NDArray[Any]]:
    """Reads a compact or chunked dataset."""

    def load() -> NDArray[Any]:
        try:
            found = np.asarray(item[()])
        except PlusxError:
            raise
        except Exception:  # as above
            found = None
        if found is None or found.shape != shape:
            raise WeightsError(
                _("{file}: the values of {name} are damaged. Fetch it again.", file=path.name, name=name)
            )
        return _native(found)

    return load


def _name(dtype: np.dtype[Any]) -> str:
    return dtype.newbyteorder("=").name


def _native(value: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(value.shape)


def _attributes(group: Any) -> dict[str, Any]:
    """The texts among a group's attributes, and lists of texts."""
    found: dict[str, Any] = {}
    for name, value in group.attrs.items():
        if isinstance(value, bytes | str):
            found[name] = _text(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "SUO" and value.ndim == 1:
            found[name] = [_text(each) for each in value.tolist()]
        elif isinstance(value, np.ndarray) and value.dtype.kind in "SUO" and value.ndim == 0:
            found[name] = _text(value.item())
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Counted:
    """A mapped file as pyfive reads one; a structure that leads in circles ends at `MOST_READS`."""

    closed = False

    def __init__(self, view: memoryview, name: str) -> None:
        self._view, self._name, self._at, self._reads = view, name, 0, 0

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        if self._reads > MOST_READS:
            raise WeightsError(_("{name} refers to itself without end. It is damaged or an attack.", name=self._name))
        end = len(self._view) if size < 0 else min(self._at + size, len(self._view))
        found = bytes(self._view[self._at : end])
        self._at = max(end, self._at)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        start = (0, self._at, len(self._view))[whence]
        if start + offset < 0:
            raise ValueError("before the start")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """The mapping stays for the tensors."""
