"""Whether a directory takes a new run: what a run leaves that was killed before it wrote run.json does not count."""

from __future__ import annotations

from pathlib import Path

from plusx.bundles.atomic import is_leftover, remove_dir
from plusx.bundles.writing import LOCK, held_error, run_holder
from plusx.errors import BundleError
from plusx.i18n import _
from plusx.locks import UnsupportedLockError

RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"
FIRST_CHECKPOINT = "step-00000000"
"""The weights that a run begins with, where they cannot be computed again."""
FIRST_BUNDLE = "first"
"""The same of a run in stages, a bundle beside the checkpoints. It goes when the last stage is over."""


def clear_unbegun(path: Path) -> None:
    """Removes the first weights of a start that was killed before it wrote run.json. Raises RunError."""
    if (path / CHECKPOINTS).is_dir() and not (path / RUN_FILE).exists():
        remove_dir(path / CHECKPOINTS)


def check_output_dir(path: str | Path, *, locked: bool = False) -> None:
    """Raise BundleError when a new run cannot go to `path`, because something is there.

    What a run leaves that was killed before it wrote run.json does not count: it had not begun. `locked`: by this process.
    """
    path = Path(path)
    if (path / RUN_FILE).exists():
        raise BundleError(
            _("{path} already holds a run. Choose another --out, or resume it with --resume {path}.", path=path)
        )
    if not path.exists():
        return
    if not path.is_dir() or not is_unbegun(path, empty=True):
        raise BundleError(_("{path} exists and is not empty. Choose another --out.", path=path))
    try:
        holder = None if locked else run_holder(path)
    except UnsupportedLockError:
        return
    if holder is not None:
        raise held_error(path, holder)


def is_unbegun(path: Path, *, empty: bool = False) -> bool:
    """Whether the directory holds nothing but what a run leaves that was killed before it wrote run.json; `empty`: or nothing."""
    inside = list(path.iterdir())
    return (empty or bool(inside)) and all(_is_first_trace(item, path) for item in inside)


def _is_first_trace(item: Path, run: Path) -> bool:
    if item.name == CHECKPOINTS and item.is_dir():
        first = (item / FIRST_CHECKPOINT, item / FIRST_BUNDLE)
        return all(inside in first or any(is_leftover(inside, one) for one in first) for inside in item.iterdir())
    gone = is_leftover(item, run / CHECKPOINTS)
    return gone or item.name == LOCK or is_leftover(item, run / RUN_FILE)
