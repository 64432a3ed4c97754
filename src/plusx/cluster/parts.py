"""One part of a job: its images read, computed and written, and made visible by its manifest at the end."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plusx.bundles import Bundle
from plusx.cluster.inputs import InputRecord
from plusx.cluster.manifests import JobIdentity, PartManifest, network_hash
from plusx.cluster.part_rows import PredictedRow, row_writer
from plusx.cluster.places import PartsPlace
from plusx.cluster.reading import read_items
from plusx.errors import DataError, RunError
from plusx.i18n import _
from plusx.runtime.embedding import cut_graph, embedder
from plusx.runtime.engines import EngineOptions
from plusx.runtime.inputs import Item
from plusx.runtime.planning import choose_plan
from plusx.runtime.predicting import open_predictor

PART_ROWS = 10_000
"""Rows of a part in a folder, and so the most that a kill costs: minutes of work, and a file of one to 80 MB."""
RowStream = Callable[[Iterable[Item]], Iterator[PredictedRow]]


@dataclass(frozen=True)
class BatchOptions:
    """What predict or embed computes of each image: the options of the command without those of input and output."""

    command: str
    engine: EngineOptions
    exact_decode: bool = False
    top: int = 5
    threshold: float | None = None
    at: str | None = None

    def identity(self, bundle: Bundle, form: str, inputs: int, sha256: str) -> JobIdentity:
        """The job of these options on a list of inputs. Raises SpecError, MissingExtra, BundleError, DataError."""
        embeds = self.command == "embed"
        plan = choose_plan(bundle, self.engine, cut=embeds)
        if not embeds and not bundle.classes:
            raise DataError(
                _("{path} has no classes to predict. plusx embed gives its feature vectors.", path=bundle.path)
            )
        return JobIdentity(
            self.command, form, inputs, sha256, network_hash(bundle, plan), f"{plan.engine} {plan.precision}", self.exact_decode,
            None if embeds else min(self.top, len(bundle.classes)), self.threshold, self.at,
            cut_graph(bundle.spec, self.at).c_out if embeds else None,
        )  # fmt: skip

    def settled(self, bundle: Bundle) -> BatchOptions:
        """The same with the engine and precision that this machine chooses, so that every other computes with them."""
        plan = choose_plan(bundle, self.engine, cut=self.command == "embed")
        return replace(self, engine=replace(self.engine, engine=plan.engine, precision=plan.precision))

    def open(self, bundle: Bundle) -> RowStream:
        """What makes a row of each image, its network compiled. Raises as predictor and embedder do."""
        if self.command == "embed":
            return embedder(bundle, self.at, self.engine, exact_decode=self.exact_decode).stream
        made, least = open_predictor(bundle, self.engine, top=self.top, exact_decode=self.exact_decode), self.threshold
        if least is None:
            return made.stream
        return lambda items: (row.above(least) for row in made.stream(items))


def write_part(
    place: PartsPlace,
    job: JobIdentity,
    start: int,
    stop: int,
    records: Iterable[InputRecord],
    compute: RowStream,
    *,
    shard: tuple[int, int] | None = None,
    typed: Sequence[str] = (),
    on_row: Callable[[PredictedRow], Any] | None = None,
) -> PartManifest:
    """Computes and writes the rows of one part. Nothing of it is visible before all of it is. Raises RunError, DataError."""
    rows = unreadable = 0
    with place.store.scratch() as folder:
        path = folder / f"rows.{job.form}"
        with row_writer(job, path, job.form) as out, contextlib.closing(read_items(records)) as items:
            for row in compute(items):
                out.write(row)
                rows, unreadable = rows + 1, unreadable + (row.error is not None)
                if on_row is not None:
                    on_row(row)
        if rows != stop - start:
            raise RunError(
                _("A part of {n} images gave {rows} rows. Run the same command again.", n=stop - start, rows=rows)
            )
        files = {}
        for written in sorted(folder.iterdir()):
            entry = _entry(written)
            name = place.data_name(start, stop, written, entry["sha256"])
            files[name] = entry
            place.store.put(name, written)
        manifest = PartManifest(job, start, stop, unreadable, files, shard, typed)
        (folder / "manifest").write_bytes(manifest.to_bytes())
        place.store.put(place.manifest_name(start, stop), folder / "manifest")
    return manifest


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
