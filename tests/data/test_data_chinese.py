"""Errors, notes and reasons in Chinese: nothing but names, values and code words stays English."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from data.making import png, samples, tar
from data.test_data_bad_input import CASES, image
from plusx.data import open_data
from plusx.data.check import KINDS, check
from plusx.errors import DataError
from plusx.i18n import Message, _, _n, joined, translate
from plusx.i18n.stored import loaded_message, stored_message


def english(text: str, *known: str) -> list[str]:
    """Pairs of English words that a Chinese text still has, apart from the texts in `known`."""
    for value in known:
        text = text.replace(value, "")
    return re.findall(r"(?<![\w/.-])[A-Za-z]{2,} [a-z]{2,}(?![\w/.])", text)


def test_english_words_are_seen() -> None:
    assert english("无法读取：the file is empty。") and not english("请用 --data a/b.csv 或 train.csv。")


@pytest.mark.parametrize("name", CASES)
def test_every_refusal_is_chinese(name: str, tmp_path: Path) -> None:
    CASES[name][0](tmp_path)
    with pytest.raises(DataError) as caught:
        open_data(tmp_path, cache=False)
    said = translate(caught.value.message, "zh")
    assert isinstance(caught.value.message, Message) and said != caught.value.message
    # what the operating system says stays as it is
    assert not english(said, str(tmp_path), "No such file or directory", "name 6", "struct<bytes"), said


def test_reasons_are_chinese_when_the_index_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    shard = tar(tmp_path / "a.tar", [*samples(6), ("x.png", b""), ("x.cls", b"1"), ("y.cls", b"1"), ("z.png", png(70))])
    first, again = open_data(shard), open_data(shard)
    assert list(tmp_path.glob("cache/tar/*.json"))
    for splits in (first, again):
        said = {Path(row.path).name: translate(row.reason, "zh") for row in splits.skipped}
        assert said == {"x.png": "文件是空的", "y": "只有标签，没有图像", "z.png": "旁边没有标签（.cls, .json, .txt）"}


def test_a_stored_message_is_the_same_message() -> None:
    inner = _("the {kind} is damaged", kind="JPEG")
    for text in (inner, _("{path} cannot be used: {reason}.", path=Path("a/{b}"), reason=inner), "plain {text}",
                 _n("{n} image", "{n} images", 3), joined("; ", [inner, inner])):  # fmt: skip
        kept = json.loads(json.dumps(stored_message(text)))
        assert loaded_message(kept) == text and translate(loaded_message(kept), "zh") == translate(text, "zh")


def test_findings_and_notes_are_chinese(tmp_path: Path) -> None:
    for i in range(6):
        image(tmp_path / "photos/ant" / f"{i}.png", i)
        image(tmp_path / "photos/bee" / f"{i}.png", i % 3)
    (tmp_path / "photos/ant/bad.jpg").write_bytes(b"")
    (tmp_path / "photos/ant/list.txt").write_text("hello")
    report = check(tmp_path, val_split=0.34, cache=False)
    assert {finding.kind for finding in report.findings} >= {"unreadable", "leaks"} and len(report.notes) == 2
    for text in (*KINDS.values(), *report.notes, *(finding.note for finding in report.findings)):
        said = translate(text, "zh")
        assert said != text and not english(said, str(tmp_path)), said
