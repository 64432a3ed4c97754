"""What is opened is a regular file of a known size; any name can be written as JSON."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plusx.bundles import open_bundle
from plusx.cli.main import main
from plusx.errors import BundleError
from plusx.files import json_text, open_regular, read_regular
from plusx.i18n import _, translate, visible

ANY = st.text(st.characters(), max_size=20)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="it is not a regular file"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_no_more_is_read_than_is_allowed(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="it has 1099511627776 bytes, and at most 10 are read"):
        read_regular(tmp_path / "sparse", 10)


@pytest.mark.parametrize("name", ["bundle.json", "run.json"])
@pytest.mark.parametrize("words", [["show"], ["predict", "--engine", "openvino", "--threads", "1"]])
def test_a_pipe_as_a_manifest_is_one_line(name, words, tmp_path, capsys):
    os.mkfifo(tmp_path / name)
    (tmp_path / "a.png").write_bytes(b"")
    assert main([words[0], str(tmp_path), *([str(tmp_path / "a.png")] if words[1:] else []), *words[1:]]) == 2
    err = capsys.readouterr().err
    assert err.startswith("plusx: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"schema": ' * 100_000, '{"schema": "plusx.bundle/1", "files": 1e999}']
)
def test_a_hostile_manifest_is_one_line(text, tmp_path, capsys):
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError):
        open_bundle(tmp_path)
    assert main(["show", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@given(ANY)
def test_json_is_utf8_without_controls_and_reads_back(text):
    written = json_text({text: [text]}, 1)
    written.encode()
    assert all(line == visible(line) for line in written.split("\n"))
    assert json.loads(written) == {text: [text]}


@given(ANY)
def test_messages_stay_one_printable_line_whatever_their_values_are(text):
    message = _("{name} and {name!r} of {inner}", name=text, inner=_("{x}", x=text))
    for said in (message, translate(message, "zh")):
        said.encode()
        assert visible(said) == said and len(said.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"), ("\r\t\0", "\\r\\t\\x00"), ("\x1b]0;own\x07", "\\x1b]0;own\\x07"), ("\x9b31m", "\\x9b31m"),
        ("caf\udce9", "caf\\xe9"), ("\ud800", "\\ud800"), ("a\u202egnp.exe", "a\\u202egnp.exe"), ("x\u2028y", "x\\u2028y"),
        ("Straße 猫 👩\u200d🔬\u3000\u00a0\u202f", "Straße 猫 👩\u200d🔬\u3000\u00a0\u202f"),
    ],
)  # fmt: skip
def test_what_is_escaped_and_what_is_writing(text, shown):
    assert visible(text) == shown
