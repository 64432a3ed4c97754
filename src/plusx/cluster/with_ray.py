"""One job on Ray Data: the parts of `shard.py`, computed by a pool of actors instead of one process a machine.

Ray distributes and restarts; what is complete is decided by the manifests alone, as without Ray. The data set that Ray
sees has a row for each part (where its images stand in the list), and never an image: an actor reads the images of its
part, writes its rows, commits them by a manifest, and returns two counts. So a part that Ray computes twice, because a
node seemed lost, is only replaced by itself, and a job that died is finished by the same command, or by --shard.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plusx import settings
from plusx.bundles import Bundle, open_bundle
from plusx.bundles.atomic import current_location
from plusx.bundles.bundle import MANIFEST
from plusx.cluster.addresses import is_remote
from plusx.cluster.input_list import InputList, read_records, write_list
from plusx.cluster.inputs import InputRecord, first_fetched
from plusx.cluster.manifests import JobIdentity
from plusx.cluster.parts import PART_ROWS, BatchOptions, write_part
from plusx.cluster.places import MANIFESTS, PartsPlace
from plusx.cluster.ray_cluster import actor_pool, check_version, connected
from plusx.cluster.shard import ShardResult, complete_parts, part_bounds
from plusx.cluster.stores import Store, store_at
from plusx.errors import DataError, PlusxError, RunError, SpecError
from plusx.i18n import _
from plusx.version import __version__

_MOST_BLOCKS = 5_000
"""Tasks of a job: each has one part, or several where there are more parts."""


@dataclass(frozen=True)
class WorkerJob:
    """What an actor must know: the job, its options, and where the parts, the list and the network lie."""

    identity: JobIdentity
    options: BatchOptions
    place: str
    inputs: str
    network: str


class PartWorker:
    """An actor: opens the network once, then computes one part after the other.

    An error is a row too: what an actor raises would be printed by Ray at length, and tried again.
    """

    def __init__(self, job: WorkerJob, made_with: str) -> None:
        self.job, self.error = job, ""
        self.place = PartsPlace(store_at(job.place))
        try:
            check_same(made_with)
            with tempfile.TemporaryDirectory(prefix="plusx-network-") as folder:
                _fetch_network(self.place.store, job.network, Path(folder))
                self.compute = job.options.open(open_bundle(folder))
        except Exception as error:
            self.error = _reason(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        made = [self._part(*map(int, row)) for row in zip(*(batch[key] for key in _COLUMNS), strict=True)]
        return dict(zip(("rows", "unreadable", "error"), map(list, zip(*made, strict=True)), strict=True))

    def _part(self, start: int, stop: int, offset: int, skip: int) -> tuple[int, int, str]:
        """Rows and unreadable ones of a part, which may be complete: Ray gives a task of a lost node to another one."""
        if self.error:
            return 0, 0, self.error
        try:
            part = self.place.find(start, stop)
            if part is None or part.job != self.job.identity:
                records = read_records(self.place.store, self.job.inputs, offset, skip, stop - start)
                part = write_part(self.place, self.job.identity, start, stop, records, self.compute)
            return part.stop - part.start, part.unreadable, ""
        except Exception as error:
            return 0, 0, _reason(error)


def check_same(made_with: str) -> None:
    """Raises RunError where a node has another plusx than the command."""
    if made_with != __version__:
        raise RunError(
            _(
                "This node has plusx {here}, but the job was started with {there}. Install the same plusx on every node.",
                here=__version__, there=made_with,
            )
        )  # fmt: skip


def _reason(error: Exception) -> str:
    """An error of an actor in one line."""
    if isinstance(error, PlusxError):
        return str(error.message)
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


_COLUMNS = ("start", "stop", "offset", "skip")


def run_on_ray(
    place: PartsPlace,
    bundle: Bundle,
    options: BatchOptions,
    form: str,
    records: Iterable[InputRecord],
    address: str,
    *,
    part_rows: int | None = None,
    on_start: Callable[[int], Any] | None = None,
    on_part: Callable[[int, int], Any] | None = None,
) -> ShardResult:
    """Computes the parts that are not complete yet on a Ray cluster; `on_part` is told the rows and the unreadable ones of each.

    `options.engine.threads` cores are one actor's; without it or PLUSX_THREADS, those of the smallest node. Raises SpecError, DataError,
    MissingExtra, RunError.
    """
    check_version()
    if place.file is not None:
        raise SpecError(_("--ray writes many parts. Name a folder with -o DIR, and join them with plusx merge."))
    records = first_fetched(_absolute(record) for record in records)
    store = store_at(place.address if is_remote(place.address) else os.path.abspath(place.address))
    place = PartsPlace(store)
    options = options.settled(bundle)
    with place.claimed("ray"):
        inputs = _stored_list(store, records)
        job = options.identity(bundle, form, inputs.n, inputs.sha256)
        bounds = part_bounds(0, inputs.n, part_rows or PART_ROWS)
        done = complete_parts(place, job, bounds)
        todo = [bound for bound in bounds if bound not in done and bound[0] < bound[1]]
        if on_start is not None:
            on_start(sum(stop - start for start, stop in todo))
        unreadable = sum(part.unreadable for part in done.values())
        if todo:
            network = _stored_network(store, bundle, job)
            with connected(address) as ray:
                threads, actors = actor_pool(ray, options.engine.threads or settings.threads())
                options = replace(options, engine=replace(options.engine, threads=threads))
                worker = WorkerJob(job, options, store.address, inputs.name, network)
                for rows, bad in _results(ray, worker, inputs, todo, threads, min(actors, len(todo))):
                    unreadable += bad
                    if on_part is not None:
                        on_part(rows, bad)
            left = set(todo) - set(place.bounds())
            if left:
                raise RunError(
                    _(
                        "{n} parts are not complete. Run the same command again: it computes what is missing.",
                        n=len(left),
                    )
                )
    return ShardResult(inputs.n, unreadable, sum(stop - start for start, stop in todo))


def _results(
    ray: Any, worker: WorkerJob, inputs: InputList, todo: Sequence[tuple[int, int]], threads: int, actors: int
) -> Iterator[tuple[int, int]]:
    """(rows, unreadable) of each part as it is complete. Raises RunError."""
    import ray.data as data

    for handler in logging.getLogger("ray.data").handlers:  # its plans and progress stay in its own log files
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = [dict(zip(_COLUMNS, (start, stop, *inputs.where(start)), strict=True)) for start, stop in todo]
    parts = data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS)).map_batches(
        PartWorker,
        fn_constructor_args=(worker, __version__),
        batch_size=1,
        compute=data.ActorPoolStrategy(min_size=1, max_size=max(1, actors)),
        num_cpus=threads,
    )
    try:
        for row in parts.iter_rows():
            if row["error"]:
                raise RunError(
                    _(
                        "A node of the Ray cluster stopped the job: {reason} What is complete is kept.",
                        reason=row["error"],
                    )
                )
            yield int(row["rows"]), int(row["unreadable"])
    except (ray.exceptions.RayError, RuntimeError, OSError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise RunError(
            _(
                "Ray could not finish the job ({reason}). Run the same command again: what is complete is kept.",
                reason=lines[-1].strip()[:300],
            )
        ) from error


def _absolute(record: InputRecord) -> InputRecord:
    """The record with a path that means the same in an actor's working directory."""
    if record.file is None or is_remote(record.file):
        return record
    return replace(record, file=os.path.abspath(record.file))


def _stored_list(store: Store, records: Iterable[InputRecord]) -> InputList:
    """The list of inputs in the folder of manifests, named by its hash."""
    with store.scratch() as scratch:
        made = write_list(records, scratch / "inputs", store, "")
        made = replace(made, name=f"{MANIFESTS}/inputs-{made.sha256[:16]}.jsonl")
        store.put(made.name, scratch / "inputs")
    return made


def _stored_network(store: Store, bundle: Bundle, job: JobIdentity) -> str:
    """The folder below `store` with the bundle's files, numbered, and their names; written once."""
    folder = f"{MANIFESTS}/network-{job.network[:16]}"
    names = [MANIFEST, *bundle.files]
    if set(store.names(folder)) >= {str(number) for number in range(len(names))} | {"names"}:
        return folder
    with store.scratch() as scratch:
        for number, name in enumerate(names):
            path = scratch / str(number)
            path.write_bytes(bundle.read(name) if number else (current_location(bundle.path) / name).read_bytes())
            store.put(f"{folder}/{number}", path)
        (scratch / "names").write_text("\n".join(names))
        store.put(f"{folder}/names", scratch / "names")
    return folder


def _fetch_network(store: Store, folder: str, target: Path) -> None:
    """The bundle of `_stored_network` in a local folder; opening it checks every hash."""
    with store.open(f"{folder}/names") as file:
        names = file.read().decode().split("\n")
    for number, name in enumerate(names):
        path = target / name
        if not path.resolve().is_relative_to(target.resolve()):
            raise DataError(
                _(
                    "The file name {name!r} leads out of the bundle. Remove the folder of parts, and start again.",
                    name=name,
                )
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with store.open(f"{folder}/{number}") as source, path.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
