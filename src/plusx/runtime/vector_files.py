"""Files of feature vectors, written row by row in constant memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from plusx.runtime.embedding import Embedding
from plusx.runtime.output_files import OutputFile, ParquetRows, not_writable
from plusx.runtime.rows import csv_line

_HEADER = 128
_GROUP = 512


class NpyVectors:
    """FILE.npy, float32 (n, width), a row of NaN for an image that cannot be read; FILE.csv: path, error of each row."""

    def __init__(self, path: Path, width: int) -> None:
        self.width, self.n = width, 0
        self._outs = OutputFile(path), OutputFile(path.with_suffix(".csv"))
        try:
            self.file = self._outs[0].path.open("wb")
            self.names = self._outs[1].path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise not_writable(path, error) from error
        self.file.write(self._head())
        self.names.write("path,error\n")

    def __enter__(self) -> Self:
        return self

    def write(self, row: Embedding) -> None:
        vector: NDArray[np.float32] = np.full(self.width, np.nan, np.float32) if row.vector is None else row.vector
        self.file.write(np.ascontiguousarray(vector, dtype="<f4").tobytes())
        self.names.write(csv_line((row.path, row.error or "")) + "\n")
        self.n += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the final number of rows, also after an interruption, so that the file is whole."""
        try:
            self.file.seek(0)
            self.file.write(self._head())
            self.file.close()
            self.names.close()
        except OSError as failed:
            error = failed
            raise
        finally:
            for out in self._outs:
                out.close(error, self.n)

    def _head(self) -> bytes:
        """NPY format 1.0 (numpy.lib.format): magic, length, a dict padded with spaces so that rows begin at 128."""
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({self.n}, {self.width}), }}"
        body = text.ljust(_HEADER - 11) + "\n"
        return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body.encode()


class ParquetVectors:
    """FILE.parquet: path, error, vector (list of float32; null for an image that cannot be read)."""

    def __init__(self, path: Path, width: int) -> None:
        self.file = ParquetRows(path, lambda arrow: [("vector", arrow.list_(arrow.float32(), width))], _GROUP)

    def __enter__(self) -> Self:
        return self

    def write(self, row: Embedding) -> None:
        self.file.write(row.path, row.error, {"vector": None if row.vector is None else row.vector.tolist()})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close(error)
