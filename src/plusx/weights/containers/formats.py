"""The reader for a file, by its first bytes. A reader is imported when a file may be its own."""

from __future__ import annotations

import re
from pathlib import Path

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.weights.containers import torch_zip, zips
from plusx.weights.containers.mapped_file import map_file, shown
from plusx.weights.stored import StoredFile

FORMATS = "safetensors, torch.save (zip, legacy, whole models), TorchScript, torch.export, pickle, npz, HDF5, Keras, ONNX, Caffe and Paddle"

TABLE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
"""The end of LevelDB's tables, in which TensorFlow keeps the index of a checkpoint (tensorflow/core/lib/io/format.h)."""


def read(path: str | Path) -> StoredFile:
    """A checkpoint file as it is, nothing in it executed. Raises WeightsError, one line, for what is none.

    Tensors stay in the mapped file until they are asked for; do not change the file while they are used.
    """
    path = Path(path)
    raw = map_file(path)
    head = bytes(raw[:512])
    if head.startswith(zips.MAGIC):
        return _read_zip(path, raw)
    from plusx.weights.containers import hdf5, npz, pickle_reader, safetensors, torch_legacy

    if hdf5.matches(head):
        return hdf5.read(path)
    if safetensors.is_safetensors(raw):
        return safetensors.read_safetensors(path, raw)
    if torch_legacy.is_legacy(raw):
        return torch_legacy.read_torch_legacy(path, raw)
    if head.startswith(npz.NPY_MAGIC):
        return npz.read_npy(path, raw)
    refuse_known(path, raw, head)
    if pickle_reader.may_be_pickle(head):
        return pickle_reader.read_pickle_file(path, raw)
    from plusx.weights.containers import caffe, onnx

    if onnx.matches(head):
        return onnx.read(path)
    if caffe.matches(head):
        return caffe.read(path)
    raise WeightsError(_("{path} is in no format that is read here. These are: {formats}.", path=path, formats=FORMATS))


def _read_zip(path: Path, raw: memoryview) -> StoredFile:
    archive = zips.Zip(raw, str(path))
    names = archive.entries
    folder = torch_zip.folder_of(archive)
    if folder is not None and f"{folder}constants.pkl" in names:
        from plusx.weights.containers import torchscript

        return torchscript.read_torchscript(path, archive, folder)
    for mark in (torch_zip.EXPORT_MARK, torch_zip.OLD_EXPORT):
        exported = torch_zip.folder_of(archive, mark)
        if exported is not None:
            from plusx.weights.containers import torch_export

            return torch_export.read_torch_export(path, archive, exported)
    if folder is not None:
        return torch_zip.read_torch_zip(path, archive, folder)
    from plusx.weights.containers import keras_zip, npz

    if keras_zip.matches_names(list(names)):
        return keras_zip.read(path)
    if names and all(name.endswith(".npy") for name in names):
        return npz.read_npz(path, archive)
    if torch_zip.folder_of(archive, "model.json") is not None:
        raise WeightsError(
            _(
                "{path} is a TorchScript archive of torch 1.3 or before, which is not read. Load and save it with a later torch.",
                path=path,
            )
        )
    first = shown(next(iter(names), "nothing"))
    raise WeightsError(
        _(
            "{path} is a zip archive of {count} files ({first}, …) and no checkpoint itself. Unpack it and give the file in it.",
            path=path,
            count=len(names),
            first=first,
        )
    )


def refuse_known(path: Path, raw: memoryview, head: bytes) -> None:
    """Raises WeightsError for files that are often found in a checkpoint's place, each in its own words."""
    start = head.lstrip()[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise WeightsError(
            _("{path} is a web page, which a server sent in place of the checkpoint. Fetch it again.", path=path)
        )
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(
            _("{path} is a Git LFS pointer, not the file itself. Fetch the file with `git lfs pull`.", path=path)
        )
    if head.startswith(b"\x1f\x8b"):
        raise WeightsError(_("{path} is compressed with gzip. Unpack it first.", path=path))
    if head.startswith((b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")):
        raise WeightsError(_("{path} is a compressed archive. Unpack it first.", path=path))
    if bytes(raw[-8:]) == TABLE or re.search(r"\.data-\d{5}-of-\d{5}$", path.name):
        raise WeightsError(
            _(
                "{path} is a part of a TensorFlow checkpoint, which is not read. Convert the model to ONNX or Keras's .h5 with TensorFlow.",
                path=path,
            )
        )
    if head[257:262] == b"ustar":
        raise WeightsError(_("{path} is a tar archive. Unpack it and give the checkpoint in it.", path=path))
    if len(raw) < 16:
        raise WeightsError(
            _("{path} has {count} bytes, too few for a checkpoint. Fetch it again.", path=path, count=len(raw))
        )
    if not any(head):
        raise WeightsError(_("{path} begins with zeros, so its download was not finished. Fetch it again.", path=path))
    if start.startswith((b"{", b"[")) and head.isascii():
        raise WeightsError(_("{path} is a text file (JSON), not weights. Give the checkpoint beside it.", path=path))
