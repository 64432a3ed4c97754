"""The data of a training run: opened on every rank, named in run.json, and checked when the run is resumed."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from plusx.bundles import DataRecord, PartRecord, RunRecord
from plusx.data import BUILT_IN, Data, ListColumns, Splits, open_data
from plusx.errors import BundleError, DataError
from plusx.files import expanded
from plusx.i18n import Message, _, _n, joined
from plusx.training.distributed import ProcessGroup


@dataclass(frozen=True)
class DataOrigin:
    """Where the images of a run come from and how they were split. `path` None: Splits that a caller had in memory."""

    path: str | None
    val_split: float
    columns: ListColumns

    def to_dict(self) -> dict[str, Any]:
        named = {key: name for key, name in self.columns.items() if name}
        return {"path": self.path, "val_split": self.val_split, **named}

    @classmethod
    def from_record(cls, data: DataRecord, run: Path) -> DataOrigin:
        """The origin that run.json holds in its `data`. Raises BundleError."""
        if data.val_split is None:
            raise BundleError(_("{run} does not say how its data were split. Use another copy.", run=run))
        columns = ListColumns(path_column=data.path_column, label_column=data.label_column)
        return cls(data.path, data.val_split, columns)

    def open(
        self, data: str | Path | Splits, seed: int, group: ProcessGroup, on_index: Callable[[int, int], None] | None
    ) -> Splits:
        """The splits of `data`, with this origin's share and columns. Rank 0 indexes it, the others find the index cached.

        Raises DataError, also when the processes see different data.
        """
        if isinstance(data, Splits):
            splits = data
        else:
            progress = on_index if group.is_rank0 else None
            splits = group.rank0_then_others(
                partial(open_data, data, val_split=self.val_split, seed=seed, progress=progress, **self.columns)
            )
        require_equal_data(splits, group)
        return splits


def resolved_path(data: str | Path | Splits) -> str | None:
    """The path that run.json names: the same from any working directory. None for Splits in memory."""
    if isinstance(data, Splits):
        return None
    return str(data) if data in BUILT_IN else str(expanded(data).resolve())


def require_equal_data(splits: Splits, group: ProcessGroup) -> None:
    """Raises DataError on all ranks when one has other images, labels or classes than rank 0: on other machines or in memory."""
    own = [(name, len(part), part.fingerprint) for name, part in (("train", splits.train), ("val", splits.val))]
    seen = group.all_gather((platform.node(), own))
    host, first = seen[0]
    for rank, (other, theirs) in enumerate(seen):
        for (part, n, mark), (_part, n_first, first_mark) in zip(theirs, first, strict=True):
            if mark != first_mark:
                raise DataError(
                    _(
                        "The processes see different {part} data: process 0 on {host} has {n_first} images (fingerprint "
                        "{first}), process {rank} on {other} has {n} ({mark}). Give every machine the same files.",
                        part=part, host=host, n_first=n_first, first=first_mark[:12], rank=rank, other=other, n=n,
                        mark=mark[:12],
                    )
                )  # fmt: skip


def part_record(data: Data) -> PartRecord:
    """What run.json and a bundle keep of one part of the data."""
    return PartRecord(len(data), data.fingerprint)


def require_same_data(found: RunRecord, splits: Splits) -> None:
    """Raises BundleError when the data differ from those that the run began with; it says in what."""
    for part, now, then in (("train", splits.train, found.data.train), ("val", splits.val, found.data.val)):
        if then is None or now.fingerprint != then.fingerprint:
            raise BundleError(
                _(
                    "The {part} data of {run} changed since the run began: {differences}. Restore them, or start a new run "
                    "with --weights {run}.",
                    part=part, run=found.path, differences=_differences(found, None if then is None else then.n, now),
                )
            )  # fmt: skip


def _differences(found: RunRecord, n_then: int | None, now: Data) -> Message:
    had, have = set(found.data.classes), set(now.classes)
    gone, new = sorted(had - have), sorted(have - had)
    differences: list[Message] = []
    if n_then is not None and n_then != len(now):
        differences.append(_n("{n} image then, {now} now", "{n} images then, {now} now", n_then, now=len(now)))
    if gone:
        differences.append(_("lost classes {names}", names=", ".join(gone[:3])))
    if new:
        differences.append(_("new classes {names}", names=", ".join(new[:3])))
    if not differences:
        return _n(
            "{n} image as before, but with another name, content or label",
            "{n} images as before, but with other names, contents or labels",
            len(now),
        )
    return joined(", ", differences)
