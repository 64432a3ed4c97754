"""One image in a hundred is bad: the index names exactly those, and what is left is seen once an epoch, whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from making import tar
from PIL import Image

from plusx.data import Splits, open_data, permutation
from plusx.images import Probe

N = 300
BAD = {17: "truncated", 101: "text", 250: "empty"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def jpeg(i: int) -> bytes:
    small = np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((48, 40), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    whole = out.getvalue()
    return {"truncated": whole[: len(whole) // 2], "text": b"not an image\n", "empty": b""}.get(BAD.get(i, ""), whole)


def label(i: int) -> str:
    return "ant" if i % 3 else "bee"


def in_folders(root: Path) -> None:
    for i in range(N):
        path = root / label(i) / f"{i:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(i))


def in_shards(root: Path) -> None:
    for k in range(3):
        rows = range(k * 100, (k + 1) * 100)
        pairs = [pair for i in rows for pair in ((f"{i:04d}.jpg", jpeg(i)), (f"{i:04d}.txt", label(i).encode()))]
        tar(root / f"{k}.tar", pairs)


def in_parquet(root: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"image": [jpeg(i) for i in range(N)], "label": [label(i) for i in range(N)]})
    root.mkdir()
    pq.write_table(table, root / "a.parquet", row_group_size=64)


def in_a_list(root: Path) -> None:
    in_folders(root / "images")
    (root / "train.csv").write_text("".join(f"images/{label(i)}/{i:04d}.jpg,{label(i)}\n" for i in range(N)))


FORMS = {"folder": in_folders, "tar": in_shards, "parquet": in_parquet, "csv": in_a_list}


def number(name: str) -> int:
    return int(Path(name).stem)


def hold(splits: Splits) -> None:
    """Exactly the bad are named, each once, and two epochs see each good training image once, all of them readable."""
    assert sorted(number(row.path) for row in splits.skipped) == sorted(BAD)
    good = {number(name) for data in (splits.train, splits.val) for name in data.names}
    assert good == set(range(N)) - set(BAD) and len(splits.train) + len(splits.val) == len(good)
    train = splits.train
    for epoch in range(2):
        seen = [number(train.names[i]) for i in permutation(len(train), seed=5, epoch=epoch)]
        assert sorted(seen) == sorted(map(number, train.names)) and len(set(seen)) == len(seen)
    for i in range(len(train)):
        assert train.read(i).shape == (40, 48, 3)


@pytest.mark.parametrize("form", FORMS)
def test_exactly_the_bad_are_left_out(tmp_path, form):
    FORMS[form](tmp_path / "set")
    hold(open_data(tmp_path / "set"))
    hold(open_data(tmp_path / "set"))  # and from the kept index


@pytest.mark.parametrize("form", FORMS)
def test_without_the_first_look_it_would_not_hold(tmp_path, form, monkeypatch):
    """The control: an index that believes every file."""
    for room in ("folders", "shards"):
        monkeypatch.setattr(f"plusx.data.{room}.probe", lambda source: Probe(48, 40, False))
    FORMS[form](tmp_path / "set")
    with pytest.raises(AssertionError):
        hold(open_data(tmp_path / "set"))
