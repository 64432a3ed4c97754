"""The task "which photograph is this from": crops of the photographs in the scikit-image and scikit-learn wheels, in changed colours.

    python make_photographs.py OUT N SEED [--val 10] [--test 30]

Writes OUT/data/train, OUT/data/val and OUT/test, a folder a photograph in each, with N, --val and --test JPEGs. Training crops
come from one half of a photograph, the others from a quarter each, so no two parts share a pixel. Brightness and each channel
change at random, and half of the crops are grey, so that the mean colour alone does not tell. The same arguments give the same
files.
"""
import argparse, pathlib
import numpy as np
from PIL import Image

SCIKIT_IMAGE = ("astronaut", "brick", "camera", "chelsea", "clock", "coffee", "coins", "grass", "gravel", "hubble_deep_field",
                "immunohistochemistry", "moon", "retina", "rocket", "stereo_motorcycle")  # in the wheel; no drawings, no scanned text
SIDES = (48, 144)


def photographs():
    """Name to uint8 (h, w, 3)."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    for name in SCIKIT_IMAGE:
        found = getattr(skimage.data, name)()
        photo = np.asarray(found[0] if isinstance(found, tuple) else found)
        yield name, np.repeat(photo[..., None], 3, 2) if photo.ndim == 2 else photo[..., :3]
    yield from zip(("china", "flower"), load_sample_images().images)


def parts(photo):
    """The half and the two quarters, cut across the longer side first."""
    if photo.shape[0] > photo.shape[1]:
        return [part.swapaxes(0, 1) for part in parts(photo.swapaxes(0, 1))]
    (h, w), other = photo.shape[:2], photo[:, photo.shape[1] // 2:]
    return [photo[:, : w // 2], other[: h // 2], other[h // 2:]]


def crop(part, rng):
    side = int(rng.integers(SIDES[0], min(SIDES[1], *part.shape[:2]) + 1))
    top, left = (int(rng.integers(0, length - side + 1)) for length in part.shape[:2])
    found = part[top : top + side, left : left + side].astype(np.float32) * rng.uniform(0.6, 1.4) + rng.uniform(-25, 25, 3)
    if rng.random() < 0.5:
        found = found.mean(2, keepdims=True).repeat(3, 2)
    return Image.fromarray(np.clip(found, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out", type=pathlib.Path); a.add_argument("n", type=int); a.add_argument("seed", type=int)
    a.add_argument("--val", type=int, default=10); a.add_argument("--test", type=int, default=30); a = a.parse_args()
    for number, (name, photo) in enumerate(photographs()):
        for place, (where, count, part) in enumerate(zip(("data/train", "data/val", "test"), (a.n, a.val, a.test), parts(photo))):
            rng = np.random.default_rng((a.seed, number, place))
            folder = a.out / where / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                crop(part, rng).save(folder / f"{i:04d}.jpg", quality=90)
