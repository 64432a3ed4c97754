"""The core runs without torch and numpy: measured in fresh interpreters, in an environment where both are installed."""

from __future__ import annotations

import ast
import importlib.util
import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import plusx
from plusx.cli.main import COMMANDS
from waiting import HANG

SRC = Path(plusx.__file__).parent
STDLIB_ROOMS = ("errors", "settings", "pickles", "specs", "graph", "names", "analysis", "text", "svg")
TORCHLESS_ROOMS = ("images", "data", "metrics", "bundles", "runtime", "weights", "probing", "serving")
HEAVY = ("torch", "torchvision", "numpy")
THIRD_PARTY = (*HEAVY, "PIL", "simplejpeg", "safetensors", "rich", "vl_convert", "wcwidth")
LATE = {"settings.py": {"platformdirs"}, "svg/convert.py": {"vl_convert"}, "text/alignment.py": {"wcwidth"}}
"""The exceptions, imported in the function that needs them: PNG and PDF need [draw], wide characters need wcwidth."""

CORE = {
    "show": [["resnet50"], ["resnet18", "in_channels=1", "classes=10", "--format", "json"]],
    "geometry": [["resnet50"]],
    "explain": [["resnet50"]],
    "diff": [["resnet50", "resnet18"]],
    "draw": [["resnet18"]],
    "presets": [[], ["--keys"]],
    "doctor": [[]],
    "recipes": [[]],
}
"""Commands that must answer before torch is installed, with words to try them on."""

WORKING = {
    "train",
    "evaluate",
    "runs",
    "predict",
    "embed",
    "merge",
    "cam",
    "weights",
    "export",
    "tune",
    "bench",
    "serve",
    "data",
    "study",
    "explore",
    "check",
}
"""Commands that may load torch or numpy once they work; their --help may not."""

PROBE = """
import contextlib, io, json, sys
before, words, heavy = json.loads(sys.argv[1])
exec(before)
out, err, code = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO(), 0
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
        from plusx.cli.main import main
        code = main(words)
    except SystemExit as stop:
        code = stop.code
out.flush()
print(json.dumps({"code": code or 0, "out": out.buffer.getvalue().decode(), "err": err.getvalue(),
                  "loaded": [name for name in heavy if name in sys.modules]}))
"""

LOADED = "print([name for name in {} if name in sys.modules])"


def fresh(code: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def probe(words: list[str], cwd: Path, before: str = "") -> dict:
    """What a command printed and returned in a new interpreter, and which of HEAVY it has loaded."""
    return json.loads(fresh(PROBE, json.dumps([before, words, HEAVY]), cwd=cwd).splitlines()[-1])


def modules_of(room: str) -> list[str]:
    spec = importlib.util.find_spec(f"plusx.{room}")
    if spec is None:
        return []
    places = list(spec.submodule_search_locations or [])
    return [spec.name, *(info.name for info in pkgutil.walk_packages(places, f"{spec.name}."))]


def sources_of(room: str) -> list[Path]:
    return [path for path in [SRC / f"{room}.py", *(SRC / room).rglob("*.py")] if path.is_file()]


# ---- commands ----


def test_torch_and_numpy_are_installed_here():
    """Else everything below would pass by itself."""
    assert importlib.util.find_spec("torch")
    assert importlib.util.find_spec("numpy")


def test_every_command_is_known_as_core_or_working():
    assert set(COMMANDS) <= set(CORE) | WORKING
    assert not set(CORE) & WORKING


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_module_and_helps_without_torch(name, tmp_path):
    assert importlib.util.find_spec(f"plusx.cli.{name}"), f"plusx.cli.main lists {name}, and there is no such module"
    answer = probe([name, "--help"], tmp_path)
    assert answer["code"] == 0, answer["err"]
    assert f"plusx {name}" in answer["out"]
    assert answer["loaded"] == []


@pytest.mark.parametrize(
    "words", [[name, *words] for name in CORE if name in COMMANDS for words in CORE[name]], ids=" ".join
)
def test_core_command_loads_neither_torch_nor_numpy(words, tmp_path):
    answer = probe(words, tmp_path)
    assert answer["code"] == 0, answer["err"]
    assert answer["out"].strip()
    assert answer["loaded"] == []


@pytest.mark.parametrize("words", [["show", "resnet5O"], ["show", "resnet50", "stm=deep"], ["shwo"], []], ids=" ".join)
def test_mistakes_and_the_overview_are_as_light(words, tmp_path):
    answer = probe(words, tmp_path)
    assert answer["code"] == (2 if words else 0)
    assert answer["err"].count("\n") == (1 if words else 0)
    assert answer["loaded"] == []


def test_the_probe_sees_a_command_that_loads_numpy(tmp_path):
    """Negative control: `presets` is made to import numpy on its way, and nothing else changes."""
    leak = "import plusx.cli.presets as p; run = p.run; p.run = lambda args: (__import__('numpy'), run(args))[1]"
    answer = probe(["presets"], tmp_path, before=leak)
    assert (answer["code"], answer["loaded"]) == (0, ["numpy"])


def test_public_names_of_the_core_need_no_torch(tmp_path):
    code = f"import plusx, sys; plusx.analyse(plusx.lower('resnet50')); dir(plusx); {LOADED.format(HEAVY)}"
    assert fresh(code, cwd=tmp_path).strip() == "[]"


# ---- rooms ----


@pytest.mark.parametrize(
    ("room", "unwanted"),
    [
        *((room, THIRD_PARTY) for room in STDLIB_ROOMS if modules_of(room)),
        *((room, ("torch", "torchvision")) for room in TORCHLESS_ROOMS if modules_of(room)),
    ],
)
def test_importing_all_of_a_room_loads_nothing_unwanted(room, unwanted, tmp_path):
    everything = f"import importlib, sys; [importlib.import_module(name) for name in {modules_of(room)}]; "
    assert fresh(everything + LOADED.format(unwanted), cwd=tmp_path).strip() == "[]"


def foreign_imports(source: str) -> set[str]:
    """Packages that a file imports, anywhere in it, which are neither plusx nor in the standard library."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"plusx"}


@pytest.mark.parametrize("room", [room for room in STDLIB_ROOMS if sources_of(room)])
def test_errors_to_svg_import_the_standard_library_alone(room):
    sources = {path.relative_to(SRC).as_posix(): path.read_text(encoding="utf-8") for path in sources_of(room)}
    foreign = {name: foreign_imports(source) - LATE.get(name, set()) for name, source in sources.items()}
    assert {name: found for name, found in foreign.items() if found} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import json, os.path\nfrom plusx.graph import lower\nfrom . import model", set()),
        ("import numpy as np", {"numpy"}),
        ("def f():\n    from torch.nn import Module", {"torch"}),
        ("if TYPE_CHECKING:\n    import PIL.Image", {"PIL"}),
    ],
)
def test_foreign_imports_are_found(source, names):
    assert foreign_imports(source) == names


# ---- the face ----


def imports_the_face(path: Path) -> bool:
    """Whether a file imports a name of `plusx/__init__.py`, and not a module or a room below it."""
    below = {child.stem for child in SRC.iterdir()}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) and any(alias.name == "plusx" for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "plusx" and node.level == 0:
            if any(alias.name not in below for alias in node.names):
                return True
    return False


def test_nothing_inside_imports_the_face_of_the_package():
    found = {path.relative_to(SRC).as_posix() for path in SRC.rglob("*.py") if imports_the_face(path)}
    assert found == set()


def test_an_import_of_the_face_is_seen(tmp_path):
    file = tmp_path / "x.py"
    for source, seen in (("from plusx import draw", True), ("import plusx", True), ("from plusx import specs", False)):
        file.write_text(source, encoding="utf-8")
        assert imports_the_face(file) is seen


def test_the_package_lists_its_public_names_alone():
    """Every name of dir(plusx) is public or the version, and a submodule that was imported is not among them."""
    assert "specs" in vars(plusx)
    assert dir(plusx) == sorted(["__version__", *plusx.__all__])


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((SRC.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert plusx.__version__ == project["version"]
