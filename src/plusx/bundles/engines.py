"""Adding exported networks and measurements to an existing bundle, under engines/. The bundle is valid at every moment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plusx.bundles.atomic import _DIGEST, _digest, read_manifest, write_dir, write_file
from plusx.bundles.bundle import MANIFEST, SCHEMA
from plusx.files import json_text

ENGINE_FILE = "engine.json"
ENGINE_SCHEMA = "plusx.engine/1"


def put_engine(bundle: str | Path, name: str, about: Mapping[str, Any], files: Mapping[str, bytes]) -> Path:
    """Write engines/`name` into a bundle: `files` and engine.json with `about`; returns the folder.

    A kill at any point leaves the bundle valid: without the engine, with the old one unlisted, or with the new one.
    Raises BundleError, RunError.
    """
    bundle, folder = Path(bundle), f"engines/{name}"
    _list(bundle, folder, {})
    write_dir(bundle / folder, ENGINE_FILE, {"schema": ENGINE_SCHEMA, **about}, files)
    _list(bundle, folder, {n: (bundle / folder / n).read_bytes() for n in (*files, ENGINE_FILE)})
    return bundle / folder


def put_file(bundle: str | Path, name: str, content: bytes) -> None:
    """Write one file, as engines/tuned.json, into a bundle. Raises BundleError, RunError."""
    bundle = Path(bundle)
    folder, _, last = name.rpartition("/")
    _list(bundle, folder, {}, only=last)
    write_file(bundle / name, content)
    _list(bundle, folder, {last: content}, only=last)


def _list(bundle: Path, folder: str, files: Mapping[str, bytes], only: str | None = None) -> None:
    """Make `files` what bundle.json lists under `folder` (or, with `only`, of that one name)."""
    manifest = read_manifest(bundle / ".", MANIFEST, SCHEMA)
    gone = f"{folder}/" if only is None else f"{folder}/{only}"
    kept = {
        n: entry for n, entry in manifest["files"].items() if not (n.startswith(gone) if only is None else n == gone)
    }
    new = {f"{folder}/{n}": {"bytes": len(b), "sha256": hashlib.sha256(b).hexdigest()} for n, b in files.items()}
    if kept == manifest["files"] and not new:
        return
    whole = {key: value for key, value in manifest.items() if key != _DIGEST}
    whole["files"] = dict(sorted({**kept, **new}.items()))
    whole[_DIGEST] = _digest(whole)
    write_file(bundle / MANIFEST, f"{json_text(whole, 1, allow_nan=False)}\n".encode())
