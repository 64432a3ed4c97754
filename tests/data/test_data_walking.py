"""Which files are images: told by content, the same for training and predicting; litter is passed over, links may loop."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from making import image, pixels, png
from PIL import Image

from plusx.data import open_data
from plusx.errors import DataError
from plusx.images import Tally, Walk, decode
from plusx.images.magic import FORMATS, format_of, verdict
from plusx.runtime.inputs import find_images


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(1)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_pillow_writes_is_known_by_its_first_bytes(kind):
    assert format_of(encoded(kind)[:160]) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypmp42", None),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"8BPS\0\1", "PSD"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"BM and other companies", None),
        (b"P5 is a file; P6 another"[1:], None),
        (b"path,label\n", None),
        (b"", None),
    ],
)
def test_other_heads(head, kind):
    assert format_of(head) == kind


def test_a_raw_is_not_taken_for_the_tiff_it_begins_as():
    assert verdict(encoded("TIFF")[:160], ".tif") == "" == verdict(encoded("TIFF")[:160], "")
    assert "DNG is a format plusx does not read" in (verdict(encoded("TIFF")[:160], ".dng") or "")


def odd_folder(root: Path) -> tuple[Path, set[str]]:
    """Two classes with every oddity; and the names that hold images that can be read."""
    for name in ("ant", "bee"):
        for i in range(3):
            image(root / name / f"{i}.png", i + (10 if name == "bee" else 0))
    good = {f"{name}/{i}.png" for name in ("ant", "bee") for i in range(3)}
    for name, raw in (
        ("a.jpg_large", encoded("JPEG")),
        ("bare", png(31)),
        ("phone.HEIC", encoded("JPEG")),
        ("x.txt", png(32)),
    ):
        (root / "ant" / name).write_bytes(raw)
        good.add(f"ant/{name}")
    for name in (
        ".ipynb_checkpoints/0.png", "ant/.ipynb_checkpoints/0.png", "__MACOSX/ant/._0.png", "ant/._0.png", "bee/.DS_Store",
        "bee/Thumbs.db", "bee/desktop.ini", "bee/@eaDir/0.png",
    ):  # fmt: skip
        image(root / name, 1)
    (root / "bee" / "notes.txt").write_text("no image")
    (root / "bee" / "more.csv").write_text("a,b")
    (root / "bee" / "inside.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    return root, good


def test_training_and_predicting_choose_the_same_files(tmp_path):
    root, good = odd_folder(tmp_path / "photos")
    splits = open_data(root)
    assert {*splits.train.names, *splits.val.names} == good
    tally = Tally()
    items = list(find_images([str(root)], tally))
    assert {str(Path(item.name).relative_to(root)) for item in items if item.error is None} - {"bee/inside.jpg"} == good
    assert tally.words() == f"2 files are no images and were skipped (the first: {root}/bee/more.csv)"
    assert splits.notes == (tally.words(),)
    assert [(row.path, row.reason) for row in splits.skipped] == [
        (str(root / "bee/inside.jpg"), "HEIC is a format plusx does not read; convert it to JPEG or PNG")
    ]
    with pytest.raises(DataError, match=r"inside\.jpg: HEIC is a format plusx does not read"):
        decode(root / "bee/inside.jpg", "RGB")
    pattern = {str(Path(item.name).relative_to(root)) for item in find_images([f"{root}/*/*"])}
    assert pattern == good | {"bee/inside.jpg"}


def test_a_named_file_is_read_by_content(tmp_path):
    (tmp_path / "a.HEIC").write_bytes(encoded("JPEG"))
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic")
    items = list(find_images([str(tmp_path / "a.HEIC"), str(tmp_path / "b.heic")]))
    assert [item.error is None for item in items] == [True, False]


def test_a_link_does_not_take_another_class(tmp_path):
    for name in ("ant", "bee"):
        for i in range(4):
            image(tmp_path / name / f"{i}.png", i + (10 if name == "bee" else 0))
    (tmp_path / "ant" / "all").symlink_to(tmp_path)
    (tmp_path / "ant" / "other").symlink_to(tmp_path / "bee")
    splits = open_data(tmp_path)
    assert {*splits.train.names, *splits.val.names} == {f"{name}/{i}.png" for name in ("ant", "bee") for i in range(4)}
    assert [found.name for found in Walk(tmp_path)] == sorted(
        f"{name}/{i}.png" for name in ("ant", "bee") for i in range(4)
    )


def test_files_with_an_images_suffix_are_not_opened(tmp_path, monkeypatch):
    """A million images cost their listing; only other names are looked into."""
    root, _ = odd_folder(tmp_path / "photos")
    seen: list[str] = []
    from plusx.images import walking

    real = walking.read_head
    monkeypatch.setattr(walking, "read_head", lambda path: (seen.append(Path(path).name), real(path))[1])
    list(Walk(root))
    assert sorted(seen) == ["a.jpg_large", "bare", "more.csv", "notes.txt", "phone.HEIC", "x.txt"]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_small_range_in_16_bits_is_said(tmp_path, suffix):
    for name in ("ill", "well"):
        (tmp_path / name).mkdir()
        for i in range(4):
            values = np.random.default_rng(i).integers(0, 4096, (20, 20)).astype(np.uint16)
            values[0, 0] = 4095
            Image.fromarray(values).save(tmp_path / name / f"{i}.{suffix}")
    (note,) = open_data(tmp_path).notes
    levels = len(np.unique(np.round(np.arange(4096) / 257)))
    assert note.startswith("8 of 8 images have 16 bits a channel, and no value above 4095 of 65535.")
    assert f"{levels} of 256 levels" in note
    assert open_data(tmp_path).notes == (note,), "the kept index says it as well"
    Image.fromarray(np.full((20, 20), 65535, np.uint16)).save(tmp_path / "ill" / f"0.{suffix}")
    (note,) = open_data(tmp_path).notes
    assert note == "8 of 8 images have 16 bits a channel and are read as 8, by round(value / 257)"
    shutil.rmtree(tmp_path / "ill")
