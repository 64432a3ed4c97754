"""Where predictions go: stdout or a file; a table, CSV, JSON lines or Parquet; a new file, or the end of an old one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from plusx.i18n import Message, _, translate, visible
from plusx.runtime.inputs import Item
from plusx.runtime.output_files import OutputFile, ParquetRows, not_writable
from plusx.runtime.predicting import Prediction
from plusx.runtime.rows import ResumedItems, csv_header, format_row, resume

_PARQUET_ROWS = 1024


class PredictionWriter:
    """Writes each row as it comes, so that a kill loses at most the row that was being written.

    `path` None is stdout; `width` is that of the table's first column, `lang` its language.
    """

    def __init__(
        self, path: str | None, form: str, columns: int, again: bool, width: int = 0, lang: str = "en"
    ) -> None:
        self.path, self.form, self.columns, self.again, self.width, self.lang = path, form, columns, again, width, lang
        self.stream: IO[str] = sys.stdout
        self.parquet: ParquetRows | None = None
        self._out: OutputFile | None = None
        self._rows = 0

    @classmethod
    def created(cls, path: str, form: str, columns: int) -> Self:
        """A writer of a new file, open already. Raises DataError, MissingExtra."""
        made = cls(path, form, columns, False)
        made.skip_done(iter(()))
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.parquet is not None:
            self.parquet.close(error)
        if self.stream is not sys.stdout:
            try:
                self.stream.close()
            except OSError as failed:
                error = failed
                raise
            finally:
                if self._out is not None:
                    self._out.close(error, self._rows)

    def skip_done(self, items: Iterator[Item]) -> ResumedItems:
        """Open the file; with --resume, return the items that have no whole row yet. Raises DataError."""
        left = ResumedItems(items, 0, 0, None)
        if self.again and self.path is not None:
            left = resume(Path(self.path), self.form, items, self.columns)
        if self.form == "parquet" and self.path is not None:
            self.parquet = ParquetRows(self.path, self._parquet_columns, _PARQUET_ROWS)
        elif self.path is not None and self.again:
            self.stream = self._opened(self.path, "a")
        elif self.path is not None:
            self._out = OutputFile(self.path)
            self.stream = self._opened(str(self._out.path), "w")
        if self.form == "csv" and (self.stream is sys.stdout or not self.stream.tell()):
            self._print(csv_header(self.columns))
        return left

    def write(self, row: Prediction) -> None:
        self._rows += 1
        if self.parquet is not None:
            cells = {f"class{i}": name for i, (name, _p) in enumerate(row.top, 1)}
            self.parquet.write(row.path, row.error, cells | {f"p{i}": p for i, (_name, p) in enumerate(row.top, 1)})
        elif self.form == "table":
            self._print(translate(table_line(row, self.width), self.lang))
        else:
            self._print(format_row(row, self.form, self.columns))

    def _print(self, line: str) -> None:
        if self.stream is sys.stdout and sys.stdout.isatty():
            line = visible(line)
        self.stream.write(f"{line}\n")
        self.stream.flush()

    def _parquet_columns(self, arrow: Any) -> list[tuple[str, Any]]:
        numbers = range(1, self.columns + 1)
        return [pair for i in numbers for pair in ((f"class{i}", arrow.string()), (f"p{i}", arrow.float64()))]

    def _opened(self, path: str, mode: str) -> IO[str]:
        try:
            return Path(path).open(mode, encoding="utf-8", errors="surrogateescape", newline="\n")
        except OSError as error:
            raise not_writable(path, error) from error


def table_line(row: Prediction, width: int) -> Message:
    """A row for people: the path in `width` columns, then the classes or the error."""
    path = f"{visible(row.path):<{width}}"
    if row.error is not None:
        return _("{path}  not read: {error}", path=path, error=row.error)
    if not row.top:
        return _("{path}  unsure", path=path)
    return Message("{path}  {classes}", values={"path": path, "classes": "  ".join(f"{c} {p:.1%}" for c, p in row.top)})
