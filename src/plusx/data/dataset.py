"""A data set as the rest of plusx uses it: labels, names, and a way to read image i."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plusx.data.packed import Packed
from plusx.errors import DataError
from plusx.i18n import Message, _

Mode = Literal["RGB", "L"]


@dataclass(frozen=True)
class Skipped:
    """An image that was skipped, and why (one line, without a full stop)."""

    path: str
    reason: Message | str


@dataclass(frozen=True, eq=False)
class Data:
    """One set of labelled images.

    `labels` int64 (n,) index `classes`; `channels` is 1 when every image is grey, else 3; `fingerprint` (sha256 hex)
    changes when names, contents (encoded bytes, in memory pixels) or labels change. `images` is uint8 (n, h, w, c) when everything
    lies in memory, else None and `root` / names[i] is the file, or with `packed` a name for it and the bytes lie in
    a larger file. Plain data: it may be pickled into a worker.
    """

    kind: str
    classes: tuple[str, ...]
    channels: int
    labels: NDArray[np.int64]
    names: Sequence[str]
    fingerprint: str
    images: NDArray[np.uint8] | None = None
    root: Path | None = None
    skipped: tuple[Skipped, ...] = ()
    packed: Packed | None = None
    exact: bool = False
    """Whether JPEGs are decoded at full size even where a smaller one would do."""
    notes: tuple[Message, ...] = ()
    """What was decided when the data were opened, a sentence each; only `open_eval` fills it in."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def mode(self) -> Mode:
        """The mode that loses nothing: L for grey data, else RGB."""
        return "L" if self.channels == 1 else "RGB"

    def path(self, i: int) -> str:
        """Where image i lies, for messages: the file, or its name in the set."""
        return str(self.root / self.names[i]) if self.root is not None else self.names[i]

    def read(self, i: int, mode: Mode | None = None, at_least_px: int | None = None) -> NDArray[np.uint8]:
        """Image i as uint8 (h, w, c), c = 1 for mode L and 3 for RGB; mode None is this set's own.

        JPEG files may come scaled by 1/2, 1/4 or 1/8, both sides ≥ at_least_px (see images.decode).
        Raises DataError when the file cannot be read any more.
        """
        mode = mode or self.mode
        if self.images is not None:
            return with_mode(self.images[i], mode)
        from plusx.images import decode

        try:
            return decode(self.encoded(i), mode, at_least_px=at_least_px, exact=self.exact)
        except DataError as error:
            raise DataError(_("{path} cannot be used: {reason}.", path=self.path(i), reason=error.message)) from error

    def encoded(self, i: int) -> bytes:
        """The bytes of image i as its file has them; there are none in memory. Raises DataError, without the name."""
        from plusx.images.decode import read_file

        if self.packed is not None:
            return self.packed.read(i)
        if self.root is None:
            raise DataError(_("it lies in memory and has no encoded bytes (use read instead)"))
        return read_file(Path(self.path(i)))

    def subset(self, indices: NDArray[np.int64]) -> Data:
        """The same set with only `indices`, in that order; its fingerprint is of the part."""
        names = tuple(self.names[int(i)] for i in indices)
        labels = self.labels[indices]
        images = None if self.images is None else np.ascontiguousarray(self.images[indices])
        packed = None if self.packed is None else self.packed.take(indices)
        mark = fingerprint(self.fingerprint, names, labels)
        return replace(self, labels=labels, names=names, images=images, packed=packed, fingerprint=mark)

    def counts(self) -> NDArray[np.int64]:
        """How many images each class has: int64 (classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)


@dataclass(frozen=True)
class Splits:
    """Training and validation data, what was skipped, the median shorter side in pixels (None: unknown), what to tell."""

    train: Data
    val: Data
    skipped: tuple[Skipped, ...] = ()
    size_px: int | None = None
    notes: tuple[Message, ...] = ()


def with_mode(image: NDArray[np.uint8], mode: Mode) -> NDArray[np.uint8]:
    """uint8 (…, h, w, c) with c = 1 for L, 3 for RGB. Luma is Pillow's (ITU-R 601-2, 16-bit fixed point)."""
    c = image.shape[-1]
    if c == (1 if mode == "L" else 3):
        return image
    if mode == "RGB":
        return np.repeat(image, 3, axis=-1)
    luma = image.astype(np.uint32) @ np.array([19595, 38470, 7471], dtype=np.uint32) + 0x8000
    return (luma >> 16).astype(np.uint8)[..., None]


def fingerprint(*parts: bytes | str | Iterable[str] | NDArray[np.generic]) -> str:
    """sha256 hex over the parts; each is preceded by its length, so no two lists of parts run together."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            raw = str((part.dtype.str, part.shape)).encode() + np.ascontiguousarray(part).tobytes()
        elif isinstance(part, bytes):
            raw = part
        elif isinstance(part, str):
            raw = part.encode("utf-8", "surrogateescape")
        else:
            raw = "\0".join(part).encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def held_out(names: Sequence[str], labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which images belong to validation: bool (n,), stratified, round(share · n) of each class, at least one of two.

    The choice hangs on the hash of an image's name, so an image stays on its side when others are added
    (but for those at the rounding edge).
    """
    key = seed.to_bytes(16, "little", signed=True)
    rank = np.array(
        [
            int.from_bytes(hashlib.blake2b(n.encode("utf-8", "surrogateescape"), digest_size=8, key=key).digest())
            for n in names
        ],
        dtype=np.uint64,
    )
    out = np.zeros(len(names), dtype=bool)
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        count = int(np.floor(share * len(members) + 0.5))
        count = min(max(count, 1), len(members) - 1)
        out[members[np.argsort(rank[members], kind="stable")[:count]]] = True
    return out
