"""plusx predict beyond naming: resume, shards, sorting, formats, engines; and a disk full of traps."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.cli.main import main
from shipping import write_jpegs

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")


def predict(*words: object) -> int:
    return main(["predict", *map(str, words), "--engine", "openvino", "--precision", "fp32"])


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_resume_after_a_kill(form: str, photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    """A process killed in the middle of its work, then the same command with --resume: the file of an undisturbed one."""
    folder = jpegs[0].parent
    assert predict(photos, folder, "-o", tmp_path / f"whole.{form}") == 0
    whole, out = (tmp_path / f"whole.{form}").read_bytes(), tmp_path / f"out.{form}"
    code = f"""
import sys, time
from plusx.runtime import predicting as p
real = p.Predictor.stream
def slow(self, items):
    for row in real(self, items):
        time.sleep(0.1)
        yield row
p.Predictor.stream = slow
from plusx.cli.main import main
main({["predict", str(photos), str(folder), "-o", str(out), "--engine", "openvino", "--precision", "fp32"]!r})
"""
    child = subprocess.Popen([sys.executable, "-c", code])
    while not out.exists() or out.read_bytes().count(b"\n") < 4:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert len(out.read_bytes()) < len(whole)
    out.write_bytes(out.read_bytes()[:-5])  # and the last row torn
    assert predict(photos, folder, "-o", out, "--resume") == 0
    assert out.read_bytes() == whole
    assert predict(photos, folder, "-o", out, "--resume") == 0, "a finished one has nothing left to do"
    assert out.read_bytes() == whole


def test_resume_with_another_network_is_refused(
    photos: Path, jpegs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from plusx.bundles import open_bundle, save_bundle

    found = open_bundle(photos)
    weights = {key: value * 1.3 if key == "fc.weight" else value for key, value in found.weights().items()}
    other = save_bundle(tmp_path / "other", found.spec, found.classes, found.preprocessing, weights)
    assert predict(photos, *jpegs[:4], "-o", tmp_path / "o.csv") == 0
    before = (tmp_path / "o.csv").read_bytes()
    assert predict(other, *jpegs, "-o", tmp_path / "o.csv", "--resume") == 2
    assert "gives another row now" in capsys.readouterr().err
    assert (tmp_path / "o.csv").read_bytes() == before


def test_a_table_lines_up_and_a_threshold_leaves_out(
    photos: Path, jpegs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, *jpegs[:2], "none.jpg", "--top", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.rstrip().find("  ") for line in lines[:2]}) == 1 and lines[2].startswith("none.jpg ")
    assert predict(photos, jpegs[0], "--threshold", "1") == 0
    assert capsys.readouterr().out.rstrip().endswith("unsure")


def test_sort_into(photos: Path, jpegs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(photos, *jpegs, "--sort-into", tmp_path / "out", "-o", tmp_path / "o.csv") == 0
    rows = list(csv.DictReader((tmp_path / "o.csv").open()))
    got = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.jpg")}
    assert got == {f"{row['class1']}/{Path(row['path']).name}" for row in rows}
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(jpegs[0], "a.jpg")
    assert predict(photos, tmp_path / "a.tar", "--sort-into", tmp_path / "out") == 2
    assert "Unpack it first" in capsys.readouterr().err


def test_tar_and_parquet_in_and_parquet_out(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for path in jpegs[:3]:
            archive.add(path, path.name)
    pyarrow.parquet.write_table(pyarrow.table({"image": [p.read_bytes() for p in jpegs[:3]]}), tmp_path / "a.parquet")
    found = []
    for source in ((tmp_path / "a.tar",), (tmp_path / "a.parquet",), tuple(jpegs[:3])):
        assert predict(photos, *source, "-o", tmp_path / "out.parquet") == 0
        found.append(
            [
                (row["error"], row["class1"], row["p1"])
                for row in pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
            ]
        )
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--resume"], "Name it with -o FILE.csv or -o FILE.jsonl"), (["--format", "parquet"], "Name a file with -o FILE.parquet"),
        (["--threshold", "2"], "--threshold takes a finite number from 0 to 1, not '2'"), (["--device", "cpu"], "--device cpu needs torch, but --engine openvino was asked for"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line(
    words: list[str], says: str, photos: Path, jpegs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, jpegs[0], *words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("plusx: ") and says in err and err.count("\n") == 1


# ---- a disk full of traps ----


def traps(root: Path) -> dict[str, str]:
    """File name → what its row must say; "" for one that is an image after all."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    jpeg = write_jpegs(root / "ok", 1)[0].read_bytes()
    image.save(root / "good.png")
    png = (root / "good.png").read_bytes()
    (root / "torn.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (root / "torn.png").write_bytes(png[: len(png) // 2])
    (root / "empty.jpg").write_bytes(b"")
    (root / "text.jpg").write_text("no image")
    (root / "really-a.png.jpg").write_bytes(png)  # a wrong extension
    (root / "polyglot.jpg").write_bytes(jpeg + b"PK\x03\x04 and a zip behind it")
    (root / "bomb.png").write_bytes(png_of(50_000, 50_000))
    (root / "edge.png").write_bytes(png_of(50_000, 2_000))
    Image.new("1", (50_000, 40)).save(root / "long.png")  # an edge of 50,000 px, but few pixels
    frames = [Image.fromarray(noise // k) for k in (1, 2, 3)]
    frames[0].save(root / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(root / "pages.tiff", save_all=True, append_images=frames[1:])
    os.mkfifo(root / "pipe.jpg")
    (root / "folder.jpg").mkdir()
    (root / "folder.jpg" / "inside.png").write_bytes(png)
    (root / "self.jpg").symlink_to(root / "self.jpg")
    (root / "ring").symlink_to(root)
    (root / "hopeful.heic").write_bytes(b"....ftypheic")
    return {
        "torn.jpg": "JPEG is damaged", "torn.png": "damaged", "empty.jpg": "file is empty", "text.jpg": "not an image that plusx reads",
        "bomb.png": "make it smaller", "edge.png": "make it smaller", "pipe.jpg": "not a regular file",
        "self.jpg": "a link to nothing", "hopeful.heic": "convert it to JPEG or PNG", "good.png": "", "really-a.png.jpg": "",
        "polyglot.jpg": "", "long.png": "", "moving.gif": "", "pages.tiff": "", "inside.png": "", "000.jpg": "",
    }  # fmt: skip


def png_of(width: int, height: int) -> bytes:
    """The header of a PNG that promises so many pixels, and nothing behind it."""
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\0IDAT"


def test_every_trap_is_one_row(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    want = traps(root)
    begun = time.monotonic()
    assert predict(photos, root, "-o", tmp_path / "rows.csv") == 0
    assert time.monotonic() - begun < 20, "something waited"
    rows = {Path(row["path"]).name: row for row in csv.DictReader((tmp_path / "rows.csv").open())}
    assert set(rows) == set(want)
    for name, reason in want.items():
        assert (reason in rows[name]["error"]) if reason else not rows[name]["error"], (name, rows[name]["error"])
        assert bool(rows[name]["class1"]) is not bool(reason)
        assert str(root) not in rows[name]["error"], "the reason repeats the path"


def test_a_file_that_vanishes_on_the_way_is_a_row(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    from plusx import predictor
    from plusx.runtime import find_images

    copies = [tmp_path / f"{i}.jpg" for i in range(30)]
    for copy in copies:
        copy.write_bytes(jpegs[0].read_bytes())
    rows, seen = [], 0
    predict_ = predictor(photos, threads=1)
    for row in predict_.stream(find_images([str(tmp_path)])):
        rows.append(row)
        if not seen:
            copies[25].unlink(), copies[26].write_bytes(b"overwritten")
            seen = 1
    errors = {Path(row.path).name: row.error for row in rows if row.error}
    if predict_.plan.batch == 1:
        assert set(errors) == {"25.jpg", "26.jpg"}
    assert len(rows) == 30


# ---- scaled decoding ----


def test_exact_decode_reads_every_image_whole(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """predict, embed and evaluate: what simplejpeg is asked for, with the switch and without."""
    import simplejpeg

    asked: list[bool] = []
    real = simplejpeg.decode_jpeg

    def noting(raw: bytes, colours: str, **sizes: int) -> np.ndarray:
        asked.append(bool(sizes))
        return real(raw, colours, **sizes)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", noting)
    for name in ("class 0", "class 1", "class 2"):
        (tmp_path / "data/val" / name).mkdir(parents=True), (tmp_path / "data/train" / name).mkdir(parents=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (200, 240, 3), dtype=np.uint8)
        for part in ("train", "val"):
            Image.fromarray(pixels).save(tmp_path / "data" / part / name / "large.jpg")
    data = tmp_path / "data"
    commands = {
        "predict": ["predict", photos, data / "val", "--engine", "openvino", "--precision", "fp32"],
        "embed": ["embed", photos, data / "val", "-o", tmp_path / "v.npy"],
        "evaluate": ["evaluate", photos, "--data", data, "--device", "cpu"],
    }
    for name, words in commands.items():
        for switch, scaled in ((), True), (("--exact-decode",), False):
            assert main([*map(str, words), *switch]) == 0, name
            capsys.readouterr()
            # a data folder is looked through first, at the smallest scale there is
            assert len(asked) >= 3 and asked[-3:] == [scaled] * 3, (name, switch)
            asked.clear()
