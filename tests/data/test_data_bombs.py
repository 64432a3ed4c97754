"""Archives that unpack to much more than they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from plusx.data import open_data
from plusx.data.archive import MAX_RATIO, members, open_stream
from plusx.errors import DataError
from plusx.images import Preprocessing
from plusx.runtime import pipeline
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.inputs import Item, find_images
from plusx.runtime.pipeline import Pipeline


def png(shade: int = 0, tail: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), shade).save(out, "PNG")
    return out.getvalue() + bytes(tail)


def tar_of(contents: list[bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number, raw in enumerate(contents):
            about = tarfile.TarInfo(f"{number:05d}.png")
            about.size = len(raw)
            archive.addfile(about, io.BytesIO(raw))
    return out.getvalue()


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_a_tar_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path, suffix, pack):
    path = tmp_path / f"a.tar{suffix}"
    path.write_bytes(pack(tar_of([png(tail=70 << 20), png(tail=70 << 20)])))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="unpacks to more than 100 times its size"), open_stream(path) as stream:
        list(members(stream))
    rows = list(find_images([str(path)]))
    assert len(rows) <= 1 + 1 and "unpacks to more than 100 times its size" in str(rows[-1].error)


def test_an_archive_of_tiny_images_is_no_bomb(tmp_path, monkeypatch):
    """1,000 equal images of 70 bytes, each padded to 1,024 by tar: far less than the ratio even without the spare bytes."""
    monkeypatch.setattr("plusx.data.archive._SPARE", 0)
    path = tmp_path / "a.tar.gz"
    rng = np.random.default_rng(0)
    images = []
    for _number in range(1000):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(out, "PNG")
        images.append(out.getvalue())
    path.write_bytes(gzip.compress(tar_of(images)))
    with open_stream(path) as stream:
        assert len(list(members(stream))) == 1000
        assert stream.at < MAX_RATIO * path.stat().st_size


def test_images_of_archives_wait_in_bounded_memory(monkeypatch):
    """Never more bytes than the limit are taken out of an archive before the first of them are done."""
    monkeypatch.setattr(pipeline, "MOST_HELD", 10_000)
    taken = [0]

    class Counting:
        plan = ExecutionPlan("openvino", "fp32", 1, 4, 4)

        def infer(self, images):
            return np.zeros((len(images), 2), np.float32)

    def items():
        for number in range(50):
            taken[0] += 1
            yield Item(str(number), png(tail=4000))

    for done, (name, error, _output) in enumerate(
        Pipeline(Counting(), Preprocessing("L", 8, 8, mean=(0.5,), std=(0.5,))).run(items())
    ):  # type: ignore[arg-type]
        assert (name, error) == (str(done), None)
        assert taken[0] - done <= 3 + 1  # three of 4,000 bytes are above the limit
    assert taken == [50]


# ---- Parquet ----


def parquet(path, images, labels, **options):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    table = arrow.table({"image": arrow.array(images, arrow.binary()), "label": labels})
    pyarrow.parquet.write_table(table, path, compression="zstd", **options)


def test_a_cell_of_zeros_is_refused_from_the_footer(tmp_path):
    parquet(tmp_path / "a.parquet", [bytes(70 << 20)], [0], use_dictionary=False)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    with pytest.raises(DataError, match=r"Column image of .* has \d+ bytes that unpack to 734"):
        open_data(tmp_path / "a.parquet", cache=tmp_path)
    (row,) = find_images([str(tmp_path / "a.parquet")])
    assert "unpack to" in str(row.error)


def test_a_few_images_repeated_without_end_do_not_fill_the_disk(tmp_path):
    image = png(tail=1 << 20)
    parquet(tmp_path / "a.parquet", [image, png(1)] * 80, [0, 1] * 80, use_dictionary=["image"])
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    with pytest.raises(DataError, match="it repeats a few of them very often"):
        open_data(tmp_path / "a.parquet", cache=tmp_path / "cache")
    assert not any(files for _at, _folders, files in os.walk(tmp_path / "cache"))


def test_small_images_may_repeat(tmp_path):
    parquet(tmp_path / "a.parquet", [png(k % 7) for k in range(700)], [k % 7 for k in range(700)])
    assert len(open_data(tmp_path / "a.parquet", cache=tmp_path).train) > 500
