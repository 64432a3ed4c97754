"""Small data sets of every format, written by other hands than plusx's: pickle, tarfile, pyarrow, csv."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, h: int = 12, w: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def png(seed: int, mode: str = "RGB", h: int = 12, w: int = 10) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(seed, h, w)).convert(mode).save(out, "PNG")
    return out.getvalue()


def image(path: Path, seed: int, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed, mode))
    return path


def tar(path: Path, members: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, raw in members:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return path


def samples(n: int, first: int = 0, classes: int = 2, kind: str = "cls") -> list[tuple[str, bytes]]:
    """n samples as WebDataset writes them, labels 0, 1, 0, 1 …"""
    found: list[tuple[str, bytes]] = []
    for i in range(first, first + n):
        label = i % classes
        text = {"cls": f"{label}", "txt": f"kind {label}", "json": f'{{"label": {label}, "id": {i}}}'}[kind]
        found += [(f"s/{i:05d}.png", png(i)), (f"s/{i:05d}.{kind}", text.encode())]
    return found


def cifar10(root: Path, n: int = 20, protocol: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10's Python version, n images a batch; returns the images (6n, 32, 32, 3) and labels as written."""
    root.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(0).integers(0, 256, (6 * n, 3072), dtype=np.uint8)
    labels = np.arange(6 * n) % 10
    for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        part = slice(i * n, (i + 1) * n)
        batch = {b"batch_label": name.encode(), b"labels": labels[part].tolist(), b"data": rows[part], b"filenames": []}
        (root / name).write_bytes(pickle.dumps(batch, protocol=protocol))
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": names, "num_vis": 3072}, protocol=protocol))
    # plane by plane, row by row, as the publisher describes it
    return np.stack([rows[:, k * 1024 : (k + 1) * 1024].reshape(-1, 32, 32) for k in range(3)], -1), labels


def records(root: Path, classes: int, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """The binary version of CIFAR-10 or CIFAR-100."""
    root.mkdir(parents=True, exist_ok=True)
    files = (
        [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
        if classes == 10
        else ["train.bin", "test.bin"]
    )
    count = n * len(files)
    planes = np.random.default_rng(1).integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = np.arange(count) % classes
    for i, name in enumerate(files):
        with (root / name).open("wb") as file:
            for j in range(i * n, (i + 1) * n):
                head = bytes([labels[j]]) if classes == 10 else bytes([7, labels[j]])
                file.write(head + planes[j].tobytes())
    names = [f"name {i}" for i in range(classes)]
    (root / ("batches.meta.txt" if classes == 10 else "fine_label_names.txt")).write_text("\n".join(names) + "\n\n")
    return planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels
