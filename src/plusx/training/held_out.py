"""Which images to evaluate a trained network on, so that it is not asked for what it has learnt by heart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from plusx.bundles import Bundle, read_run
from plusx.data import BUILT_IN, Data, open_eval
from plusx.errors import DataError

Progress = Callable[[int, int], None]


def open_held_out(
    where: str | Path, bundle: Bundle, *, skip_bad: bool = False, progress: Progress | None = None
) -> tuple[Data, bool]:
    """Data to evaluate `bundle` on, and whether it is the share that its own training held out.

    That share is taken when `where` is the folder of the run, or its share has the fingerprint of the run's: else a
    network would be praised for its training images. Raises DataError.
    """
    made = bundle.provenance.get("data", {})
    share, seed = made.get("val_split"), bundle.provenance.get("seed")
    if isinstance(share, float) and isinstance(seed, int):
        own = _same_place(where, bundle)
        try:
            data = open_eval(where, bundle.classes, skip_bad=skip_bad, val_split=share, seed=seed, progress=progress)
        except DataError:
            if own:
                raise
        else:
            if own or data.fingerprint == made.get("val", {}).get("fingerprint"):
                return data, True
    return open_eval(where, bundle.classes, skip_bad=skip_bad, progress=progress), False


def _same_place(where: str | Path, bundle: Bundle) -> bool:
    run = bundle.path.parent
    if where in BUILT_IN or not (run / "run.json").is_file():
        return False
    return read_run(run).data.get("path") == str(Path(where).expanduser().resolve())
