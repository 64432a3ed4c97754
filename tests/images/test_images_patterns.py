"""Patterns: what glob finds, without walking links in rings."""

from __future__ import annotations

import glob
import os

import pytest

from plusx.images.patterns import matches
from plusx.images.walking import Walk, holds_images
from plusx.runtime.inputs import find_images

NAMES = (
    "a.png",
    "b.jpg",
    "x/a.png",
    "x/y/c.png",
    "x/.hidden.png",
    ".git/d.png",
    "x y/[1].png",
    "z/w/v/e.png",
    "caf\udce9.png",
)
PATTERNS = (
    "*.png", "**/*.png", "**", "*/*.png", "x/**/*.png", "**/y/*.png", "?.png", "[ab].*", "nothing/*", "**/**/e.png", "x*/*",
    ".git/*.png", "*/", "z/**/v/*", "x y/[[]1].png", "./*.png", "x/../*.png", "**/w/**",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("absolute", [False, True])
def test_without_links_it_is_glob(tree, pattern, absolute):
    pattern = f"{glob.escape(str(tree))}/{pattern}" if absolute else pattern
    wanted = {os.path.normpath(each) for each in glob.glob(pattern, recursive=True) if os.path.isfile(each)}
    assert {os.path.normpath(each) for each in matches(pattern) if os.path.isfile(each)} == wanted


def test_a_ring_of_links_ends(tree):
    """Six links that lead to their own folder: glob finds 6^39 ways before the system says that there are too many."""
    for number in range(6):
        (tree / "x" / f"loop{number}").symlink_to(tree)
    wanted = {"a.png", "x/a.png", "x/y/c.png", "x y/[1].png", "z/w/v/e.png", "caf\udce9.png"}
    assert {str(path) for path in matches("**/*.png")} >= wanted
    assert len(matches("**/*.png")) < 50
    assert {item.name for item in find_images(["**/*.png"])} >= wanted
    assert {found.name for found in Walk(tree)} == wanted | {"b.jpg"}
    assert holds_images(tree)


def test_a_link_to_a_folder_is_followed_once(tree):
    (tree / "again").symlink_to(tree / "z")
    found = [str(path) for path in matches("**/e.png")]
    assert len(found) == 1 and found[0].endswith("w/v/e.png")


@pytest.mark.parametrize("name", ["a" * 5000 + ".png", "a\0b.png", "x" * 300 + "/y.png", "a.png/b.png"])
def test_a_path_that_cannot_be_is_one_row(tree, name):
    from plusx.errors import DataError
    from plusx.images import read_file

    items = list(find_images([name, "a.png"]))
    assert [item.name for item in items] == [name, "a.png"]
    with pytest.raises(DataError, match="it cannot be read"):
        read_file(items[0].source)
