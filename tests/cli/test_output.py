"""-o of every command: refused before any work where it cannot be written, never another kind than its name says, and
said when it is there."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from bundles.tmpfs import fill, small_disk
from plusx.cli.main import main
from plusx.cli.output import check_output, choose_format
from plusx.errors import SpecError
from shipping import photo_bundle, write_jpegs

QUICK = ["--threads", "1"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, bundle):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    write_jpegs(tmp_path / "new", 3)
    (tmp_path / "bundle").symlink_to(bundle)
    (tmp_path / "runs").mkdir()


WRITERS = {
    "show": ["show", "resnet18"],
    "geometry": ["geometry", "resnet18"],
    "explain": ["explain", "resnet18"],
    "diff": ["diff", "resnet18", "resnet34"],
    "check": ["check", "net.py:Net"],
    "draw": ["draw", "resnet18"],
    "evaluate": ["evaluate", "bundle", "--data", "digits"],
    "runs": ["runs"],
    "predict": ["predict", "bundle", "new", *QUICK],
    "embed": ["embed", "bundle", "new", *QUICK],
    "merge": ["merge", "parts"],
    "export": ["export", "bundle", "--data", "new"],
    "bench": ["bench", "bundle"],
    "cam": ["cam", "bundle", "new/000.jpg"],
    "weights cut": ["weights", "cut", "bundle/weights.safetensors", "--until", "layer1"],
    "weights identify": ["weights", "identify", "bundle/weights.safetensors"],
    "weights guess": ["weights", "guess", "bundle/weights.safetensors", "--data", "new"],
    "weights convert": ["weights", "convert", "bundle/weights.safetensors", "--to", "plusx"],
    "weights bundle": ["weights", "bundle", "bundle/weights.safetensors"],
    "weights list": ["weights", "list"],
    "data": ["data", "check", "new"],
}
"""A sensible use of each command that has -o."""
ENDS = {
    "draw": ".svg",
    "embed": ".npy",
    "export": "",
    "merge": ".csv",
    "cam": ".png",
    "weights cut": ".safetensors",
    "weights bundle": "",
}


def test_every_command_with_an_output_is_tried():
    from cli.test_parser import EVERY, parser_of

    assert set(WRITERS) == {name for name in EVERY if "-o" in parser_of(name)._option_string_actions}


@pytest.mark.parametrize("name", WRITERS)
def test_no_command_makes_the_folder_of_its_output(name, capsys):
    assert main([*WRITERS[name], "-o", f"nope/deep/x{ENDS.get(name, '.json')}"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("plusx: -o nope/deep/x") and "there is no folder nope/deep. Make it first" in said.err
    assert not Path("nope").exists()


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("export", "bench", "weights bundle")])
def test_a_kind_that_is_not_written_is_refused(name, capsys):
    assert main([*WRITERS[name], "-o", "a.xlsx"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("plusx: -o a.xlsx") and said.err.count("\n") == 1
    assert not Path("a.xlsx").exists()
    if name not in ("cam", "weights cut", "weights convert", "embed", "merge"):
        endings = re.search(r"Let it end in one of (.*)\.$", said.err.strip())
        assert (endings is not None and ".txt" in endings[1].split(", ")) or name == "draw"


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        ("predict", "p.csv", "3 rows"),
        ("predict", "p.jsonl", "3 rows"),
        ("predict", "p.txt", "3 rows"),
        ("embed", "v.npy", "3 rows of 16 numbers, named in v.csv"),
        ("show", "s.csv", "lines"),
        ("runs", "r.json", "lines"),
        ("draw", "d.svg", "kB"),
        ("cam", "c.png", "615x432 pixels"),
        ("weights cut", "w.safetensors", "tensors"),
        ("weights convert", "w.safetensors", "plusx"),
        ("weights identify", "w.json", "lines"),
    ],
)
def test_what_was_written_is_said_and_is_what_the_name_says(name, file, rows, capsys):
    assert main([*WRITERS[name], "-o", file]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"wrote {file} (") and last.endswith(f"{rows})")
    content = Path(file).read_bytes()
    if file.endswith(".json"):
        json.loads(content)
    elif file.endswith(".jsonl"):
        assert [Path(json.loads(line)["path"]).name for line in content.splitlines()] == [
            "000.jpg",
            "001.jpg",
            "002.jpg",
        ]
    elif file.endswith(".csv"):
        table = list(csv.reader(content.decode().splitlines()))
        assert len({len(row) for row in table}) == 1 and len(table[0]) > 3
    elif file.endswith(".npy"):
        assert np.load(file).shape == (3, 16)
    else:
        start = {".svg": b"<svg", ".png": b"\x89PNG", ".txt": b"new/000.jpg  ", ".safetensors": b""}[Path(file).suffix]
        assert content.startswith(start)


@pytest.mark.parametrize(
    ("written", "output", "form"),
    [
        (None, None, "table"), (None, "-", "table"), (None, "x", "table"), (None, "x.TXT", "table"), (None, "x.md", "markdown"),
        (None, "x.json", "json"), (None, "a.b/x.csv", "csv"), (None, "/dev/null", "table"), ("torch", "x.txt", "torch"),
        ("csv", "x.xlsx", "csv"), ("json", "x", "json"), ("json", None, "json"),
    ],
)  # fmt: skip
def test_the_format_is_what_was_asked_for_else_what_the_name_says(written, output, form):
    assert choose_format(written, output, ("table", "markdown", "json", "csv", "torch")) == form


@pytest.mark.parametrize(
    ("written", "output", "says"),
    [
        (None, "x.xlsx", r"^-o x\.xlsx ends in \.xlsx, .* one of \.txt, \.json\.$"),
        ("table", "x.json", r"^-o x\.json ends in \.json, but --format table"),
        ("jsn", None, "Did you mean 'json'"),
    ],
)
def test_a_format_that_cannot_be_is_refused(written, output, says):
    with pytest.raises(SpecError, match=says):
        choose_format(written, output, ("table", "json"))


def test_a_folder_or_a_file_on_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for output, says in ((tmp_path, "it is a folder"), (tmp_path / "file" / "x", "is not a folder")):
        with pytest.raises(SpecError, match=says):
            check_output(str(output))
    check_output(str(tmp_path), is_folder=True)


def test_a_text_on_a_full_disk_is_exit_3_and_leaves_what_was_there(tmp_path, capsys):
    with small_disk(tmp_path / "disk", 16) as disk:
        (disk / "s.csv").write_text("before")
        fill(disk, 1)
        assert main(["show", "resnet152", "-o", str(disk / "s.csv")]) == 3
        assert "the disk is full" in capsys.readouterr().err
        assert sorted(path.name for path in disk.iterdir()) == ["ballast", "s.csv"]
        assert (disk / "s.csv").read_text() == "before"


def test_sorting_on_a_full_disk_is_exit_3_and_leaves_no_partial_copy(tmp_path, capsys):
    """One of three images fits; the other two are named, and no byte of them lies there."""
    images = sorted((tmp_path / "new").iterdir())
    for path in images:
        path.write_bytes(path.read_bytes().ljust(10 * 4096, b"\0"))  # a JPEG may be followed by anything
        assert path.stat().st_size == 10 * 4096
    with small_disk(tmp_path / "disk", 32) as disk:
        fill(disk, 12)
        words = [*WRITERS["predict"], "--sort-into", str(disk / "sorted"), "-o", "p.csv"]
        assert main(words) == 3
        said = capsys.readouterr()
        copies = [path for path in (disk / "sorted").rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in copies] == [images[0].read_bytes()]
        assert "plusx: 2 images could not be copied into" in said.err and "new/001.jpg (the disk is full)" in said.err
        (disk / "ballast").unlink()
        assert main(words) == 0
        copies = [path for path in (disk / "sorted").rglob("*") if path.is_file()]
        assert sorted(path.read_bytes() for path in copies) == sorted(path.read_bytes() for path in images)
    assert len(Path("p.csv").read_text().splitlines()) == 4
