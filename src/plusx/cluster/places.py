"""Where the parts of a job lie: many in a folder, or one in a file of its own; and which of them are complete."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from plusx.cluster.addresses import split_address
from plusx.cluster.manifests import MOST_BYTES, PartManifest, parse_manifest
from plusx.cluster.stores import Store, claimed, store_at
from plusx.errors import BundleError, DataError
from plusx.i18n import _

MANIFESTS = "_plusx"
"""The folder of manifests: readers of Parquet data sets pass over names that begin with _."""
_NAME = re.compile(r"rows-(\d{12})-(\d{12})\.json")
_READERS = 16


@dataclass(frozen=True)
class StoredPart:
    """A complete part: its manifest, where that lies, and the store and folder of its files."""

    manifest: PartManifest
    address: str
    store: Store


@dataclass(frozen=True)
class PartsPlace:
    """A folder of parts, or with `file` the one file that a part is written to."""

    store: Store
    file: str | None = None

    @property
    def address(self) -> str:
        return self.store.address if self.file is None else _joined(self.store, self.file)

    def data_name(self, start: int, stop: int, written: Path, digest: str) -> str:
        """The name of a part's file. In a folder it has a hash, so that two writers of a part do not mix their files."""
        if self.file is not None:
            return str(Path(self.file).with_suffix(written.suffix))
        return f"rows-{start:012d}-{stop:012d}-{digest[:8]}{written.suffix}"

    def manifest_name(self, start: int, stop: int) -> str:
        if self.file is not None:
            return f"{self.file}.json"
        return f"{MANIFESTS}/rows-{start:012d}-{stop:012d}.json"

    def find(self, start: int, stop: int) -> PartManifest | None:
        """The manifest of these rows, or of whatever part the file holds; None where there is none. Raises BundleError."""
        name = self.manifest_name(start, stop)
        try:
            with self.store.open(name) as file:
                return parse_manifest(file.read(MOST_BYTES), _joined(self.store, name))
        except FileNotFoundError:
            return None

    def bounds(self) -> list[tuple[int, int]]:
        """First row, and the first after the last, of each complete part of a folder."""
        found = (_NAME.fullmatch(name) for name in self.store.names(MANIFESTS))
        return [(int(match[1]), int(match[2])) for match in found if match]

    def parts(self) -> Iterator[StoredPart]:
        """Every part of a folder. Raises BundleError for a damaged manifest."""
        names = [f"{MANIFESTS}/{name}" for name in self.store.names(MANIFESTS) if _NAME.fullmatch(name)]
        yield from _read_all(self.store, names)

    def claimed(self, what: str) -> contextlib.AbstractContextManager[None]:
        """The place for this process alone, as far as `stores.claimed` can; in a folder, `what` of it. Raises RunError."""
        name = f".{self.file}.lock" if self.file is not None else f"{MANIFESTS}/.{what}.lock"
        return claimed(self.store, name, self.address)


def place_at(output: str, endings: tuple[str, ...]) -> PartsPlace:
    """The place that -o names: a file where it ends in one of `endings`, else a folder. Raises DataError, MissingExtra."""
    if not Path(output).is_dir() and Path(output).suffix.lower() in endings:
        folder, name = split_address(output)
        return PartsPlace(store_at(folder), name)
    return PartsPlace(store_at(output))


def stored_parts(given: str) -> list[StoredPart]:
    """The parts of a folder, or of a file of one part. Raises DataError where there are none, BundleError for damage."""
    if Path(given).is_file():
        folder, name = split_address(given)
        manifest = name if name.endswith(".json") else f"{name}.json"
        store = store_at(folder)
        try:
            return list(_read_all(store, [manifest]))
        except FileNotFoundError:
            raise DataError(
                _(
                    "{path} has no manifest {manifest} beside it. Give parts that plusx predict --shard wrote.",
                    path=given, manifest=manifest,
                )
            ) from None  # fmt: skip
    place = PartsPlace(store_at(given))
    found = list(place.parts())
    if not found:  # or parts with files of their own, all in one folder
        names = [name for name in place.store.names() if name.endswith(".json")]
        with contextlib.suppress(DataError):
            found = list(_read_all(place.store, names))
    if not found:
        raise DataError(
            _(
                "There are no complete parts in {path}. Give the -o of plusx predict or embed with --shard or --ray.",
                path=given,
            )
        )
    return found


def _read_all(store: Store, names: list[str]) -> Iterator[StoredPart]:
    def read(name: str) -> StoredPart:
        with store.open(name) as file:
            address = _joined(store, name)
            return StoredPart(parse_manifest(file.read(MOST_BYTES), address), address, store)

    with ThreadPoolExecutor(_READERS) as pool:
        for at in range(0, len(names), _READERS):  # a few at a time: some callers need the first alone
            yield from pool.map(read, names[at : at + _READERS])


def _joined(store: Store, name: str) -> str:
    return f"{store.address.rstrip('/')}/{name}" if store.address != "." else name


def checked_file(part: StoredPart, name: str, path: Path) -> Path:
    """A part's file as a local one, after its size and hash were checked. Raises BundleError."""
    entry = part.manifest.files[name]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.stat().st_size != entry["bytes"] or digest != entry["sha256"]:
        raise BundleError(
            _(
                "{path} was changed or cut short after it was written. Remove {manifest}, and compute the part again.",
                path=_joined(part.store, name), manifest=part.address,
            )
        )  # fmt: skip
    return path
