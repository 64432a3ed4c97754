"""docs/explore.md states the options, limits and versions of the code; its Chinese page has the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plusx.cli.main import make_parser
from plusx.explorer.vendor import archive_name
from plusx.explorer.views import MOST_BLOCKS, MOST_LETTERS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("explore.md", "explore.zh.md")
EVERYWHERE = {"--lang", "--debug", "--help", "--key"}


@pytest.mark.parametrize("name", PAGES)
def test_options_limits_and_versions_are_those_of_the_code(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    options = {
        option for action in make_parser("explore")._actions for option in action.option_strings if option[:2] == "--"
    }
    assert set(re.findall(r"^\| `(--[\w-]+)", text, re.MULTILINE)) == options - EVERYWHERE
    assert {archive_name("pyodide"), archive_name("pyodide").replace("-", "@").removesuffix(".tgz")} <= set(
        re.findall(r"pyodide[@-][\w.]+\w", text)
    )
    assert f"{MOST_BLOCKS} " in text
    assert f"{MOST_LETTERS} " in text


def test_both_languages_have_the_same_commands():
    english, chinese = (
        re.findall(r"```sh\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL) for name in PAGES
    )
    assert english == chinese
    assert len(english) == 2
