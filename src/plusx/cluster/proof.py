"""Whether parts are the whole of a job: one list, one network, each row once."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plusx.cluster.manifests import JobIdentity
from plusx.cluster.places import StoredPart, stored_parts
from plusx.cluster.shard import shard_of
from plusx.errors import DataError, GateError
from plusx.i18n import Message, _, _n, joined

_MOST_NAMED, _MOST_LISTED = 5, 100


@dataclass(frozen=True)
class CheckedParts:
    """Parts that are complete together, in the order of their rows."""

    job: JobIdentity
    parts: Sequence[StoredPart]

    @property
    def unreadable(self) -> int:
        return sum(part.manifest.unreadable for part in self.parts)


def checked_parts(given: Iterable[str]) -> CheckedParts:
    """The parts that folders and files hold, if they cover every input once.

    Raises DataError for parts of different jobs, GateError for rows that are missing or there twice.
    """
    found = {part.address: part for each in given for part in stored_parts(each)}
    parts = sorted(found.values(), key=lambda part: (part.manifest.start, part.manifest.stop))
    job = parts[0].manifest.job
    for part in parts:
        if why := job.difference(part.manifest.job):
            raise DataError(
                _(
                    "{one} and {other} are of different jobs: {why}. Merge the parts of one job, or compute one of them again.",
                    one=parts[0].address, other=part.address, why=why,
                )
            )  # fmt: skip
    parts = [part for part in parts if part.manifest.start < part.manifest.stop] or parts[:1]
    _check_once(parts)
    _check_all(job, parts)
    return CheckedParts(job, parts)


def _check_once(parts: Sequence[StoredPart]) -> None:
    reached = parts[0]
    for part in parts[1:]:
        if part.manifest.start < reached.manifest.stop:
            first, last = part.manifest.start, min(part.manifest.stop, reached.manifest.stop) - 1
            raise GateError(
                _(
                    "Rows {first} to {last} are there twice: in {one} and in {other}. Leave out or remove one of the two.",
                    first=first, last=last, one=reached.address, other=part.address,
                )
            )  # fmt: skip
        reached = part


def _check_all(job: JobIdentity, parts: Sequence[StoredPart]) -> None:
    gaps, at = list[tuple[int, int]](), 0
    for part in parts:
        if part.manifest.start > at:
            gaps.append((at, part.manifest.start))
        at = part.manifest.stop
    if at < job.inputs:
        gaps.append((at, job.inputs))
    if at > job.inputs:
        raise DataError(
            _(
                "{path} has rows beyond the {n} of its list. Compute the part again.",
                path=parts[-1].address,
                n=job.inputs,
            )
        )
    if gaps:
        missing = sum(stop - start for start, stop in gaps)
        rows = ", ".join(f"{start}-{stop - 1}" for start, stop in gaps[:_MOST_NAMED])
        rows += ", …" if len(gaps) > _MOST_NAMED else ""
        raise GateError(
            _(
                "{missing} without a row (numbers {rows}, counted from 0). {remedy}",
                missing=_n("{n:,} of {inputs:,} images is", "{n:,} of {inputs:,} images are", missing, inputs=job.inputs),
                rows=rows, remedy=_remedy(job, gaps, parts),
            )
        )  # fmt: skip


def _remedy(job: JobIdentity, gaps: Sequence[tuple[int, int]], parts: Sequence[StoredPart]) -> Message:
    """The commands that compute what is missing."""
    known = next((part.manifest for part in parts if part.manifest.shard and part.manifest.typed), None)
    if known is None or known.shard is None:
        return _("Run the same command again: it computes what is missing.")
    of = known.shard[1]
    missing = sorted(
        {i for a, b in gaps for i in range(shard_of(job.inputs, a, of), shard_of(job.inputs, b - 1, of) + 1)}
    )
    lines: list[Message | str] = [f"plusx {shlex.join(known.typed)} --shard {i}/{of}" for i in missing[:_MOST_NAMED]]
    if len(missing) > _MOST_NAMED:
        shards = ", ".join(map(str, missing[_MOST_NAMED:_MOST_LISTED])) + (", …" if len(missing) > _MOST_LISTED else "")
        lines.append(_("and the same with --shard I/{of} for I = {shards}", of=of, shards=shards))
    return _("Run: {commands}", commands=joined(" ; ", lines))
