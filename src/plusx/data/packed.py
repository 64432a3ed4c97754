"""Images that lie inside larger files: which file, where, how long. Any of them is read without the others."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.i18n import _

MAX_IMAGE_BYTES = 1 << 29  # as for a file of its own, see images.decode


@dataclass(frozen=True)
class FileStamp:
    """What tells, while a run reads it, that a file is still the one that was indexed."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, about: os.stat_result) -> FileStamp:
        return cls(about.st_size, about.st_mtime_ns)


def change_stamp(about: os.stat_result) -> list[int]:
    """What an index keeps to see that a file may have changed since: its size, its time, and when its inode last changed.

    The last is set by the system alone: it tells also where a file was replaced with its time kept (cp -p, rsync -t).
    """
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns if os.name == "posix" else 0]


@dataclass(frozen=True, eq=False)
class Packed:
    """Image i is bytes start[i] to start[i] + size[i] of files[file[i]]. All arrays int64 (n,)."""

    files: tuple[Path, ...]
    stamps: tuple[FileStamp, ...]
    file: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]

    def take(self, indices: NDArray[np.int64]) -> Packed:
        return replace(self, file=self.file[indices], start=self.start[indices], size=self.size[indices])

    def read(self, i: int) -> bytes:
        """The encoded bytes of image i. Raises DataError when its file is gone or not the indexed one any more.

        The file is opened each time: 10 microseconds, and nothing to share among threads or to pickle.
        """
        at, start, size = int(self.file[i]), int(self.start[i]), int(self.size[i])
        path = self.files[at]
        if size > MAX_IMAGE_BYTES:
            raise DataError(_("it has {size} bytes, and at most {most} are read", size=size, most=MAX_IMAGE_BYTES))
        try:
            with path.open("rb") as file:
                if FileStamp.of(os.fstat(file.fileno())) != self.stamps[at]:
                    raise DataError(_("{path} has changed since it was indexed (run the command again)", path=path))
                file.seek(start)
                raw = file.read(size)
        except OSError as error:
            raise DataError(_("{path} cannot be read ({reason})", path=path, reason=error.strerror)) from error
        if len(raw) != size:
            raise DataError(_("{path} is shorter than when it was indexed", path=path))
        return raw


def concatenated(parts: list[Packed]) -> Packed:
    """One Packed over the images of several, in their order."""
    shift = np.cumsum([0, *(len(part.files) for part in parts[:-1])])
    return Packed(
        tuple(path for part in parts for path in part.files),
        tuple(stamp for part in parts for stamp in part.stamps),
        np.concatenate([part.file + at for part, at in zip(parts, shift, strict=True)]),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.size for part in parts]),
    )
