"""CIFAR's pickles read as data: numbers, text, lists, dictionaries, numpy arrays of bytes. Nothing in them is called or imported."""

from __future__ import annotations

from typing import Any

import numpy as np

from plusx.errors import DataError
from plusx.i18n import _
from plusx.pickles import BadPickle, Inert, Latin, LongText, NumpyNames, PickledArray, Vocabulary, read_pickle

MAX_BYTES = 1 << 28  # CIFAR-100's training file, the largest that is meant to come here, has 155 MB

__all__ = ["Inert", "unpickle"]


def unpickle(raw: bytes, name: str) -> Any:
    """What a pickle holds. Raises DataError, naming `name`, for a damaged one or one that needs more than plain data."""
    if len(raw) > MAX_BYTES:
        raise DataError(
            _(
                "{name} is a pickle of {n} bytes, and at most {most} are read. Use the binary version of the data set.",
                name=name,
                n=len(raw),
                most=MAX_BYTES,
            )
        )
    try:
        return _finished(read_pickle(raw, Vocabulary(NumpyNames().makers()))[0])
    except BadPickle as error:
        raise DataError(
            _(
                "{name} cannot be read as a pickle of dictionaries, lists and arrays: {reason}. Get the file again.",
                name=name,
                reason=error.message,
            )
        ) from error


def _finished(value: Any) -> Any:
    """The value; arrays and long text in the top dictionary unwrapped. What lies deeper, nothing here asks for."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _plain(item: Any) -> Any:
    if isinstance(item, memoryview):
        return bytes(item)
    if isinstance(item, LongText | Latin):
        return item.value
    if not isinstance(item, PickledArray):
        return item
    if item.dtype not in ("<u1", ">u1"):
        raise BadPickle(_("it holds an array that is not of bytes"))
    return np.frombuffer(item.raw(), np.uint8).reshape(item.shape, order="F" if item.fortran else "C")
