"""The file of predictions: stdout or a file, as a table, CSV, JSON lines or Parquet, new or continued."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from plusx.cli.output import is_stdout
from plusx.cli.printing import localized
from plusx.errors import DataError
from plusx.i18n import Message, _
from plusx.runtime import Item, Prediction
from plusx.runtime.quiet import missing
from plusx.runtime.rows import Resumed, header, line, resume
from plusx.text.alignment import terminal_width

_PARQUET_ROWS = 1024


class RowFile:
    """Takes rows as they come and writes each at once, so that a kill loses at most the row that was being written."""

    def __init__(self, output: str | None, form: str, columns: int, again: bool, width: int = 0) -> None:
        self.output = None if is_stdout(output) else output
        self.form, self.columns, self.again, self.width = form, columns, again, width
        self.stream: IO[str] = sys.stdout
        self.parquet: Parquet | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.parquet is not None:
            self.parquet.close()
        if self.stream is not sys.stdout:
            self.stream.close()

    def skip_done(self, items: Iterator[Item]) -> Resumed:
        """Open the file; with --resume, what its whole rows leave to do. Raises DataError."""
        left = Resumed(items, 0, 0, None)
        if self.again and self.output is not None:
            left = resume(Path(self.output), self.form, items, self.columns)
        if self.form == "parquet" and self.output is not None:
            self.parquet = Parquet(self.output, self.columns)
        elif self.output is not None:
            self.stream = self._opened("a" if self.again else "w")
        if self.form == "csv" and (self.stream is sys.stdout or not self.stream.tell()):
            print(header(self.columns), file=self.stream)
        return left

    def write(self, row: Prediction) -> None:
        if self.parquet is not None:
            self.parquet.write(row)
        else:
            text = table_line(row, self.width) if self.form == "table" else line(row, self.form, self.columns)
            print(text, file=self.stream, flush=True)

    def _opened(self, mode: str) -> IO[str]:
        try:
            return Path(str(self.output)).open(mode, encoding="utf-8", errors="surrogateescape", newline="\n")
        except OSError as error:
            raise DataError(_not_written(str(self.output), error)) from error


def _not_written(output: str, error: OSError) -> Message:
    reason = error.strerror or _("the system refused")
    return _("-o {output} cannot be written ({reason}). Choose another place.", output=output, reason=reason)


def table_line(row: Prediction, width: int) -> str:
    if row.error is not None:
        shown = localized(_("not read: {reason}", reason=localized(row.error)))
    else:
        shown = "  ".join(f"{name} {p:.1%}" for name, p in row.top) or localized(_("unsure"))
    return f"{row.path}{' ' * (width - terminal_width(row.path))}  {shown}"


class Parquet:
    """Rows as columns path, error, class1, p1, …; written in groups."""

    def __init__(self, output: str, columns: int) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise missing("pyarrow", "parquet", error) from error
        pairs = [
            (f"{what}{i}", kind)
            for i in range(1, columns + 1)
            for what, kind in (("class", pyarrow.string()), ("p", pyarrow.float64()))
        ]
        self.schema = pyarrow.schema([("path", pyarrow.string()), ("error", pyarrow.string()), *pairs])
        try:
            self.file = pyarrow.parquet.ParquetWriter(output, self.schema)
        except OSError as error:
            raise DataError(_not_written(output, error)) from error
        self.columns, self.waiting = columns, list[dict[str, Any]]()

    def write(self, row: Prediction) -> None:
        cells: dict[str, Any] = {"path": _text(row.path), "error": row.error}
        for i, (name, p) in enumerate(row.top, 1):
            cells[f"class{i}"], cells[f"p{i}"] = name, p
        self.waiting.append(cells)
        if len(self.waiting) == _PARQUET_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        self.file.write_table(pyarrow.Table.from_pylist(self.waiting, self.schema))
        self.waiting.clear()

    def close(self) -> None:
        if self.waiting:
            self._flush()
        self.file.close()


def _text(name: str) -> str:
    """Parquet's strings are UTF-8; a file name need not be."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
