"""Whatever stdout is, and whatever names files have: no traceback, and nothing that a terminal obeys."""

from __future__ import annotations

import csv
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.bundles import save_bundle
from plusx.cli.main import main
from plusx.images import Preprocessing
from plusx.nn import build
from plusx.runtime.rows import csv_line
from plusx.specs import parse

PLUSX = [sys.executable, "-m", "plusx"]
QUICK = ["--engine", "openvino", "--threads", "1"]
HOSTILE = (
    b"a.png",
    b"b\nforged.png",
    b"c\rd.png",
    b"d\x1b[31mred\x1b]0;owned\x07.png",
    b"caf\xe9.png",
    "猫.png".encode(),
    b"\xc2\x9b31m.png",
)
ENV = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONIO"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a bundle of hostile class names, and images of hostile names."""
    root = tmp_path_factory.mktemp("made")
    spec = parse("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 classes=2")
    weights = {name: tensor.numpy() for name, tensor in build(spec).state_dict().items()}
    save_bundle(root / "b", spec, ["x\x1b[31m\ny", "chi\udceen"], Preprocessing("RGB", 32, 32), weights)
    (root / "n").mkdir()
    for number, name in enumerate(HOSTILE):
        image = np.random.default_rng(number).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        Path(os.fsdecode(os.fsencode(root / "n") + b"/" + name)).write_bytes(buffer.getvalue())
    return root


def run(made, *words, **more):
    env = {**ENV, "PLUSX_CACHE": str(made / "cache"), **more.pop("env", {})}
    return subprocess.run([*PLUSX, *words], cwd=made, env=env, timeout=120, **{"capture_output": True, **more})


def test_a_table_has_one_printable_line_an_image(made):
    done = run(made, "predict", "b", "n", *QUICK)
    lines = done.stdout.decode("utf-8").splitlines()  # strict: nothing that is no UTF-8
    assert done.returncode == 0 and len(lines) == len(HOSTILE)
    assert not any(c in done.stdout for c in (b"\x1b", b"\r", b"\x07", b"\xc2\x9b"))
    assert any("caf\\xe9.png" in line for line in lines) and any("猫.png" in line for line in lines)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_keep_every_name_and_resume_accepts_its_own_file(made, form, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    words = ["predict", "b", "n", "-o", str(tmp_path / f"o.{form}"), *QUICK]
    assert main(words) == 0
    whole = (tmp_path / f"o.{form}").read_bytes()
    if form == "csv":
        rows = list(csv.reader(io.StringIO(whole.decode("utf-8", "surrogateescape"), newline="")))
        assert {os.fsencode(row[0]) for row in rows[1:]} == {b"n/" + name for name in HOSTILE}
        assert run(made, "predict", "b", "n", "--format", "csv", *QUICK).stdout == whole
    for cut in (len(whole), len(whole) * 2 // 3, len(whole) // 3):
        (tmp_path / f"o.{form}").write_bytes(whole[:cut])
        assert main([*words, "--resume"]) == 0
        assert (tmp_path / f"o.{form}").read_bytes() == whole


def test_csv_lines_that_the_standard_library_reads_as_one_row():
    for cells in (["a\nb", "c\rd", 'e"f', "g,h", "\r\n", ""],):
        assert list(csv.reader(io.StringIO(csv_line(cells) + "\n", newline=""))) == [cells]


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_terminal_gets_no_codes(made, form):
    master, slave = pty.openpty()
    done = run(
        made,
        "predict",
        "b",
        "n",
        "--format",
        form,
        *QUICK,
        capture_output=False,
        stdout=slave,
        stderr=subprocess.DEVNULL,
    )
    os.close(slave)
    said = b""
    while b"\xc2\x9b31m" not in said and said.count(b"\n") < len(HOSTILE):
        said += os.read(master, 1 << 16)
    os.close(master)
    assert done.returncode == 0 and not any(c in said for c in (b"\x1b", b"\x07", b"\xc2\x9b", b"\xe9."))


@pytest.mark.parametrize("coding", ["ascii", "latin-1", "utf-16"])
@pytest.mark.parametrize(
    "words",
    [
        ["diff", "resnet18", "plain18"],
        ["--help"],
        ["show", "resnet18", "--lang", "zh"],
        ["predict", "b", "n", *QUICK],
    ],
)
def test_any_encoding_of_stdout(made, coding, words):
    done = run(made, *words, env={"PYTHONIOENCODING": coding})
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    done.stdout.decode(coding)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(made, closed, tmp_path):
    """A file that a command opens never becomes its stdout."""
    line = f'exec "$@" {closed}'
    out = tmp_path / "o.csv"
    words = ["bash", "-c", line, "bash", *PLUSX, "predict", "b", "n", "-o", str(out), *QUICK]
    done = subprocess.run(
        words, cwd=made, env={**ENV, "PLUSX_CACHE": str(made / "cache")}, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(
        list(csv.reader(io.StringIO(out.read_bytes().decode("utf-8", "surrogateescape"), newline="")))
    ) == 1 + len(HOSTILE)
    assert (
        subprocess.run(
            ["bash", "-c", line, "bash", *PLUSX, "show", "resnet18"], cwd=made, timeout=60, capture_output=True
        ).returncode
        == 0
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_file_never_takes_the_number_of_a_closed_stream(closed, tmp_path):
    code = "import sys; from plusx.cli import streams; streams.prepare(); sys.exit(open(sys.argv[1], 'w').fileno())"
    words = ["bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, "-c", code, str(tmp_path / "file")]
    assert subprocess.run(words, timeout=60, capture_output=True).returncode > 2
