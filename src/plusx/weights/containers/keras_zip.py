"""Keras 3's `.keras` files: a zip of the model's configuration and its weights as HDF5, read without unpacking to disk."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.weights.containers.hdf5 import from_bytes, parsed
from plusx.weights.containers.mapped_file import map_file
from plusx.weights.stored import StoredFile

WEIGHTS, CONFIG = "model.weights.h5", "config.json"
MOST_CONFIG = 1 << 26
MOST_RATIO = 4
"""Weights are noise to a packer: what unpacks to more than this is no model."""


def matches_names(names: list[str]) -> bool:
    """Whether the members of a zip are those of a Keras model."""
    return CONFIG in names and WEIGHTS in names


def read(path: Path) -> StoredFile:
    """Tensors by layer and weight, and what the configuration says of the layers. Raises WeightsError."""
    path = Path(path)
    view = map_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if WEIGHTS not in names or CONFIG not in names:
                raise WeightsError(
                    _(
                        "{file} is a zip without {config} and {weights}. Save the model as one .keras file, unsharded.",
                        file=path.name,
                        config=CONFIG,
                        weights=WEIGHTS,
                    )
                )
            config = parsed(_unpacked(archive, CONFIG, MOST_CONFIG, path), path.name)
            weights = _member(archive, view, path)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, NotImplementedError, EOFError):
        raise WeightsError(_("{file} is a damaged zip file. Fetch it again.", file=path.name)) from None
    return from_bytes(weights, path, "keras", config)


def _member(archive: zipfile.ZipFile, view: memoryview, path: Path) -> memoryview:
    """The weights: a slice of the mapped file where they are stored as they are, which is how Keras writes them."""
    info = archive.getinfo(WEIGHTS)
    if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
        with archive.open(info):  # checks that the local header bears the same name
            pass
        lengths = view[info.header_offset + 26 : info.header_offset + 30]
        if len(lengths) == 4:
            start = (
                info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            )
            if start + info.file_size <= len(view):
                return view[start : start + info.file_size]
        raise WeightsError(_("{file} ends before its weights do. Fetch it again.", file=path.name))
    return memoryview(_unpacked(archive, WEIGHTS, max(MOST_RATIO * len(view), 1 << 20), path))


def _unpacked(archive: zipfile.ZipFile, name: str, most: int, path: Path) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > most:
        raise WeightsError(
            _(
                "{file}: {name} unpacks to {file_size} bytes, more than a model's. Do not trust it.",
                file=path.name,
                name=name,
                file_size=info.file_size,
            )
        )
    with archive.open(info) as stream:
        found = stream.read(most + 1)
    if len(found) > most:
        raise WeightsError(
            _(
                "{file}: {name} unpacks to more than {most} bytes. Do not trust it.",
                file=path.name,
                name=name,
                most=most,
            )
        )
    return found
