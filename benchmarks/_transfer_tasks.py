"""Fashion-MNIST or the digits as folders of PNGs, few images a class: OUT/data/train, OUT/data/val and OUT/test.

    python benchmarks/_transfer_tasks.py OUT fashion-mnist|digits IMAGES SEED VAL TEST

The seed draws the images of every part. Training and validation images come from the data set's training part, test images
from its test part.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from plusx.data import Data, open_data


def main() -> None:
    out, name = Path(sys.argv[1]), sys.argv[2]
    images, seed, val, test = map(int, sys.argv[3:7])
    whole = open_data(name)
    rng = np.random.default_rng(seed)
    for label, word in enumerate(whole.train.classes):
        folder = word.replace("/", "-")
        drawn = rng.permutation(np.flatnonzero(whole.train.labels == label))
        if len(drawn) < images + val:
            sys.exit(f"{name} has {len(drawn)} training images of {word}, fewer than {images} + {val}")
        write(whole.train, drawn[:images], out / "data/train" / folder)
        write(whole.train, drawn[images : images + val], out / "data/val" / folder)
        held = rng.permutation(np.flatnonzero(whole.val.labels == label))
        write(whole.val, held[:test], out / "test" / folder)


def write(data: Data, indices: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in indices:
        Image.fromarray(data.read(int(i), "L")[..., 0]).save(folder / f"{i:05d}.png")


if __name__ == "__main__":
    main()
