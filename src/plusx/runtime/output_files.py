"""What the files of predictions and of feature vectors share: the error for a refused file, and Parquet in groups."""

from __future__ import annotations

import contextlib
import os
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


class OutputFile:
    """The path to write for a result: beside an old file with content, so that a failed write leaves that one as it was."""

    def __init__(self, path: str | Path) -> None:
        self.final = Path(os.path.realpath(path))
        held = self.final.is_file() and self.final.stat().st_size > 0
        self.path = self.final.with_name(f".{self.final.name}.{os.getpid()}") if held else self.final

    def close(self, error: BaseException | None, rows: int) -> None:
        """Put the new file in the old one's place, also one that an interruption ended; not where no row was written."""
        if self.path == self.final:
            return
        if isinstance(error, OSError) or (error is not None and not rows):
            with contextlib.suppress(OSError):
                self.path.unlink()
        else:
            self.path.replace(self.final)


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
        self._out, self._rows = OutputFile(path), 0
        try:
            self._file = pyarrow.parquet.ParquetWriter(str(self._out.path), self._schema)
        except OSError as error:
            raise not_writable(path, error) from error
        self._group, self._waiting = group, list[dict[str, Any]]()

    def write(self, path: str, error: str | None, cells: dict[str, Any]) -> None:
        # Parquet's strings are UTF-8; a file name need not be
        name = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self._waiting.append({"path": name, "error": error, **cells})
        self._rows += 1
        if len(self._waiting) == self._group:
            self._flush()

    def close(self, error: BaseException | None = None) -> None:
        """Whatever was written so far is a whole file, also after an interruption; after a failed write it is removed."""
        try:
            if self._waiting and not isinstance(error, OSError):
                self._flush()
            self._file.close()
        except OSError as failed:
            error = failed
            raise
        finally:
            self._out.close(error, self._rows)

    def _flush(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._waiting, self._schema))
        self._waiting.clear()
