"""Whether a source is a name of weights, or a folder of this machine. The commands of the core ask it of every word, so nothing is imported for it."""

from __future__ import annotations

import re
from pathlib import Path

IMAGENET = "imagenet"
_NAME = re.compile(r"(?:torchvision|timm|keras)/.*|hf:.*|https?:/.*", re.DOTALL)


def is_name(source: str | Path) -> bool:
    """Whether a source names weights of a hub: it looks like a name, and no file or folder here is called so.

    >>> is_name("timm/resnet50.a1_in1k"), is_name("resnet50.pth")
    (True, False)
    """
    text = str(source)
    return (text == IMAGENET or _NAME.fullmatch(text) is not None) and not _exists(source)


def is_folder(source: str | Path) -> bool:
    """Whether a source is a folder of this machine. A long address is none, though the system refuses to look for it."""
    try:
        return Path(source).is_dir()
    except OSError:
        return False


def _exists(source: str | Path) -> bool:
    try:
        return Path(source).exists()
    except OSError:
        return False
