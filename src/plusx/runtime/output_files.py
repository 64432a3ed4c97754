"""What the files of predictions and of feature vectors share: the error for a refused file, and Parquet in groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from plusx.errors import DataError
from plusx.i18n import _
from plusx.runtime.quiet import missing


def not_writable(path: str | Path, error: OSError) -> DataError:
    """The error for an -o that the system refuses."""
    why = error.strerror or _("the system refused it")
    return DataError(_("-o {path} cannot be written ({why}). Choose another place.", path=path, why=why))


class ParquetRows:
    """A Parquet file with columns path, error and others, written in groups of `group` rows.

    `columns` makes the other columns, (name, type), once pyarrow is imported. Raises MissingExtra, DataError.
    """

    def __init__(self, path: str | Path, columns: Callable[[Any], list[tuple[str, Any]]], group: int) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise missing("pyarrow", error) from error
        text = pyarrow.string()
        self._arrow = pyarrow
        self._schema = pyarrow.schema([("path", text), ("error", text), *columns(pyarrow)])
        try:
            self._file = pyarrow.parquet.ParquetWriter(str(path), self._schema)
        except OSError as error:
            raise not_writable(path, error) from error
        self._group, self._waiting = group, list[dict[str, Any]]()

    def write(self, path: str, error: str | None, cells: dict[str, Any]) -> None:
        # Parquet's strings are UTF-8; a file name need not be
        name = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self._waiting.append({"path": name, "error": error, **cells})
        if len(self._waiting) == self._group:
            self._flush()

    def close(self) -> None:
        """Whatever was written so far is a whole file, also after an interruption."""
        if self._waiting:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._waiting, self._schema))
        self._waiting.clear()
