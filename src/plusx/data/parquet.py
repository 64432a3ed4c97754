"""Parquet with pictures, as Hugging Face writes it: a column of {bytes, path} or of bytes, and a column of labels.

Rows of a Parquet file cannot be had one by one (a row costs its whole row group), so the encoded pictures are written
once, in order, into a pack in the cache, and read from there by offset. The extra [parquet] brings pyarrow.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from plusx.data.dataset import Skipped
from plusx.data.packed import MAX_PICTURE_BYTES
from plusx.data.parts import in_range, no_twins, one_line
from plusx.data.shards import Listing, stamp_of
from plusx.errors import DataError, MissingExtra

_LABEL_NAMES = ("label", "labels", "fine_label", "class", "cls", "category", "target", "class_name")
_PICTURE_NAMES = ("image", "img", "picture", "jpg", "jpeg", "png", "bytes")
_MAX_GROUP = 1 << 33  # bytes of one row group, unpacked, as its footer says
_ROWS = 64  # held in memory at a time


def list_parquet(path: Path, cache: Path | None = None) -> Listing:
    """The labelled pictures of a Parquet file, packed into the cache (cache None: a folder that goes with the process).

    Raises DataError, and MissingExtra without pyarrow.
    """
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            features = _features(schema)
            picture = _picture_column(arrow, schema, features, path)
            label = _label_column(arrow, schema, features, picture, path)
            names = features.get(label, {}).get("names")
            classes = None if names is None else no_twins(_class_names(names, path), str(path))
            _check_size(file, path)
            pack = _pack_path(path, cache)
            return _packed(file, path, pack, picture, label, classes)
    except (OSError, arrow.ArrowException) as error:
        words = one_line(" ".join(str(error).split())[:160])
        raise DataError(f"cannot read {path} as Parquet ({words}); fetch it again") from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("pyarrow is not installed, Parquet is read with it; pip install 'plusx[parquet]'") from error
    return pyarrow, pyarrow.parquet


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """Hugging Face's description of the columns, from the schema's metadata; empty when there is none."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: value for name, value in found.items() if isinstance(value, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _class_names(names: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise DataError(f"the class names in {path} are not a list of texts; write it again")
    return tuple(names)


def _picture_column(arrow: Any, schema: Any, features: dict[str, dict[str, Any]], path: Path) -> str:
    def holds_bytes(kind: Any) -> bool:
        if arrow.types.is_struct(kind):
            at = kind.get_field_index("bytes")
            return at >= 0 and holds_bytes(kind.field(at).type)
        return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)

    fit = [field.name for field in schema if holds_bytes(field.type)]
    said = [name for name in fit if features.get(name, {}).get("_type") == "Image"]
    named = [name for name in _PICTURE_NAMES if name in fit]
    if chosen := said or named or fit:
        return chosen[0]
    raise DataError(f"no column of pictures in {path} (columns: {_columns(schema)}); one must hold their bytes")


def _label_column(arrow: Any, schema: Any, features: dict[str, dict[str, Any]], picture: str, path: Path) -> str:
    def fits(kind: Any) -> bool:
        kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
        return arrow.types.is_integer(kind) or arrow.types.is_string(kind) or arrow.types.is_large_string(kind)

    fit = [field.name for field in schema if field.name != picture and fits(field.type)]
    said = [name for name in fit if features.get(name, {}).get("_type") == "ClassLabel"]
    for candidates in ([n for n in _LABEL_NAMES if n in said], said, [n for n in _LABEL_NAMES if n in fit]):
        if candidates:
            return candidates[0]
    if len(fit) == 1:
        return fit[0]
    raise DataError(
        f"no column of labels in {path} (columns: {_columns(schema)}); name one of whole numbers or texts label"
    )


def _columns(schema: Any) -> str:
    shown = [f"{one_line(field.name[:40])} {str(field.type)[:40]}" for field in list(schema)[:8]]
    return ", ".join(shown) + (", …" if len(schema) > 8 else "")


def _check_size(file: Any, path: Path) -> None:
    for i in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(i).total_byte_size
        if size > _MAX_GROUP:
            raise DataError(
                f"row group {i} of {path} has {size} bytes, more than the cap of {_MAX_GROUP}; write smaller"
            )


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


def _packed(file: Any, path: Path, pack: Path, picture: str, label: str, classes: tuple[str, ...] | None) -> Listing:
    out = Listing(pack, [], [], [], [], [], classes)
    aside = pack.with_name(f"{pack.name}.{os.getpid()}")
    try:
        pack.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as target:
            row, at = 0, 0
            for rows in file.iter_batches(_ROWS, columns=[picture, label]):
                pictures, labels = rows.column(picture).to_pylist(), rows.column(label).to_pylist()
                for value, mark in zip(pictures, labels, strict=True):
                    raw: Any = value.get("bytes") if isinstance(value, dict) else value
                    why = _why_not(value, raw, mark)
                    if why is not None:
                        out.skipped.append(Skipped(str(row), why))
                    else:
                        if classes is not None and isinstance(mark, int):
                            mark = classes[in_range(mark, len(classes), f"{path}, row {row}")]
                        _add(out, str(row), str(mark), at, len(raw))
                        at += target.write(raw)
                    row += 1
        aside.replace(pack)
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError) and error.errno is not None:  # pyarrow's own have none
            why = error.strerror
            raise DataError(
                f"cannot pack {path} into {pack.parent} ({why}); set PLUSX_CACHE to a place with room"
            ) from error
        raise
    return out


def _add(out: Listing, name: str, label: str, start: int, size: int) -> None:
    out.names.append(name)
    out.labels.append(label)
    out.starts.append(start)
    out.sizes.append(size)


def _why_not(value: Any, raw: Any, label: Any) -> str | None:
    if raw is None:
        has_path = isinstance(value, dict) and value.get("path")
        return "only a path, not the picture itself" if has_path else "no picture"
    if len(raw) > MAX_PICTURE_BYTES:
        return f"{len(raw)} bytes, more than the cap of {MAX_PICTURE_BYTES}"
    if label is None:
        return "no label"
    if isinstance(label, str) and (not label or len(label) > 200 or not label.isprintable()):
        return "its label is no class name of one line"
    return None
