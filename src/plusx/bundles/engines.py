"""Adding exported networks and measurements to an existing bundle, under engines/. The bundle is valid at every moment.

What is added was made from the weights of an opened bundle, and is stored beside these weights only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plusx.bundles.atomic import file_entry, read_manifest, restore_old, sealed_bytes, write_dir, write_file
from plusx.bundles.bundle import MANIFEST, SCHEMA, WEIGHTS, Bundle
from plusx.bundles.writing import sole_writer
from plusx.errors import BundleError
from plusx.i18n import _

ENGINE_FILE = "engine.json"
ENGINE_SCHEMA = "plusx.engine/1"


def put_engine(bundle: Bundle, name: str, about: Mapping[str, Any], files: Mapping[str, bytes]) -> Path:
    """Write engines/`name` into the bundle: `files` and engine.json with `about`; returns the folder.

    A kill at any point leaves the bundle valid: without the engine, with the old one unlisted, or with the new one.
    Raises BundleError when the bundle at this path has other weights by now, and RunError.
    """
    path, folder = bundle.path, f"engines/{name}"
    with _beside_weights(bundle):
        _list(bundle, folder, {})
        write_dir(path / folder, ENGINE_FILE, {"schema": ENGINE_SCHEMA, **about}, files)
        _list(bundle, folder, {n: (path / folder / n).read_bytes() for n in (*files, ENGINE_FILE)})
    return path / folder


def put_file(bundle: Bundle, name: str, content: bytes) -> None:
    """Write one file, as engines/tuned.json, into the bundle. Raises BundleError, RunError."""
    folder, _slash, last = name.rpartition("/")
    with _beside_weights(bundle):
        _list(bundle, folder, {}, only=last)
        write_file(bundle.path / name, content)
        _list(bundle, folder, {last: content}, only=last)


@contextmanager
def _beside_weights(bundle: Bundle) -> Iterator[None]:
    """Inside, this process alone writes to the bundle, which has the weights that were opened."""
    with sole_writer(bundle.path):
        restore_old(bundle.path)
        _read(bundle)
        yield


def _read(bundle: Bundle) -> dict[str, Any]:
    """The manifest that is there now. Raises BundleError when it lists other weights than those that were opened."""
    manifest = read_manifest(bundle.path, MANIFEST, SCHEMA)
    if manifest["files"].get(WEIGHTS, {}).get("sha256") != bundle.weights_sha256:
        raise BundleError(
            _(
                "{path} was replaced by other weights meanwhile, so nothing was stored. Run the command again.",
                path=bundle.path,
            )
        )
    return manifest


def _list(bundle: Bundle, folder: str, files: Mapping[str, bytes], only: str | None = None) -> None:
    """Make `files` what bundle.json lists under `folder` (or, with `only`, of that one name)."""
    manifest = _read(bundle)
    gone = f"{folder}/" if only is None else f"{folder}/{only}"
    kept = {
        n: entry for n, entry in manifest["files"].items() if not (n.startswith(gone) if only is None else n == gone)
    }
    new = {f"{folder}/{n}": file_entry(content) for n, content in files.items()}
    if kept == manifest["files"] and not new:
        return
    write_file(bundle.path / MANIFEST, sealed_bytes({**manifest, "files": dict(sorted({**kept, **new}.items()))}))
