"""The SVG itself: well-formed, deterministic, small, readable; marks of a comparison; widths, themes, languages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import plusx
from counting import calls
from plusx.analysis import analyse
from plusx.errors import GeometryError, PlusxError, SpecError
from plusx.i18n import LANGUAGES
from plusx.svg.compare import compared
from plusx.svg.drawing import drawing_of
from plusx.svg.font_widths import BOLD, CHARACTERS, REGULAR
from plusx.svg.fonts import text_width
from plusx.svg.labels import count
from plusx.svg.render import DETAILS, draw
from plusx.svg.theme import DARK, LIGHT, THEMES
from randomspecs import wishes

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("detail", DETAILS)
def test_svg_is_xml_with_titles_and_text(detail, lang, theme):
    root = ET.fromstring(draw("resnet50d gate=se", detail=detail, lang=lang, theme=theme))
    assert root.get("role") == "img" and root[0].tag == f"{SVG}title"
    assert root[0].text == "resnet50d gate=se"
    assert len(list(root.iter(f"{SVG}text"))) > 20  # selectable: text, not outlines
    names = {title.text.split(":")[0] for title in root.iter(f"{SVG}title") if title.text}
    assert "conv2_x · stage 1 · layer1 · res2" in names
    if detail != "stages":
        assert {"layer2.0.conv2", "layer2.0.se", "layer2.0.downsample.0"} <= names


def test_the_same_network_gives_the_same_bytes_in_any_process():
    code = (
        "import sys, plusx; sys.stdout.write(plusx.draw('resnet18 gate=se', diff='resnet34', detail='ops', lang='zh'))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True, check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(found) == 1 and len(found.pop()) > 10_000


def test_sizes_of_files():
    assert len(draw("resnet152").encode()) < 150_000
    assert len(draw("resnet152", detail="ops").encode()) < 150_000


def test_work_grows_with_the_blocks_and_no_faster():
    """No two blocks alike (drop_path): ten times the blocks take about ten times the work."""

    def work(blocks: int) -> int:
        graph = plusx.lower(f"resnet50 depths={blocks} widths=64 drop_path=0.1")
        return calls(lambda: draw(graph))

    work(20)
    assert work(1000) < 10.5 * work(100)


def test_only_allowed_words():
    for keys, told in (
        ({"detail": "block"}, "Did you mean 'blocks'"),
        ({"theme": "drak"}, "Did you mean 'dark'"),
        ({"lang": "de"}, "Allowed: en, zh"),
    ):
        with pytest.raises(PlusxError, match=told):
            draw("resnet18", **keys)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SpecError):
        draw("resnet19")
    with pytest.raises(GeometryError):
        draw("resnet50_siamrpn", size_px=4)


def test_hostile_text_cannot_leave_its_element():
    from plusx.svg.markup import escape

    assert escape('<script>&"') == "&lt;script&gt;&amp;&quot;"


# ---- a comparison ----


def marks(first: str, second: str) -> tuple[set[str], set[str]]:
    one, other = compared(drawing_of(analyse(first)), drawing_of(analyse(second)))
    return set(one.marks), set(other.marks)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes())
def test_nothing_is_marked_between_a_network_and_itself(keys):
    try:
        graph = plusx.lower(plusx.ResNetSpec().replace(**keys))
        analyse(graph, 128)
    except (SpecError, GeometryError):
        return
    found = compared(drawing_of(analyse(graph, 128)), drawing_of(analyse(graph, 128)))
    assert [each.marks for each in found] == [frozenset()] * 2
    assert 'class="mark"' not in draw(graph, diff=graph, size_px=128)


def test_v1_and_v15_differ_in_two_convolutions_of_three_blocks():
    """The stride moves from the 1x1 to the 3x3 (torchvision resnet.py, Bottleneck, its comment)."""
    expected = {f"layer{i}.0.conv{j}" for i in (2, 3, 4) for j in (1, 2)}
    assert marks("resnet50 stride_in=1x1", "resnet50") == (expected, expected)


def test_plain_and_residual_differ_in_what_plain_lacks():
    plain, residual = marks("plain18", "resnet18")
    assert plain == set()
    runs = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1)]
    both = {f"layer{s}.{b}{what}" for s, b in runs for what in ("/shortcut", ".add")}
    assert residual == both | {f"layer{s}.0.downsample.{i}" for s in (2, 3, 4) for i in (0, 1)}


def test_depths_gates_sizes_and_cuts_are_marked():
    assert marks("resnet50", "resnet101") == ({"layer3.1/times"},) * 2
    assert marks("resnet50", "resnet50 gate=se")[0] == set()
    assert {"layer1.0.se", "layer4.1.se"} <= marks("resnet50", "resnet50 gate=se")[1]
    assert {"layer4/section", "output"} <= marks("resnet50", "resnet50 until=layer3")[0]
    assert "input/size" in marks("resnet50", "resnet50_siamrpn")[1]
    assert marks("resnet50", "resnet50 shortcut=D")[1] == {
        f"layer{s}.0{what}" for s in (2, 3, 4) for what in ("/shortcut", ".downsample.0", ".downsample.1")
    }


def test_marks_are_drawn_and_in_the_legend():
    text = draw("resnet50", diff="resnet101")
    assert text.count('class="diamond"') == 3 and ">changed<" in text  # one 5×, one 22×, the legend


# ---- widths, themes, languages ----


def test_widths_are_the_fonts():
    """Against the font itself, where it is installed (scripts/widths.py wrote the table)."""
    from PIL import ImageFont

    for table, file in ((REGULAR, "DejaVuSans.ttf"), (BOLD, "DejaVuSans-Bold.ttf")):
        try:
            font = ImageFont.truetype(file, 1000, layout_engine=ImageFont.Layout.BASIC)
        except OSError:
            pytest.skip("DejaVu Sans is not installed")
        assert [round(font.getlength(character)) for character in CHARACTERS] == list(table)


def test_every_character_that_a_drawing_uses_is_measured():
    """All texts of all presets, details and both languages: in the table, or one em wide (CJK)."""
    used = set()
    for name in ("resnet50d", "preresnet110", "resnet18 join=attend gate=cbam", "resnet50_siamrpn", "plain18"):
        for lang in LANGUAGES:
            for detail in DETAILS:
                used |= set("".join(re.findall(r"<text[^>]*>([^<]*)<", draw(name, lang=lang, detail=detail))))
    assert {c for c in used - set(CHARACTERS) if not "\u3000" <= c <= "\uffef"} == set()
    assert text_width("恒等", 10) == 20


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_stands_out_from_what_it_lies_on(theme):
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    pairs = [
        (theme.ink, fill) for fill, _ in (theme.conv, theme.down, theme.pool, theme.gate, theme.linear, theme.plain)
    ]
    pairs += [(theme.muted, fill) for fill in (theme.page, theme.block[0], theme.stage[0])]
    for text, ground in [*pairs, (theme.mark, theme.page) if theme is DARK else (theme.ink, theme.page)]:
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_shortcut_kinds_differ_without_colour():
    """Each kind has a width and dash of its own."""
    text = draw("resnet18")
    looks = [
        re.search(rf"\.{kind}{{fill:none;stroke:#\w+;([^}}]*)}}", text)
        for kind in ("identity", "projection", "zeros", "pooled")
    ]
    assert len({look[1] for look in looks if look}) == 4


NOTATION = "Conv BatchNorm MaxPool AvgPool ReLU Linear bias ceil global stage until resnet gate stem"
"""Words of a drawing that are notation, names or keys of the spec language in every language."""


@pytest.mark.parametrize("detail", DETAILS)
def test_a_chinese_drawing_has_only_names_and_notation_in_english(detail):
    network = "resnet50d gate=se until=layer3"
    texts = re.findall(r"<(?:text|title)[^>]*>([^<]*)<", draw(network, diff="resnet50d", lang="zh", detail=detail))
    names = {word for op in plusx.lower("resnet50d gate=se").ops for word in re.findall(r"[A-Za-z]+", op.name)}
    words = {word for text in texts for word in re.findall(r"[A-Za-z]{4,}", text)}
    assert words - names - set(NOTATION.split()) == set()


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1000, "1.00 k"), (999_499, "999 k"), (999_500, "1.00 M")]
)
def test_counts_have_three_figures(number, text):
    assert count(number) == text


def test_notebooks_show_specs_graphs_and_drawings():
    drawn = draw("resnet18")
    assert plusx.spec("resnet18")._repr_svg_() == plusx.lower("resnet18")._repr_svg_() == drawn
    assert drawn._repr_svg_() == drawn and drawn in (plusx.spec("resnet18")._repr_html_() or "")


# ---- the committed drawings ----

ROOT = Path(__file__).resolve().parents[2]


def test_committed_drawings_are_what_the_commands_draw(tmp_path):
    """Goldens: what the code draws today, byte by byte. make drawings draws them anew; look at them before committing."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from drawings import FOLDER, PICTURES, draw_all  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    draw_all(tmp_path)
    assert sorted(path.name for path in FOLDER.glob("*.svg")) == sorted(PICTURES)
    stale = [name for name in PICTURES if (FOLDER / name).read_bytes() != (tmp_path / name).read_bytes()]
    assert not stale, f"{stale} are stale: make drawings"
