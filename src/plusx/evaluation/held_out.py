"""The images to evaluate a trained network on, without those that it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from plusx.bundles import Bundle, DataRecord, read_run
from plusx.data import BUILT_IN, Data, ListColumns, open_eval
from plusx.errors import DataError
from plusx.files import expanded

IndexProgress = Callable[[int, int], None]


def open_held_out(
    where: str | Path,
    bundle: Bundle,
    *,
    skip_bad: bool = False,
    progress: IndexProgress | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
) -> tuple[Data, bool]:
    """Data to evaluate `bundle` on, and whether it is the share that its own training held out.

    That share is taken when `where` is the folder of the run, or its share has the fingerprint of the run's, because
    accuracy on training images says nothing. Raises DataError.
    """
    own = _is_run_data(where, bundle)
    columns = ListColumns(path_column=path_column, label_column=label_column)
    if own and path_column is None and label_column is None:
        columns = columns_of(bundle)
    open_one = partial(open_eval, where, bundle.classes, skip_bad=skip_bad, progress=progress, **columns)
    made = bundle.provenance.data
    share, seed = made.val_split, bundle.provenance.seed
    if share is not None and seed is not None:
        try:
            data = open_one(val_split=share, seed=seed)
        except DataError:
            if own:
                raise
        else:
            if own or (made.val is not None and data.fingerprint == made.val.fingerprint):
                return data, True
    return open_one(), False


def columns_of(bundle: Bundle) -> ListColumns:
    """The columns of the CSV list that the run of a bundle was given, as `open_data` takes them."""
    run = bundle.path.parent
    data = read_run(run).data if (run / "run.json").is_file() else DataRecord()
    return ListColumns(path_column=data.path_column, label_column=data.label_column)


def _is_run_data(where: str | Path, bundle: Bundle) -> bool:
    run = bundle.path.parent
    if where in BUILT_IN or not (run / "run.json").is_file():
        return False
    return read_run(run).data.path == str(expanded(where).resolve())
