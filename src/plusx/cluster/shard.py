"""The parts that one of many machines computes of a job; no machine knows of another."""

from __future__ import annotations

import contextlib
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from plusx.bundles import Bundle
from plusx.cluster.input_list import InputList, write_list
from plusx.cluster.inputs import InputRecord, first_fetched
from plusx.cluster.manifests import JobIdentity, PartManifest
from plusx.cluster.part_rows import PredictedRow
from plusx.cluster.parts import PART_ROWS, BatchOptions, write_part
from plusx.cluster.places import PartsPlace
from plusx.cluster.stores import LocalStore
from plusx.errors import DataError
from plusx.i18n import _


@dataclass(frozen=True)
class ShardResult:
    """`rows` of the shard, `unreadable` of them without an answer, `computed` of them now and not before."""

    rows: int
    unreadable: int
    computed: int


def shard_rows(inputs: int, i: int, of: int) -> tuple[int, int]:
    """First row of shard `i` (from 1) and the first of the next one; no two shards differ by more than one row.

    >>> [shard_rows(7, i, 3) for i in (1, 2, 3)]
    [(0, 2), (2, 4), (4, 7)]
    """
    return inputs * (i - 1) // of, inputs * i // of


def shard_of(inputs: int, row: int, of: int) -> int:
    """The shard that has a row: the smallest i with inputs * i // of > row.

    >>> [shard_of(7, row, 3) for row in range(7)]
    [1, 1, 2, 2, 3, 3, 3]
    """
    return -(-(row + 1) * of // inputs)


def part_bounds(start: int, stop: int, rows: int | None) -> list[tuple[int, int]]:
    """The parts of rows `start` to `stop`, of at most `rows` each; one part where `rows` is None.

    >>> part_bounds(100, 125, 10), part_bounds(3, 3, 10)
    ([(100, 110), (110, 120), (120, 125)], [(3, 3)])
    """
    if rows is None or start == stop:
        return [(start, stop)]
    return list(pairwise([*range(start, stop, rows), stop]))


def run_shard(
    place: PartsPlace,
    bundle: Bundle,
    options: BatchOptions,
    form: str,
    records: Iterable[InputRecord],
    shard: tuple[int, int],
    *,
    part_rows: int | None = None,
    typed: Sequence[str] = (),
    on_start: Callable[[int], Any] | None = None,
    on_row: Callable[[PredictedRow], Any] | None = None,
) -> ShardResult:
    """Computes those parts of a shard that are not complete yet; `on_start` is told the number of rows to compute.

    Raises DataError where `place` holds parts of another job, RunError where another process writes the same shard.
    """
    records = first_fetched(iter(records))
    with listed(records) as inputs:
        job = options.identity(bundle, form, inputs.n, inputs.sha256)
        start, stop = shard_rows(inputs.n, *shard)
        bounds = part_bounds(start, stop, None if place.file is not None else part_rows or PART_ROWS)
        with place.claimed(f"shard-{shard[0]}-of-{shard[1]}"):
            done = complete_parts(place, job, bounds)
            todo = [bound for bound in bounds if bound not in done]
            if on_start is not None:
                on_start(sum(b - a for a, b in todo))
            compute = options.open(bundle) if todo else None
            made = {
                bound: write_part(
                    place, job, *bound, inputs.records(*bound), compute, shard=shard, typed=typed, on_row=on_row
                )
                for bound in todo
                if compute is not None
            }
    unreadable = sum(part.unreadable for part in (*done.values(), *made.values()))
    return ShardResult(stop - start, unreadable, sum(b - a for a, b in made))


@contextlib.contextmanager
def listed(records: Iterable[InputRecord]) -> Iterator[InputList]:
    """The list of the inputs in a temporary file."""

    with tempfile.TemporaryDirectory(prefix="plusx-inputs-") as folder:
        path = Path(folder) / "inputs.jsonl"
        yield write_list(records, path, LocalStore(folder), path.name)


def complete_parts(
    place: PartsPlace, job: JobIdentity, bounds: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], PartManifest]:
    """Which of the parts are complete. Raises DataError where the place holds a part of another job."""
    found = {bound: part for bound in bounds if (part := place.find(*bound)) is not None}
    first = None
    if place.file is None:  # parts of other machines, or with other bounds
        check_bounds(place, bounds)
        stored = None if found else next(place.parts(), None)
        first = None if stored is None else stored.manifest
    for part in (*found.values(), *(() if first is None else (first,))):
        why = job.difference(part.job)
        if why is None and place.file is not None and (part.start, part.stop) != tuple(bounds[0]):
            why = _("its rows are {start} to {stop}", start=part.start, stop=part.stop)
        if why is not None:
            raise DataError(
                _(
                    "{path} holds a part of another job: {why}. Write to another place, or remove what is there.",
                    path=place.address, why=why,
                )
            )  # fmt: skip
    return found


def check_bounds(place: PartsPlace, bounds: Sequence[tuple[int, int]]) -> None:
    """Raises DataError where a folder holds parts that are cut in another way, and so rows that would be there twice."""
    mine = sorted(bounds)
    stops = [stop for _start, stop in mine]
    for start, stop in place.bounds():
        at = bisect_right(stops, start)
        if at < len(mine) and mine[at][0] < stop and (start, stop) != mine[at] and start < stop:
            raise DataError(
                _(
                    "{path} holds rows {start} to {stop} in one part, cut by another --shard or --part-rows. Write the same ones as "
                    "before, or write to another folder.",
                    path=place.address, start=start, stop=stop,
                )
            )  # fmt: skip
