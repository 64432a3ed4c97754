"""`pytest --torch-free`: only the tests that need neither torch nor an inference engine, so that `make check` runs without them."""

from __future__ import annotations

import ast
import logging
import os
import sys
from functools import cache
from pathlib import Path

import pytest

os.environ.pop("COLUMNS", None)  # xdist sets it, and tables would wrap
TESTS = Path(__file__).parent
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "onnx",
    "onnxruntime",
    "nncf",
    "sklearn",
    "plusx.nn",
    "plusx.training",
    "plusx.deploy",
)
BY_COMMAND = {
    "test_imports.py",
    "test_main.py",
    "test_readme.py",
    "test_notes.py",
    "test_bend_page.py",
    "test_ship_page.py",
    "test_data_page.py",
    "test_setup.py",
}
"""Tests whose commands or examples load torch in a child process, where imports do not show it."""


@pytest.fixture(autouse=True)
def _logging_on() -> None:
    """Exporters of other libraries switch logging off for the whole process, and tests read what plusx logs."""
    logging.disable(logging.NOTSET)
    logging.root.setLevel(logging.WARNING)
    log = logging.getLogger("plusx")
    log.disabled, log.propagate = False, True
    log.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Commands set torch's threads for the whole process, and threads that wait for a core of a busy machine spin."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _nothing_at_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["PLUSX_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--torch-free", action="store_true", help="leave out every test file that needs torch or an engine"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--torch-free"):
        return None
    if collection_path.is_dir():  # its conftest is imported before any of its tests
        conftest = collection_path / "conftest.py"
        return True if collection_path != TESTS and conftest.is_file() and _heavy(conftest) else None
    if collection_path.suffix != ".py":
        return None
    return True if collection_path.name in BY_COMMAND or _heavy(collection_path) else None


@cache
def _heavy(path: Path) -> bool:
    """Whether a file imports a heavy package, anywhere in it or in a helper module of the tests."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("importorskip") and node.args:
            names = [ast.literal_eval(node.args[0])]
        else:
            continue
        for name in names:
            if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY):
                return True
            for folder in (TESTS, path.parent):
                helper = folder / f"{name.replace('.', '/')}.py"
                if helper.is_file() and helper != path and _heavy(helper):
                    return True
    return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that fork come first: no thread of an exporter or an engine is then missing in their children."""
    items.sort(key=lambda item: item.get_closest_marker("forks") is None)
