"""Draws docs/drawings anew (make drawings). Each drawing is one plusx draw command; a test fails when one is stale."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from plusx.cli.main import main

FOLDER = Path(__file__).resolve().parents[1] / "docs/drawings"

PICTURES = {
    "resnet34.svg": "resnet34",
    "resnet34-dark.svg": "resnet34 --theme dark",
    "resnet34.zh.svg": "resnet34 --lang zh",
    "resnet50.svg": "resnet50",
    "resnet50-dark.svg": "resnet50 --theme dark",
    "resnet50.zh.svg": "resnet50 --lang zh",
    # the notes' other figures: F(x) beside F(x) + x, and one layer of two blocks
    "plain-and-residual.svg": "plain18 until=layer1.0 --diff 'resnet18 until=layer1.0' --detail ops",
    "one-layer.svg": "resnet18 until=layer1 --detail ops --unfold",
    "plain18-resnet18.svg": "plain18 --diff resnet18",
    "resnet50-v1.svg": "resnet50 stride_in=1x1 --diff resnet50 --detail stages",
    "resnet50-dilated.svg": "resnet50 --diff 'resnet50 output_stride=8'",
    "resnet50_siamrpn.svg": "resnet50_siamrpn",
    "preresnet110.svg": "preresnet110",
}
"""File name to the words behind `plusx draw`."""


def draw_all(folder: Path) -> None:
    """Draws every drawing into a folder and removes those that are no longer listed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, words in PICTURES.items():
        if main(
            ["draw", *shlex.split(words), "-o", str(folder / name), *([] if "--lang" in words else ["--lang", "en"])]
        ):
            sys.exit(2)
    for stray in set(folder.glob("*.svg")) - {folder / name for name in PICTURES}:
        stray.unlink()


if __name__ == "__main__":
    draw_all(FOLDER)
