"""Parquet with images, as Hugging Face writes it: a column of {bytes, path} or of bytes, and a column of labels.

Rows of a Parquet file cannot be had one by one (a row costs its whole row group), so the encoded images are written
once, in order, into a pack in the cache, and read from there by offset. The extra [parquet] brings pyarrow.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from plusx.data.dataset import Skipped
from plusx.data.packed import MAX_IMAGE_BYTES
from plusx.data.parts import class_names, in_range, is_label, one_line, some
from plusx.data.shards import ShardListing, stamp_of
from plusx.errors import DataError, MissingExtra
from plusx.i18n import Message, _
from plusx.locks import replacing

_LABEL_NAMES = ("label", "labels", "fine_label", "class", "cls", "category", "target", "class_name")
_IMAGE_NAMES = ("image", "img", "picture", "jpg", "jpeg", "png", "bytes")
_MAX_GROUP = 1 << 33  # bytes of one row group, unpacked, as its footer says
_MAX_RATIO, _SPARE = 50, 64 << 20
"""Bytes that a column may unpack to for each of its bytes, and a pack have for each byte of its file, beyond the first
64 MB. Images are compressed already; a dictionary that is used for oversampling repeats some."""


def list_parquet(path: Path, cache: Path | None = None) -> ShardListing:
    """The labelled images of a Parquet file, packed into the cache (cache None: a folder that goes with the process).

    Raises DataError, and MissingExtra without pyarrow.
    """
    with _ParquetTable(path) as table:
        image = table.image_column()
        label = table.label_column(image)
        names = table.features.get(label, {}).get("names")
        classes = None if names is None else class_names(names, str(path))
        return _packed(table, _pack_path(path, cache), image, label, classes)


def encoded_images(path: Path, first: int = 0, file: Any = None) -> Iterator[bytes | None]:
    """The images of a Parquet file, row by row from `first` on; None where a row has none. Raises DataError and MissingExtra.

    `file` is the opened file where `path` is a name only, as in an object store.
    """
    with _ParquetTable(path, file) as table:
        for (value,) in table.rows(table.image_column(), first=first):
            yield _raw(value)


def count_images(path: Path, file: Any = None) -> int:
    """The rows of a Parquet file with a column of images. Raises DataError and MissingExtra."""
    with _ParquetTable(path, file) as table:
        table.image_column()
        with table._reading():
            return table.file.metadata.num_rows


class _ParquetTable:
    """A Parquet file, open, and Hugging Face's description of its columns (empty when there is none)."""

    def __init__(self, path: Path, file: Any = None) -> None:
        self.arrow, parquet = _pyarrow()
        self.path = path
        with self._reading():
            self.file = parquet.ParquetFile(path if file is None else file)
            self.schema = self.file.schema_arrow
            self.features = _features(self.schema)
            sizes = [self.file.metadata.row_group(i).total_byte_size for i in range(self.file.metadata.num_row_groups)]
        if sizes and max(sizes) > _MAX_GROUP:
            raise DataError(
                _(
                    "Row group {index} of {path} has {size} bytes, and at most {most} are read. Write smaller row groups.",
                    index=sizes.index(max(sizes)),
                    path=path,
                    size=max(sizes),
                    most=_MAX_GROUP,
                )
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """What pyarrow raises for damaged bytes, as DataError."""
        try:
            yield
        except (OSError, ValueError, LookupError, TypeError, MemoryError, self.arrow.ArrowException) as error:
            raise DataError(_("{path} cannot be read as Parquet. Get the file again.", path=self.path)) from error

    def rows(self, *columns: str, first: int = 0) -> Iterator[tuple[Any, ...]]:
        """The values of some columns, row by row from `first` on; row groups before it are not read.

        One at a time: a dictionary page lets a small file say a large image a million times.
        """
        with self._reading():
            groups, skipped = list(range(self.file.metadata.num_row_groups)), 0
            while groups and first and skipped + (size := self.file.metadata.row_group(groups[0]).num_rows) <= first:
                skipped += size
                del groups[0]
            batches = self.file.iter_batches(1, row_groups=groups, columns=list(columns))
            for _row in range(first - skipped):
                next(batches, None)
        while True:
            with self._reading():
                batch = next(batches, None)
                values = None if batch is None else [batch.column(name).to_pylist() for name in columns]
            if values is None:
                return
            yield from zip(*values, strict=True)

    def checked(self, column: str) -> str:
        """The column, if unpacking it takes memory in proportion to the file. Raises DataError."""
        with self._reading():
            groups = [self.file.metadata.row_group(i) for i in range(self.file.metadata.num_row_groups)]
            every = [group.column(i) for group in groups for i in range(group.num_columns)]
            chunks = [chunk for chunk in every if chunk.path_in_schema.partition(".")[0] == column]
        for chunk in chunks:
            if chunk.total_uncompressed_size > _SPARE + _MAX_RATIO * chunk.total_compressed_size:
                raise DataError(
                    _(
                        "Column {column} of {path} has {size} bytes that unpack to {unpacked}. Images are compressed already, so "
                        "this is no column of images. Get the file again.",
                        column=column, path=self.path, size=chunk.total_compressed_size,
                        unpacked=chunk.total_uncompressed_size,
                    )
                )  # fmt: skip
        return column

    def image_column(self) -> str:
        fit = [field.name for field in self.schema if self._holds_bytes(field.type)]
        said = [name for name in fit if self.features.get(name, {}).get("_type") == "Image"]
        named = [name for name in _IMAGE_NAMES if name in fit]
        if chosen := said or named or fit:
            return self.checked(chosen[0])
        raise DataError(
            _(
                "{path} has no column with the bytes of images (its columns: {columns}). Give a file that has one.",
                path=self.path,
                columns=self._columns(),
            )
        )

    def label_column(self, image: str) -> str:
        fit = [field.name for field in self.schema if field.name != image and self._holds_labels(field.type)]
        said = [name for name in fit if self.features.get(name, {}).get("_type") == "ClassLabel"]
        for candidates in ([n for n in _LABEL_NAMES if n in said], said, [n for n in _LABEL_NAMES if n in fit]):
            if candidates:
                return self.checked(candidates[0])
        if len(fit) == 1:
            return self.checked(fit[0])
        raise DataError(
            _(
                "{path} has no column of labels (its columns: {columns}). Name one of whole numbers or texts label.",
                path=self.path,
                columns=self._columns(),
            )
        )

    def _holds_bytes(self, kind: Any) -> bool:
        types = self.arrow.types
        if types.is_struct(kind):
            at = kind.get_field_index("bytes")
            return at >= 0 and self._holds_bytes(kind.field(at).type)
        return types.is_binary(kind) or types.is_large_binary(kind)

    def _holds_labels(self, kind: Any) -> bool:
        types = self.arrow.types
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)

    def _columns(self) -> str:
        shown = [one_line(f"{field.name[:40]} {str(field.type)[:40]}") for field in list(self.schema)[:8]]
        return ", ".join(shown) + (", …" if len(self.schema) > 8 else "")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(
            _(
                "Parquet files are read with pyarrow, which is not installed. Install it with pip install 'plusx[parquet]'."
            )
        ) from error
    return pyarrow, pyarrow.parquet


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """Hugging Face's description of the columns, from the schema's metadata; empty when there is none."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: value for name, value in found.items() if isinstance(value, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _pack_path(path: Path, cache: Path | None) -> Path:
    """Named by path, size and time, so that a run reading an older pack is not disturbed."""
    if cache is None:
        folder = Path(tempfile.mkdtemp(prefix="plusx-parquet-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    else:
        folder = cache / "parquet"
    stamp = stamp_of(path)
    key = f"{path}\0{stamp.size}\0{stamp.mtime_ns}".encode("utf-8", "surrogateescape")
    return folder / f"{hashlib.sha256(key).hexdigest()[:24]}.pack"


def _packed(table: _ParquetTable, pack: Path, image: str, label: str, classes: tuple[str, ...] | None) -> ShardListing:
    out = ShardListing(pack, [], [], [], [], [], classes)
    at, most, digest = 0, _SPARE + _MAX_RATIO * table.path.stat().st_size, hashlib.sha256()
    try:
        with contextlib.suppress(_SamePackError), replacing(pack) as target:
            for row, (value, mark) in enumerate(table.rows(image, label)):
                raw = _raw(value)
                why = _why_not(value, raw, mark)
                if why is not None or raw is None:
                    out.skipped.append(Skipped(str(row), why or _("it has no image")))
                    continue
                if at + len(raw) > most:
                    raise DataError(
                        _(
                            "The images of {path} take more than {most} bytes, because it repeats a few of them very often. "
                            "Keep each image once.",
                            path=table.path, most=most,
                        )
                    )  # fmt: skip
                out.add(str(row), _class(mark, classes, _("{path}, row {row}", path=table.path, row=row)), at, len(raw))
                at += target.write(raw)
                digest.update(raw)
            if _is_same(pack, digest.digest()):
                raise _SamePackError
    except OSError as error:
        raise DataError(
            _(
                "The images of {path} cannot be copied into {folder} ({reason}). Set PLUSX_CACHE to a folder with free space.",
                path=table.path,
                folder=pack.parent,
                reason=error.strerror,
            )
        ) from error
    return out


class _SamePackError(Exception):
    """Another start has written the same pack meanwhile, and may read it already."""


def _is_same(pack: Path, digest: bytes) -> bool:
    try:
        with pack.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == digest
    except OSError:
        return False


def _raw(value: Any) -> bytes | None:
    return value.get("bytes") if isinstance(value, dict) else value


def _class(mark: Any, classes: tuple[str, ...] | None, where: Message) -> str:
    if classes is None:
        return str(mark)
    if isinstance(mark, int):
        return classes[in_range(mark, len(classes), where)]
    if mark not in classes:
        raise DataError(
            _(
                "Label {label!r} of {where} is none of the declared classes ({classes}). Correct it, or remove the row.",
                label=mark,
                where=where,
                classes=some(classes),
            )
        )
    return mark


def _why_not(value: Any, raw: bytes | None, label: Any) -> Message | None:
    if raw is None:
        has_path = isinstance(value, dict) and value.get("path")
        return _("it has only a path, not the image itself") if has_path else _("it has no image")
    if len(raw) > MAX_IMAGE_BYTES:
        return _("it has {size} bytes, and at most {most} are read", size=len(raw), most=MAX_IMAGE_BYTES)
    if label is None:
        return _("it has no label")
    if isinstance(label, str) and not is_label(label):
        return _("its label is not a class name of one line")
    return None
