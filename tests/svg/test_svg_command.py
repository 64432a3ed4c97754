"""plusx draw: files, formats, errors of one line, fonts that are missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plusx.cli.main import main
from plusx.reports.network_page import html
from plusx.svg.render import draw


def run(words, capsys) -> tuple[int, str, str]:
    code = main(["draw", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_svg_to_stdout_and_file(capsys, tmp_path):
    file = tmp_path / "net.svg"
    assert run(["resnet18", "classes=10"], capsys) == (0, draw("resnet18 classes=10"), "")
    assert run(["resnet18", "classes=10", "-o", str(file)], capsys)[:2] == (0, "")
    assert file.read_text(encoding="utf-8") == draw("resnet18 classes=10")


def test_every_option_arrives(capsys):
    words = [
        "resnet18",
        "--detail",
        "ops",
        "--theme",
        "dark",
        "--diff",
        "plain18 in_channels=1",
        "--lang",
        "zh",
        "--size",
        "96x64",
    ]
    expected = draw("resnet18", detail="ops", theme="dark", diff="plain18 in_channels=1", lang="zh", size_px=(96, 64))
    assert run(words, capsys)[1] == expected
    assert run(["resnet18", "--unfold"], capsys)[1] == draw("resnet18", fold=False) != draw("resnet18")
    assert run(["resnet18", "--format", "html"], capsys)[1] == html("resnet18")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["resnet18", "-o", "net.svgg"], "Did you mean .svg?"),
        (["resnet18", "-o", "net"], "-o net has no ending. Let it end in one of .svg, .png, .pdf, .html"),
        (["resnet18", "--format", "pgn"], "Did you mean 'png'"),
        (["resnet18", "--detail", "op"], "Did you mean 'ops'"),
        (["resnet18", "--theme", "blue"], "Allowed: light, dark"),
        (["resnet18", "--diff", ""], "names no network"),
        (["resnet18", "--diff", "resnet81"], "The nearest are resnet18"),
        (["resnet18", "--size", "0"], "size '0'"),
        (["resnet18", "-o", "/nowhere/at/all.svg"], "cannot be written"),
        (["resnet18", "--detial", "ops"], "Did you mean '--detail'"),
    ],
)
def test_bad_input_is_one_line(words, told, capsys):
    code, out, err = run(words, capsys)
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("plusx: ") and told in err


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_a_missing_converter_is_one_line(form, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    code, _, err = run(["resnet18", "-o", str(tmp_path / f"net.{form}")], capsys)
    assert code == 2 and err.count("\n") == 1 and "pip install 'plusx[draw]'" in err
    assert not (tmp_path / f"net.{form}").exists()


class Converter:
    """Stands in for vl_convert: keeps what it was given; has Chinese or not."""

    def __init__(self, chinese: bool) -> None:
        self.chinese, self.seen = chinese, ""

    def svg_to_png(self, svg: str, scale: float = 1) -> bytes:
        self.seen = svg
        return b"box" if not self.chinese and ("恒" in svg or "\U000f0fff" in svg) and len(svg) < 500 else svg.encode()


@pytest.mark.parametrize("chinese", [True, False])
def test_a_missing_chinese_font_is_said_and_not_drawn_as_boxes(chinese, capsys, monkeypatch, tmp_path):
    from plusx.svg import convert

    converter = Converter(chinese)
    monkeypatch.setitem(sys.modules, "vl_convert", converter)
    convert.draws_chinese.cache_clear()
    code, out, err = run(["resnet18", "--lang", "zh", "-o", str(tmp_path / "net.png")], capsys)
    convert.draws_chinese.cache_clear()
    assert (code, out) == (0, "")
    assert converter.seen == draw("resnet18", lang="zh" if chinese else "en")
    *notes, wrote = err.splitlines()
    assert wrote.startswith(f"已写入 {tmp_path / 'net.png'}（")
    assert notes == [] if chinese else (len(notes) == 1 and "没有安装含中文字符的字体" in notes[0])


def test_png_and_pdf(tmp_path):
    pytest.importorskip("vl_convert")
    from PIL import Image

    for form, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        file = tmp_path / f"net.{form}"
        assert main(["draw", "resnet18", "-o", str(file)]) == 0
        assert file.read_bytes().startswith(start)
    with Image.open(tmp_path / "net.png") as image:
        assert image.size[0] > 1000 and image.convert("L").getextrema() != (255, 255)


def test_too_tall_for_a_png_is_said(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vl_convert", Converter(True))
    file = Path(tmp_path / "net.png")
    code, _, err = run(["resnet1202", "--unfold", "-o", str(file)], capsys)
    assert code == 2 and "too tall" in err and not file.exists()
