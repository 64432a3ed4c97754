"""Mutated checkpoints: each ends in one WeightsError or a correct read, soon and in little memory; nothing else comes out.

A hundred a format by default, 2,500 in the slow tier. Mutations of zips also go into the pickle, code and graph inside, with
lengths and checksums made right again, or all would end at the first check.
"""

from __future__ import annotations

import io
import random
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weight_files import leaves, small_files

from mutating import CHANGES, spliced
from plusx.errors import WeightsError
from plusx.weights.containers import read

SECONDS, BYTES = 10, 64 << 20
MANY = [pytest.param(100, id="few"), pytest.param(2500, id="many", marks=pytest.mark.slow)]
FORMATS = (
    "safetensors", "zip", "legacy", "model", "torchscript", "export", "pickle", "pickle of tensors", "paddle", "npz", "deflated zip",
)  # fmt: skip
ZIPS = ("zip", "model", "torchscript", "export", "npz")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    found = small_files(tmp_path_factory.mktemp("whole"))
    assert set(found) == set(FORMATS)
    return found


def mutant(raw: bytes, other: bytes, number: int) -> bytes:
    """Bytes of mutant `number`: one to ten changes, one in ten with the tail of a file of another format."""
    draw = random.Random(number)
    out = bytearray(raw)
    for _ in range(draw.choice((1, 1, 2, 4, 10))):
        out = draw.choice(CHANGES)(out, draw)
    if draw.random() < 0.1 and out:
        out = spliced(out, other, draw)
    return bytes(out)


def inner_mutant(raw: bytes, number: int) -> bytes:
    """A zip with one of its parts mutated and packed rightly again."""
    draw = random.Random(number)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(out, "w") as archive:
        names = source.namelist()
        chosen = draw.choice([name for name in names if name.endswith((".pkl", ".py", ".json", ".npy"))])
        for name in names:
            part = bytearray(source.read(name))
            if name == chosen:
                for _ in range(draw.choice((1, 1, 2, 4))):
                    part = draw.choice(CHANGES)(part, draw)
            archive.writestr(name, bytes(part))
    return out.getvalue()


def held(path: Path) -> list[np.ndarray] | None:
    """The values read, or None where the file is refused. Every other end fails."""
    begin = time.perf_counter()
    tracemalloc.start()
    try:
        found = read(path)
        assert isinstance(found.container, str) and isinstance(found.layers, dict)
        values = [tensor.array() for tensor in leaves(found.tree)]
        for tensor, array in zip(leaves(found.tree), values, strict=True):
            assert array.shape == tensor.shape
        return values
    except WeightsError as error:
        line = str(error)
        assert "\n" not in line and line.isprintable() and len(line) < 700 and path.name in line, line
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert time.perf_counter() - begin < SECONDS
        assert peak < BYTES


def each(folder: Path, make: Callable[[int], bytes], count: int) -> tuple[int, int]:
    """How many of the mutants were read, and how many refused."""
    path = folder / "mutant.bin"
    read_, refused = 0, 0
    for number in range(count):
        path.write_bytes(make(number))
        try:
            values = held(path)
        except Exception as error:  # said with its number, so that it can be made again
            raise AssertionError(f"mutant {number}: {type(error).__name__}: {error}") from error
        read_, refused = read_ + (values is not None), refused + (values is None)
    return read_, refused


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files(tmp_path, files, name, count):
    other = files["legacy" if name != "legacy" else "safetensors"]
    _, refused = each(tmp_path, lambda number: mutant(files[name], other, number), count)
    assert refused > count // 10  # the mutations do reach what is checked


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("name", ZIPS)
def test_mutated_parts_of_zips(tmp_path, files, name, count):
    read_, refused = each(tmp_path, lambda number: inner_mutant(files[name], number), count)
    assert refused > count // 50 and read_ > 0


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("name", ["zip", "deflated zip", "npz"])
def test_what_is_read_of_a_mutated_zip_is_what_was_written(tmp_path, files, name, count):
    """Checksums: a value that changed on the way is noticed, never used."""
    path = tmp_path / "w.bin"
    path.write_bytes(files[name])
    whole = [array.tobytes() for array in held(path) or []]
    draw = random.Random(1)
    some = 0
    for number in range(count):
        raw = bytearray(files[name])
        for _ in range(draw.choice((1, 1, 3))):
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        path.write_bytes(raw)
        values = held(path)
        if values is not None:
            some += 1
            assert [array.tobytes() for array in values] == whole, number
    assert some > 0


@pytest.mark.parametrize("count", MANY)
def test_what_is_read_of_a_mutated_safetensors_file_is_what_its_own_library_reads(tmp_path, files, count):
    import safetensors.torch

    path = tmp_path / "mutant.safetensors"
    both = 0
    for number in range(count):
        path.write_bytes(mutant(files["safetensors"], files["legacy"], number))
        try:
            found: dict[str, Any] = dict(read(path).tree)
        except WeightsError:
            continue
        theirs = safetensors.torch.load(path.read_bytes())  # it reads all that is read here
        assert set(theirs) == set(found)
        for name, tensor in theirs.items():
            assert found[name].array().tobytes() == tensor.numpy().tobytes()
        both += 1
    assert both > count // 50
