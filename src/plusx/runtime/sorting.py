"""Copying images into one folder for each class."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from pathlib import Path

from plusx.errors import DataError
from plusx.i18n import Message, _
from plusx.runtime.predicting import Prediction

UNSURE, UNREAD = "_unsure", "_not_read"


class Sorter:
    """Copies each image into `root`/CLASS; without a class into _unsure, unreadable ones into _not_read."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.failed: list[Message] = []
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                _(
                    "--sort-into {folder} cannot be made ({why}). Choose another place.",
                    folder=root,
                    why=error.strerror,
                )
            ) from error

    def __call__(self, row: Prediction) -> None:
        """Copy one image. A missing file or a full disk is noted in `failed`, and the next image follows."""
        path = Path(row.path)
        kind = UNREAD if row.error is not None else folder_name(row.top[0][0]) if row.top else UNSURE
        try:
            if not path.is_file():  # never a pipe, which would not end
                raise OSError(_("not a regular file"))
            (self.root / kind).mkdir(exist_ok=True)
            target = free_name(self.root / kind / path.name, path)
            if target is not None:
                copy_whole(path, target)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = _("the disk is full") if full else error.strerror or error.args[0]
            self.failed.append(_("{path} ({why})", path=row.path, why=why))


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file with its times: `target` is whole, or does not exist. Raises OSError."""
    aside = target.with_name(f".plusx-{os.getpid()}.part")
    try:
        shutil.copy2(source, aside)
        aside.replace(target)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def free_name(wanted: Path, source: Path) -> Path | None:
    """`wanted`, or with -2, -3, … when other images have the name; None when the same image exists there."""
    number, target = 1, wanted
    while os.path.lexists(target):
        if target.is_file() and filecmp.cmp(source, target, shallow=False):
            return None
        number += 1
        target = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return target


def folder_name(label: str) -> str:
    """A class as the name of one folder: a bundle may come from anywhere, and call a class ../../etc.

    >>> folder_name("../etc"), folder_name("cat/dog"), folder_name("..")
    ('.._etc', 'cat_dog', '_..')
    """
    name = "".join("_" if c in "/\\:\0" or not c.isprintable() else c for c in label)[:100].rstrip() or "_"
    return f"_{name}" if name in (".", "..", UNSURE, UNREAD) else name
