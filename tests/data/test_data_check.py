"""plusx data check: every kind of defect is planted once, found, named, counted once, and clean data give none."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from making import image, pixels, png, samples, tar
from PIL import Image

from plusx.cli.main import main
from plusx.data import open_data
from plusx.data.check import KINDS, check
from plusx.errors import DataError
from plusx.images import traits
from waiting import HANG


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path):
    """train/ and val/ of two classes, 6 and 3 images each, nothing wrong with them."""
    seed = 0
    for part, n in [("train", 6), ("val", 3)]:
        for name in ("ant", "bee"):
            for i in range(n):
                image(tmp_path / part / name / f"{i}.png", seed := seed + 1)
    return tmp_path


def found(root, **keys) -> dict[str, int]:
    return {kind: count for kind, count in check(root, **keys).counts().items() if count}


def test_clean_data_have_no_findings(photos):
    report = check(photos)
    assert report.findings == () and set(report.counts()) == set(KINDS)
    assert [(row.name, row.train, row.val) for row in report.classes] == [("ant", 6, 3), ("bee", 6, 3)]


def resaved(source, target) -> None:
    """Other bytes, the same pixels."""
    Image.open(source).save(target, "BMP")


PLANTED = {
    "unreadable": lambda r: (r / "train/ant/x.png").write_bytes(b"\x89PNG nonsense"),
    "duplicates": lambda r: shutil.copy(r / "train/ant/0.png", r / "train/ant/x.png"),
    "conflicts": lambda r: shutil.copy(r / "train/ant/0.png", r / "train/bee/x.png"),
    "leaks": lambda r: shutil.copy(r / "train/ant/0.png", r / "val/ant/x.png"),
    "tiny": lambda r: Image.fromarray(pixels(77)[:2, :8]).save(r / "train/ant/x.png"),
    "cmyk": lambda r: Image.fromarray(pixels(78)).convert("CMYK").save(r / "train/ant/x.jpg"),
    "16-bit": lambda r: Image.fromarray(np.arange(144, dtype=np.uint16).reshape(12, 12) * 400).save(
        r / "val/ant/x.png"
    ),
    "rotated": lambda r: turned(r / "train/ant/x.jpg"),
    "imbalance": lambda r: [image(r / f"train/ant/m{i}.png", 1000 + i) for i in range(60)],
}


def turned(path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(79)).save(path, exif=exif)


@pytest.mark.parametrize("kind", KINDS)
def test_each_defect_is_found_and_no_other(photos, kind):
    PLANTED[kind](photos)
    assert found(photos) == {kind: 1}
    report = check(photos)
    (finding,) = report.findings
    assert kind == "imbalance" or any(path.endswith(("x.png", "x.jpg")) for path in finding.paths)
    assert "\n" not in finding.note and json.dumps(report.to_dict())


@pytest.mark.parametrize("place", ["train/ant/x.bmp", "train/bee/x.bmp", "val/bee/x.bmp"])
def test_equal_pixels_in_other_bytes_count(photos, place):
    resaved(photos / "train/ant/0.png", photos / place)
    kind = {"train/ant": "duplicates", "train/bee": "conflicts", "val/bee": "leaks"}[place.rpartition("/")[0]]
    assert found(photos) == {kind: 1}
    (finding,) = check(photos).findings
    assert sorted(finding.paths) == sorted([str(photos / "train/ant/0.png"), str(photos / place)])
    assert ("ant, bee" in finding.note) == ("bee" in place)


def test_one_group_is_one_finding_of_the_worst_kind(photos):
    for name in ("train/ant/x.png", "train/bee/x.png", "val/bee/y.png"):
        shutil.copy(photos / "train/ant/0.png", photos / name)
    assert found(photos) == {"leaks": 1} and len(check(photos).findings[0].paths) == 4


def test_the_same_numbers_in_another_shape_are_not_equal(tmp_path):
    for i, (name, shape) in enumerate([("ant", (6, 8)), ("bee", (8, 6))]):
        for k in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            raw = np.full((*shape, 3), 9, np.uint8) if k == 0 else pixels(10 * i + k)
            Image.fromarray(raw).save(tmp_path / name / f"{k}.png")
    assert found(tmp_path) == {}


def test_leaks_hang_on_the_share_that_training_holds_out(tmp_path):
    for name in ("ant", "bee"):
        for i in range(10):
            image(tmp_path / name / f"{i}.png", i if name == "ant" else 100 + i)
    val = open_data(tmp_path, seed=3).val.names
    inside = next(name for name in val if name.startswith("ant"))
    outside = next(f"ant/{i}.png" for i in range(10) if f"ant/{i}.png" not in val)
    shutil.copy(tmp_path / inside, tmp_path / outside)
    assert found(tmp_path, seed=3) == {"leaks": 1}


def test_tiny_by_a_number(photos):
    assert found(photos, tiny_px=11) == {"tiny": 18} and found(photos, tiny_px=10) == {}


def test_it_looks_into_shards_and_memory(tmp_path):
    members = [
        *samples(6),
        ("s/again.png", png(3)),
        ("s/again.cls", b"1"),
        ("s/cross.png", png(2)),
        ("s/cross.cls", b"1"),
    ]
    tar(tmp_path / "train.tar", members)
    tar(tmp_path / "val.tar", [*samples(2, first=50), ("s/leak.png", png(0)), ("s/leak.cls", b"0")])
    assert found(tmp_path) == {"leaks": 1, "conflicts": 1, "duplicates": 1}
    assert found("digits") == {}


def test_traits_of_formats():
    def saved(image, kind, **keys):
        out = io.BytesIO()
        image.save(out, kind, **keys)
        return out.getvalue()

    rgb = Image.fromarray(pixels(0))
    assert traits(saved(rgb, "JPEG")) == traits(saved(rgb, "PNG")) == traits(saved(rgb, "TIFF")) == ()
    assert traits(saved(rgb.convert("CMYK"), "TIFF")) == ("cmyk",)
    for value in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        assert traits(saved(rgb, "JPEG", exif=exif)) == (() if value == 1 else ("rotated",))
    wide = b"P6 2 2 65535\n" + bytes(24)
    assert traits(wide) == ("16-bit",)
    with pytest.raises(DataError):
        traits(b"nonsense")


def test_sixteen_bit_colour_is_seen():
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(4 * 6) for _ in range(4))
    raw = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert traits(raw) == ("16-bit",)


# ---- the command ----


def test_the_command(photos, capsys):
    PLANTED["leaks"](photos)
    PLANTED["unreadable"](photos)
    assert main(["data", "check", str(photos)]) == 0
    out = capsys.readouterr().out
    assert "leaks            1" in out and "nonsense" not in out and "train/ant/x.png: " in out and "  =  " in out
    assert main(["data", "check", str(photos), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "plusx.data-check/1" and report["counts"]["leaks"] == 1 and report["n_train"] == 12
    for words, code in [("any", 1), ("leaks", 1), ("tiny,unreadable", 1), ("tiny,cmyk", 0), ("", 0)]:
        assert main(["data", "check", str(photos), "--fail-on", words]) == code
    capsys.readouterr()


def test_many_findings_are_cut_in_the_table(photos, capsys):
    assert main(["data", "check", str(photos), "--tiny-px", "50"]) == 0
    out = capsys.readouterr().out
    assert "and 13 more; --all shows them" in out and out.count("shorter side") == 5
    assert main(["data", "check", str(photos), "--tiny-px", "50", "--all"]) == 0
    assert capsys.readouterr().out.count("shorter side") == 18


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data", "chek", "x"], "unknown subcommand of plusx data 'chek'. Did you mean 'check'"),
        (["data", "check", "no/such"], "There is no data at"),
        (["data", "check", "digits", "--fail-on", "leak"], "Did you mean 'leaks'"),
        (["data", "check", "digits", "--val-split", "2"], "--val-split takes a finite number above 0 and below 1"),
    ],
)
def test_mistakes_are_one_line(words, line, capsys):
    if words[-2:] == ["--val-split", "2"]:
        words = ["data", "check", ".", "--val-split", "2"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1


def test_it_needs_no_torch(photos):
    code = f"import sys; sys.modules['torch'] = None; from plusx.cli.main import main; sys.exit(main(['data', 'check', {str(photos)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
