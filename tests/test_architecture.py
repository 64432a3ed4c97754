"""docs/architecture.md and CONTRIBUTING.md name files, names and rooms that exist; rooms stand in the order of pyproject.toml."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src/plusx"
ARCHITECTURE = ("docs/architecture.md", "docs/architecture.zh.md")
CONTRIBUTING = ("CONTRIBUTING.md", "CONTRIBUTING.zh.md")
PLACE = re.compile(r"`([\w/.-]+\.py): ([\w.]+)`")
PATH = re.compile(
    r"`((?:src|tests|docs|scripts|benchmarks)/[\w/.-]*|[A-Z]\w+(?:\.[\w-]+)*\.md|Makefile|pyproject\.toml)`"
)
FEWEST_QUESTIONS = 24
MOST_STEPS = 6


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def places(text: str) -> list[tuple[str, str]]:
    """The (file, name) pairs that a page gives."""
    return PLACE.findall(text)


def defined(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Names that statements define themselves: classes, functions and assignments, without imports."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


def problem(file: str, name: str, root: Path = SRC) -> str | None:
    """Why a place of the table is wrong, or None.

    >>> problem("version.py", "__version__"), problem("version.py", "nothing")
    (None, 'version.py does not define nothing')
    """
    if not (root / file).is_file():
        return f"{file} does not exist"
    body = ast.parse((root / file).read_text(encoding="utf-8")).body
    for part in name.split("."):
        node = defined(body).get(part)
        if node is None:
            return f"{file} does not define {name}"
        body = node.body if isinstance(node, ast.ClassDef) else []
    return None


def rooms(text: str) -> dict[str, str]:
    """Each room of the page and its lines, in the order in which they stand."""
    return dict(re.findall(r"^### (\w+)\n\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL))


def layers() -> list[str]:
    """The rooms that exist, the lowest first, as import-linter's contract orders them."""
    contracts = tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layered,) = (contract for contract in contracts if contract["type"] == "layers")
    names = [layer.strip("()") for layer in reversed(layered["layers"])]
    return [name for name in names if (SRC / name).is_dir() or (SRC / f"{name}.py").is_file()]


def libraries(room: str) -> set[str]:
    """Packages outside plusx and the standard library that a room imports, at the top of a file or inside a function."""
    found: set[str] = set()
    for path in [SRC / f"{room}.py", *(SRC / room).rglob("*.py")]:
        if not path.is_file():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"plusx"}


def sections(text: str) -> dict[str, str]:
    """Each section of a page and its text."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# ---- architecture ----


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_every_place_is_defined_in_its_file(name):
    found = [problem(*place) for place in places(page(name))]
    assert [text for text in found if text] == []


def test_a_name_that_moved_is_seen(tmp_path):
    """Negative control: the same check on a file from which one name, one method and the whole file are gone."""
    (tmp_path / "a.py").write_text("from b import gone\nKEYS: dict = {}\nclass Run:\n    def start(self): ...\n")
    assert problem("a.py", "KEYS", tmp_path) is None
    assert problem("a.py", "Run.start", tmp_path) is None
    assert problem("a.py", "gone", tmp_path) == "a.py does not define gone"
    assert problem("a.py", "Run.stop", tmp_path) == "a.py does not define Run.stop"
    assert problem("b.py", "gone", tmp_path) == "b.py does not exist"


def test_the_table_asks_enough():
    questions = [line for line in page(ARCHITECTURE[0]).splitlines() if line.startswith("| ") and PLACE.search(line)]
    assert len(questions) >= FEWEST_QUESTIONS


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_rooms_stand_in_the_order_of_imports(name):
    assert list(rooms(page(name))) == layers()


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_each_room_has_three_lines_and_names_the_libraries_that_it_imports(name):
    for room, text in rooms(page(name)).items():
        lines = text.splitlines()
        assert len(lines) == 3, room
        assert places(lines[1]), f"{room}: no main type"
        assert set(re.findall(r"`(\w+)`", lines[2])) == libraries(room), room


@pytest.mark.parametrize("pair", [ARCHITECTURE, CONTRIBUTING], ids=lambda pair: pair[0])
def test_both_languages_name_the_same_places(pair):
    english, chinese = (page(name) for name in pair)
    assert places(english) == places(chinese)
    assert PATH.findall(english) == PATH.findall(chinese)


# ---- contributing ----


@pytest.mark.parametrize("name", CONTRIBUTING)
def test_paths_names_and_targets_of_contributing_exist(name):
    text = page(name)
    missing = [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    targets = set(re.findall(r"`make ([a-z-]+)`", text))
    known = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    assert [*missing, *(targets - known)] == []
    assert [text for text in (problem(*place) for place in places(text)) if text] == []


@pytest.mark.parametrize("name", CONTRIBUTING)
def test_each_addition_takes_few_steps(name):
    numbered = {title: re.findall(r"^\d\. ", text, re.MULTILINE) for title, text in sections(page(name)).items()}
    additions = {title: len(steps) for title, steps in numbered.items() if steps}
    assert len(additions) >= 6
    assert max(additions.values()) <= MOST_STEPS
