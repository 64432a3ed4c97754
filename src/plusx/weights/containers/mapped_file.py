"""Files opened to be read as data: regular ones only, mapped into memory, every piece checked against what is there."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from plusx.errors import WeightsError
from plusx.files import open_regular
from plusx.i18n import _


def map_file(path: Path) -> memoryview:
    """The bytes of a regular file that is not empty, mapped and not read. Raises WeightsError, one line each."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: to open a pipe waits, to open a device may act
            raise WeightsError(_("{path} is not a regular file. Give the checkpoint file itself.", path=path))
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise WeightsError(_("{path} is empty. Fetch it again.", path=path))
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise WeightsError(_("{path} does not exist. Check the path.", path=path)) from error
    except PermissionError as error:
        raise WeightsError(_("{path} may not be read by this user. Change its permissions.", path=path)) from error
    except (OSError, ValueError) as error:
        raise WeightsError(_("{path} cannot be opened. Check the path and the disk.", path=path)) from error


def shown(text: object, most: int = 60) -> str:
    """Text from a file, safe to print: one line, nothing that a terminal obeys, a bounded length.

    >>> shown("a\\x1b[31m" + "b" * 100, 20)
    'a?[31mbbbbbbbbbbbbb…'
    """
    words = text if isinstance(text, str) else type(text).__name__
    words = words if len(words) <= most else words[: most - 1] + "…"
    return "".join(c if c.isprintable() else "?" for c in words)
