"""Plain pickles: numpy arrays (Detectron, detectron2, MSRA, paddle) or torch's tensors written by pickle.dump."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.pickles import BadPickle, read_pickle
from plusx.weights.containers.paddle import PADDLE, is_paddle, plain
from plusx.weights.containers.tensors import Allowance, Storage
from plusx.weights.containers.torch_legacy import Legacy, is_legacy
from plusx.weights.containers.torch_names import TorchNames
from plusx.weights.containers.torch_zip import Archive, folder_of, module_names
from plusx.weights.containers.tree import TreeMaker
from plusx.weights.containers.zips import MAGIC, Zip
from plusx.weights.stored import StoredFile

_NAMED = re.compile(rb"c[\w.]+\n[\w.]+\n")


def may_be_pickle(head: bytes) -> bool:
    """Whether bytes may begin a pickle: decided fully by reading it."""
    if head[:1] == b"\x80":
        return len(head) > 1 and head[1] <= 5
    return head[:2] in (b"(d", b"(l", b"}q", b"]q", b"}(", b"}.", b"].") or _NAMED.match(head) is not None


class Pickle:
    """The reading of one plain pickle."""

    def __init__(self, raw: memoryview, allowance: Allowance) -> None:
        self.raw, self.allowance, self.file = raw, allowance, allowance.file
        self.names = TorchNames(allowance, self.nested)
        self.names.known |= PADDLE
        self.inner: dict[int, tuple[bytes | memoryview, Any]] = {}

    def read(self) -> Any:
        """The value. Raises WeightsError."""
        try:
            value, end = read_pickle(self.raw, self.names.vocabulary())
        except BadPickle as error:
            raise WeightsError(
                _("{file} cannot be read as a pickle: {error}. Fetch it again.", file=self.file, error=error.message)
            ) from error
        if end != len(self.raw):
            raise WeightsError(
                _(
                    "{file} holds {count} bytes after the end of its pickle. Fetch it again, or save it again with torch.save if it was written in several parts.",
                    file=self.file,
                    count=len(self.raw) - end,
                )
            )
        return value

    def nested(self, raw: bytes | memoryview) -> Storage:
        """The storage in one of torch's own files within a pickle: pickle.dump writes one for each. Each is read once."""
        known = self.inner.get(id(raw))
        if known is None:
            known = self.inner[id(raw)] = (raw, self._nested(memoryview(raw)))
        if not isinstance(known[1], Storage):
            raise TypeError
        return known[1]

    def _nested(self, raw: memoryview) -> Any:
        if is_legacy(raw):
            return Legacy(raw, self.allowance).read()
        archive = Zip(raw, self.file)
        folder = folder_of(archive)
        if bytes(raw[:4]) != MAGIC or folder is None:
            return None
        return Archive(archive, folder, self.allowance).read("data.pkl", "data")[0]


def read_pickle_file(path: Path, raw: memoryview) -> StoredFile:
    """A pickle of a checkpoint or of a whole model; container `paddle` where it has paddle's marks."""
    allowance = Allowance(str(path), len(raw))
    reading = Pickle(raw, allowance)
    tree = TreeMaker(allowance, reading.names.modules).make(reading.read())
    if is_paddle(tree.value):
        return StoredFile(path, "paddle", plain(tree.value, str(path)))
    return StoredFile(path, "pickle", tree.value, tree.layers, module_names(tree))
