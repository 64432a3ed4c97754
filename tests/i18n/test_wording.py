"""Chinese covers what plusx says: every error of specs, graph and names, every line of show, geometry, diff and explain."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

import plusx
from plusx import errors, presets, settings
from plusx.analysis import analyse
from plusx.analysis.diff import diff
from plusx.errors import PlusxError, unknown
from plusx.i18n import translate, translator
from plusx.specs import SPEC
from plusx.text.diff_table import diff_table
from plusx.text.geometry_table import geometry_table
from plusx.text.network_explanation import explain_network
from plusx.text.network_table import table
from plusx.text.part_explanation import explain_part

ROOT = Path(plusx.__file__).parent
ROOMS: tuple[str, ...] = ()
"""Packages whose errors have no catalogue entries yet."""
COMMANDS = ("parser", "networks", "output", "languages", "show", "geometry", "diff", "explain")
ERRORS = {name for name in vars(errors) if name.endswith(("Error", "Extra"))} | {"ValueError"}
CJK = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]+ (?:[a-z]+ )+[a-z]{2,}")  # three plain words in a row
NAMES = (
    "resnet18",
    "resnet50",
    "resnet50d",
    "seresnet50",
    "resnet50_siamrpn",
    "wrn_28_10",
    "resnet20",
    "plain18",
    "resnetv2_50",
)


def template(node: ast.expr, known: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """The text of a string or f-string, holes filled with a known variable's text or a stand-in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
        return template(node.args[0])  # the exact template is looked up, holes and all
    if isinstance(node, ast.IfExp):
        return template(node.body, known)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(value.value) if isinstance(value, ast.Constant) else known.get(ast.unparse(value.value), "7")
            for value in node.values
            if isinstance(value, ast.Constant | ast.FormattedValue)
        )
    return None


def raised(path: Path) -> list[str]:
    """Texts without a catalogue entry that are given to errors in a file."""
    found, tree = [], ast.parse(path.read_text(encoding="utf-8"))
    known = {
        node.targets[0].id: text
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and (text := template(node.value))
    }
    for node in ast.walk(tree):
        args: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            args = node.args[:1]
        found += [text for arg in args if (text := template(arg, known)) and " " in text]
    return found


FILES = [path for room in ROOMS for path in sorted((ROOT / room).glob("*.py"))]
FILES += [ROOT / "cli" / f"{name}.py" for name in COMMANDS]


def test_every_what_of_unknown_has_its_chinese():
    whats = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("unknown", "choose")
                and node.args
            ):
                text = template(node.args[0])
                whats |= {text} if text and " " not in text else set()
    whats.add(SPEC.what)
    assert {"format", "language"} <= whats
    for what in whats:
        assert CJK.search(translate(unknown(what, "x", ["a"]), "zh")), what
        assert CJK.search(translate(what, "zh")), what


PROVOKED = [
    "", "resnet5O", "resnet50 stem=depe", "resnet50 resnet18", "resnet50 oops", "resnet50 stem=deep stem=7x7", "resnet50 groups=0",
    "resnet50 depths=1,x", "resnet50 drop_path=2", "resnet50 until=layer9", "resnet50 until=layer3.99", "resnet50 gate_ratio=2",
    "resnet18 stride_in=1x1", "resnet50 widths=64,128", "resnet50 stem=deep stem_width=3", "resnet18 groups=7",
    "resnet50 shortcut=none join=mul", "resnet50 shortcut=none gate=se", "resnet50 join=mul drop_path=0.1",
    "plain18 zero_init=yes", "resnet50 output_stride=8 strides=1,2,2,1", "resnet20 output_stride=32",
    "resnet50 output_stride=8 norm=group", "resnet50 output_stride=8 shortcut=D dilate=full", "resnet50 dilate=full",
    "resnet50 padding=valid", "resnet50 until=layer2 classes=10", "resnet50 norm=group7", "resnet50 width_per_group=1 widths=8,8,8,8",
    "resnet20 widths=32,16,8", "resnet50 output_stride=8 dilate=grid multi_grid=1,2", "resnet50 multi_grid=1,2,4",
]  # fmt: skip


@pytest.mark.parametrize("words", PROVOKED)
def test_provoked_errors_speak_chinese(words):
    with pytest.raises(PlusxError) as caught:
        analyse(words)
    text = translate(caught.value.message, "zh")
    assert CJK.search(text)
    assert not ENGLISH.search(text), text


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_is_chinese(name):
    say = translator("zh")
    for text in (
        table(analyse(name), translate=say),
        geometry_table(analyse(name), say),
        diff_table(diff("resnet50", name, 64), say),
    ):
        assert CJK.search(text)
        assert [line for line in lines_of(text) if ENGLISH.search(line)] == []


@pytest.mark.parametrize(
    "name", [*NAMES, "resnet50 output_stride=8 dilate=full", "resnet50 shortcut=C", "resnet18_paddle"]
)
def test_every_sentence_of_explain_is_chinese(name):
    found = analyse(name, 64 if "_siam" in name else None)
    sections = explain_network(found)
    graph = found.graph
    for stage in graph.stages:
        sections += explain_part(found, stage.name) + explain_part(found, stage.blocks[0].name)
    for op in (*graph.stem, *graph.stages[0].blocks[0].ops, *graph.head):
        sections += explain_part(found, op.name)
    for section in sections:
        for line in section.lines:
            text = translate(line, "zh")
            assert not ENGLISH.search(re.sub(r"Hugging Face|MSRA pkl|AvgPool \w+", "", text)), text


@pytest.mark.parametrize("name", [n for n in presets if n not in ("resnet1202", "preresnet1001")])
def test_figures_survive_translation(name):
    """A translated sentence holds the same numbers: a wrong hole would lose or repeat one."""
    for section in explain_network(analyse(name)):
        for line in section.lines:
            assert sorted(re.findall(r"\d[\d,.]*\d|\d", translate(line, "zh"))) == sorted(
                re.findall(r"\d[\d,.]*\d|\d", line)
            ), line


def test_unknown_text_stays_and_english_is_untouched():
    assert translate("no such sentence", "zh") == "no such sentence"
    assert translate("depth", "en") == "depth"
    assert (
        translate(unknown("stem", "depe", ["7x7", "deep"]), "zh")
        == "未知的 stem：'depe'。是不是 'deep'？可选：7x7, deep。"
    )


def test_the_environment_s_errors_have_their_chinese(monkeypatch):
    for variable, text in (("PLUSX_THREADS", "many"), ("PLUSX_THREADS", "0")):
        monkeypatch.setenv(variable, text)
        with pytest.raises(PlusxError) as caught:
            settings.threads()
        said = translate(caught.value.message, "zh")
        assert CJK.search(said) and not ENGLISH.search(said)
