"""The same images as files, in a shard and in Parquet: the loader gives the same (index, pixels), with any workers."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.data import open_data
from plusx.images import Preprocessing
from plusx.training.loader import BatchLoader
from plusx.training.recipe import Recipe
from plusx.training.schedule import Schedule

N, EPOCHS, BATCH = 23, 2, 5
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """train and val of each form; names sort alike, so image i is the same in all."""
    root = tmp_path_factory.mktemp("forms")
    images = []
    for i in range(N):
        rng = np.random.default_rng(i)
        raw = io.BytesIO()
        small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        size = (int(rng.integers(40, 90)), int(rng.integers(40, 90)))
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(raw, "JPEG" if i % 3 else "PNG")
        images.append((f"{'ab'[i >= N // 2]}", f"{i:03d}.{'jpg' if i % 3 else 'png'}", raw.getvalue()))
    for part in ("train", "val"):
        for label, name, raw in images:
            path = root / "folder" / part / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        (root / "tar").mkdir(exist_ok=True)
        with tarfile.open(root / "tar" / f"{part}.tar", "w") as archive:
            for label, name, raw in images:
                for member, content in ((name, raw), (name[:3] + ".txt", label.encode())):
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        if parquet := pytest.importorskip("pyarrow.parquet"):
            import pyarrow

            (root / "parquet").mkdir(exist_ok=True)
            table = pyarrow.table({"image": [raw for *_, raw in images], "label": [label for label, *_ in images]})
            parquet.write_table(table, root / "parquet" / f"{part}.parquet", row_group_size=4)
    return root


def digest(where: Path, workers: int, recipe: Recipe, seed: int = 4) -> str:
    """sha256 over index, label and pixels of every sample, in the order the loader gives them."""
    data = open_data(where, cache=False).train
    assert len(data) == N
    index = {data.path(i): i for i in range(N)}
    schedule = Schedule(N, BATCH, EPOCHS)
    loader = BatchLoader(
        data, schedule, recipe, Preprocessing("RGB", 36, 32, "bilinear", 1 / 255, MEAN, STD), seed, workers
    )
    out = hashlib.sha256()
    for batch in loader.batches(0, schedule.steps):
        assert not batch.skipped
        for name, label, pixels in zip(batch.names, batch.labels, batch.images, strict=True):
            out.update(f"{index[name]} {label} ".encode() + np.ascontiguousarray(pixels).tobytes())
    return out.hexdigest()


def recipe(**keys: object) -> Recipe:
    return Recipe("default", **{"size": 32, "crop": "area", "erase": 0.4, "flip": True, "shift": 4, **keys})  # type: ignore[arg-type]


@pytest.mark.parametrize("crop", ["area", "shift", "none"])
def test_forms_and_workers_change_nothing(forms, crop, monkeypatch, tmp_path):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path))
    found = {
        (form, workers): digest(forms / form, workers, recipe(crop=crop))
        for form in ("folder", "tar", "parquet")
        for workers in (0, 1, 2)
    }
    assert len(set(found.values())) == 1, found


def test_the_digest_sees_what_it_should(forms, monkeypatch, tmp_path):
    """The control: another seed, another look, another order, and one pixel's last bit each give another digest."""
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path))
    where = forms / "tar"
    found = [digest(where, 0, recipe()), digest(where, 0, recipe(), seed=5), digest(where, 0, recipe(flip=False))]
    monkeypatch.setattr("plusx.training.loader.permutation", lambda n, seed, epoch: np.arange(n))
    found.append(digest(where, 0, recipe()))
    monkeypatch.undo()
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path))
    real = BatchLoader._image

    def flipped(self: BatchLoader, at):
        image = real(self, at)
        if isinstance(image, np.ndarray) and at.position == 7:
            image = image.copy()
            image[3, 3, 1] ^= 1
        return image

    monkeypatch.setattr(BatchLoader, "_image", flipped)
    found.append(digest(where, 0, recipe()))
    assert len(set(found)) == len(found)
