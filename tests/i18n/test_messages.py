"""Every text that the code marks has its Chinese, and every translation has its text."""

from __future__ import annotations

import ast
import copy
import gettext
import io
import pickle
import sys
from pathlib import Path

import pytest

from plusx import errors
from plusx.i18n import Message, _, _n, joined, translate
from plusx.i18n.catalogue import LOCALE

pytest.importorskip("babel")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import messages


def test_every_text_is_translated() -> None:
    assert [*messages.unmarked(), *messages.problems(messages.extracted(), messages.translated())] == []


@pytest.mark.parametrize("way", ["missing", "unused", "holes"])
def test_what_is_missing_unused_or_wrong_is_seen(way: str) -> None:
    """The control: one entry taken away, one added, one whose value has another name."""
    said, have = messages.extracted(), messages.translated()
    room = "errors"
    entry = next(entry for entry in have[room] if entry.id and messages.holes(entry.id))
    if way == "missing":
        have[room].delete(entry.id)
    elif way == "unused":
        have[room].add("nobody says this", "没有人说")
    else:
        entry.string = entry.string + "{nothing}"
    assert len(list(messages.problems(said, have))) == 1


def test_the_compiled_catalogue_is_made_from_the_sources() -> None:
    """gettext reads the same from the file in the package as from one compiled now."""
    now = gettext.GNUTranslations(io.BytesIO(messages.compiled()))
    kept = gettext.GNUTranslations(io.BytesIO((LOCALE / "zh/LC_MESSAGES/plusx.mo").read_bytes()))
    assert now._catalog == kept._catalog  # type: ignore[attr-defined]
    assert len(now._catalog) > 2  # type: ignore[attr-defined]


def test_values_are_translated_and_never_matched() -> None:
    """A path that looks like a template, or like a translated text, comes through as it is."""
    path = "/tmp/{n}/unknown key 'a'. Allowed: b."
    text = _("unknown {what} {word!r}. {known}", what="x", word="y", known=path)
    assert translate(text, "zh") == f"未知的 x：'y'。{path}"
    assert text == f"unknown x 'y'. {path}"


def test_messages_in_messages() -> None:
    inner = _("{seconds} s", seconds=4)
    assert translate(_("{a} / {b}", a=inner, b=7), "zh") == "4 秒 / 7"
    assert translate(joined(" · ", [inner, "plain"]), "zh") == "4 秒 · plain"


def test_one_and_many() -> None:
    assert [_n("{n} image", "{n} images", n) for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


def test_a_message_survives_copies() -> None:
    text = _("{seconds} s", seconds=4)
    for again in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert isinstance(again, Message)
        assert translate(again, "zh") == "4 秒"


def test_braces_without_values_are_text() -> None:
    assert _('like {"preset": "resnet50"}') == 'like {"preset": "resnet50"}'


MESSAGE_ROOMS = sorted(path.name for path in messages.PACKAGE.iterdir() if (path / "__init__.py").is_file())
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.PlusxError)}


def plain_errors(source: str) -> list[str]:
    """Errors raised with a text that has no translation: a string or an f-string where a message belongs."""
    calls = (node.exc for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise))
    return [
        ast.unparse(call.args[0])
        for call in calls
        if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant | ast.JoinedStr)
        and ast.unparse(call.func) in ERRORS
    ]  # fmt: skip


@pytest.mark.parametrize("room", MESSAGE_ROOMS)
def test_errors_are_messages(room: str) -> None:
    files = sorted((messages.PACKAGE / room).rglob("*.py"))
    assert files
    assert {file.name: found for file in files if (found := plain_errors(file.read_text(encoding="utf-8")))} == {}


def test_a_plain_error_is_seen() -> None:
    assert plain_errors("def f(x):\n    raise SpecError(f'{x} is wrong')") == ["f'{x} is wrong'"]
    assert plain_errors("raise SpecError(_('wrong'))") == []
