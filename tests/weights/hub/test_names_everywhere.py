"""A hub's name works wherever a weights file does, and what the table knows counts more than conventions. Without torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import TINY, Server, sha256, tiny_weights, whole
from PIL import Image

import plusx
from plusx.cli.main import main
from plusx.errors import SpecError, WeightsError
from plusx.images import Preprocessing
from plusx.weights import convert_file, identify
from plusx.weights.hub.entries import CROP_95, ENTRIES, STRIKES_BACK
from plusx.weights.hub.entry import Entry
from plusx.weights.hub.remote import Digest, hub_file
from plusx.weights.opening import open_first_weights, open_source

NAME = "timm/tiny.a1_in1k"
PATH = "/timm/tiny.a1_in1k/resolve/main/model.safetensors"
FILE = tiny_weights()
KNOWN = Preprocessing("RGB", 235, 224, "bicubic")


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, server: Server) -> Entry:
    """A small network in the table, at a mirror on this machine."""
    made = Entry(
        NAME, TINY, (hub_file("timm/tiny.a1_in1k", "model.safetensors"),), None, "cc-by-nc-4.0", CROP_95, 50.0, None, STRIKES_BACK,
        "a test", labels="",
    )  # fmt: skip
    monkeypatch.setitem(ENTRIES, NAME, made)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.on(PATH, whole(FILE))
    return made


def test_the_table_counts_more_than_conventions(entry: Entry) -> None:
    found = identify(NAME)
    assert found.spec == plusx.spec(TINY) and found.settled
    assert {verdict.how for verdict in found.fields.values()} == {"known"}
    assert (found.preprocessing, found.preprocessing_source) == (KNOWN, NAME)
    assert [line for line in found.notes if "was downloaded from" in line]
    said: list[str] = []
    bundle = open_source(NAME, say=said.append)
    assert (bundle.spec, bundle.preprocessing) == (plusx.spec(TINY), KNOWN)
    assert f"preprocessing as known of {NAME}" in said
    assert not [line for line in said if "convention" in line or "not shown" in line]
    other = bundle.provenance.other
    assert (other["name"], other["licence"], other["sha256"]) == (NAME, "cc-by-nc-4.0", sha256(FILE))


def test_the_same_file_by_its_path_is_taken_by_convention(entry: Entry, tmp_path: Path) -> None:
    """Negative control of the test above."""
    (tmp_path / "net.safetensors").write_bytes(FILE)
    found = identify(tmp_path / "net.safetensors")
    assert found.preprocessing != KNOWN
    assert {verdict.how for verdict in found.fields.values()} > {"convention"}


def test_a_file_is_known_by_its_published_hash(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a file that was downloaded by hand has the preprocessing of its row, wherever it lies and whatever it is called."""
    monkeypatch.setitem(ENTRIES, NAME, replace(entry, digest=Digest("sha256", sha256(FILE)[:8])))
    (tmp_path / "net.safetensors").write_bytes(FILE)
    assert identify(tmp_path / "net.safetensors").preprocessing == KNOWN


def test_what_is_written_counts_more_than_the_table(entry: Entry) -> None:
    mine = Preprocessing("RGB", 100, 96)
    bundle = open_source(NAME, preprocessing=mine, spec=f"{TINY} norm=frozen", labels=list("abcde"))
    assert (bundle.preprocessing, bundle.spec.norm, bundle.classes) == (mine, "frozen", tuple("abcde"))


def test_a_training_starts_from_a_name(entry: Entry) -> None:
    said: list[str] = []
    assert open_first_weights(NAME, say=said.append).spec == plusx.spec(TINY)
    asked = plusx.spec(f"{TINY.replace('classes=5', 'classes=7')} drop_path=0.1")
    assert str(open_first_weights(NAME, asked).spec) == f"{TINY} drop_path=0.1".replace(" classes=5", "") + " classes=5"
    assert open_first_weights("imagenet", asked, say=said.append).provenance.other["name"] == NAME
    assert [line for line in said if line.startswith(f"{NAME} is taken")]
    with pytest.raises(SpecError, match="no network is named"):
        open_first_weights("imagenet")


def test_weights_with_poor_frozen_features_say_so_before_a_training(entry: Entry) -> None:
    said: list[str] = []
    open_first_weights(NAME, say=said.append)
    assert [line for line in said if line.startswith(f"frozen features of {NAME} are poor")]


def test_poor_frozen_features_are_said_where_vectors_are_wanted_and_nowhere_else(
    entry: Entry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "a.png"
    Image.new("RGB", (40, 40), (200, 10, 10)).save(photo)
    assert main(["embed", NAME, str(photo), "-o", str(tmp_path / "v.npy")]) == 0
    assert f"frozen features of {NAME} are poor" in capsys.readouterr().err
    assert main(["predict", NAME, str(photo)]) == 0
    assert "frozen features" not in capsys.readouterr().err


def test_another_network_than_the_name_says_is_refused(entry: Entry, server: Server) -> None:
    server.on(PATH, whole(tiny_weights(words="resnet18 widths=8,16,32,64 stem_width=8 classes=4")))
    with pytest.raises(
        WeightsError, match=rf"^{NAME} should hold .* classes=5, but .*model\.safetensors does not: .*Delete the file"
    ):
        open_source(NAME)


def test_the_config_of_a_repository_names_its_classes(hub: Server, tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(FILE)
    folder = convert_file(tmp_path / "net.safetensors", "huggingface", tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text()) | {"id2label": {str(i): f"animal {i}" for i in range(5)}}
    hub.on("/org/net/resolve/main/model.safetensors", whole((folder / "model.safetensors").read_bytes()))
    hub.on("/org/net/resolve/main/config.json", whole(json.dumps(config).encode()))
    assert open_source("hf:org/net").classes == tuple(f"animal {i}" for i in range(5))


# ---- commands ----


def test_show_answers_from_the_table_without_a_download(
    entry: Entry, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", NAME, "norm=frozen", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"] == f"{TINY.replace('classes', 'norm=frozen classes')}"
    assert main(["show", "torchvision/resnet50", "--format", "json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["spec"] == "resnet50" and "torchvision/resnet50:IMAGENET1K_V1 is taken" in shown.err
    assert main(["diff", NAME, "resnet18"]) == 1 or capsys.readouterr().out
    assert server.asked == []


def test_weights_that_plusx_cannot_use_are_refused_before_their_download(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for words in (["show"], ["weights", "identify"]):
        assert main([*words, "timm/resnetv2_50x1_bit.goog_in21k"]) == 2
        assert "is not a network of plusx: BiT standardises its weights in every pass." in capsys.readouterr().err
    assert server.asked == []


def test_show_fetches_what_the_table_does_not_have(hub: Server, capsys: pytest.CaptureFixture[str]) -> None:
    hub.on("/org/net/resolve/main/model.safetensors", whole(FILE))
    for name in ("hf:org/net", f"{hub.url}/org/net/resolve/main/model.safetensors"):
        assert main(["show", name, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["spec"] == TINY


def test_a_signed_address_is_longer_than_a_path_may_be(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"{server.on('/' + 'a' * 300 + '.safetensors', whole(FILE))}?signature={'b' * 900}"
    assert main(["show", url, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"] == TINY
    assert open_source(url).spec == open_first_weights(url).spec == plusx.spec(TINY)
    assert main(["weights", "identify", url]) == 0
    assert main(["export", url, "--to", "onnx"]) == 2
    assert "results cannot be stored in it" in capsys.readouterr().err


def test_the_ways_of_weights_take_names(entry: Entry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "net.safetensors")
    assert main(["weights", "identify", NAME, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["preprocessing"]["resize_px"] == 235
    assert main(["weights", "identify", NAME]) == 0
    assert f"as known of {NAME}" in capsys.readouterr().out
    assert main(["weights", "convert", NAME, "--to", "plusx", "-o", out]) == 0
    assert identify(out).preprocessing == KNOWN
    assert main(["weights", "cut", NAME, "--until", "layer2", "-o", str(tmp_path / "cut.safetensors")]) == 0
    assert main(["weights", "bundle", NAME, "-o", str(tmp_path / "bundle")]) == 0
    written = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert written["preprocessing"]["resize_px"] == 235 and written["provenance"]["licence"] == "cc-by-nc-4.0"


def test_fetch_prints_the_path(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", NAME]) == 0
    shown = capsys.readouterr()
    assert Path(shown.out.strip()).read_bytes() == FILE
    assert shown.err.count("note: ") == 2 and sha256(FILE) in shown.err
    assert main(["weights", "fetch", "imagenet", *TINY.split()]) == 0
    assert capsys.readouterr().out == shown.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["resnet50.a1_in1k"], "'resnet50.a1_in1k' is no name of weights. Did you mean 'timm/resnet50.a1_in1k'?"),
        (["torchvison/resnet50"], "Did you mean 'torchvision/resnet50:IMAGENET1K_V1'?"),
        (["IMAGENET1K_V2"], "Did you mean 'torchvision/resnet50:IMAGENET1K_V2'?"),
        (["microsoft/resnet-50"], "Did you mean 'hf:microsoft/resnet-50'?"),
        (["#"], "'#' is no name of weights. plusx weights list shows those that plusx knows."),
        (["imagenet"], "no network is named"),
        (["imagenet", "resnet5O"], "There is no preset 'resnet5O'"),
        (
            ["timm/resnet50.a1_in1k", "resnet50"],
            "timm/resnet50.a1_in1k says by itself which weights it means. Leave out resnet50.",
        ),
    ],
)
def test_fetch_answers_what_is_no_name(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["show", "torchvison/resnet50"],
        ["predict", "torchvison/resnet50", "."],
        ["weights", "identify", "timm/resnet50.a1_in"],
    ],
)
def test_a_misspelt_name_is_not_just_a_missing_file(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "torchvision/resnet50:IMAGENET1K_V1" in error or "timm/resnet50.a1_in1k" in error


@pytest.mark.parametrize(
    "word", ["weights/resnet50.pth", "runs/resnet50-photos-001", "bundle", "my/resnet18.safetensors", "photos/net"]
)
def test_a_missing_path_is_not_taken_for_a_name(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", word, "."]) == 2
    error = capsys.readouterr().err
    assert word in error and "hub" not in error


def test_a_broken_download_exits_with_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "http://127.0.0.1:9/net.pth"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("plusx: http://127.0.0.1:9/net.pth could not be downloaded (Connection refused). Get ")
    assert all(line.startswith("note: ") for line in lines[:-1])


def test_results_cannot_be_stored_in_a_name(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", NAME, "--to", "onnx"]) == 2
    assert "results cannot be stored in it" in capsys.readouterr().err


# ---- the list ----


def test_the_list_has_each_row_and_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "list"]) == 0
    whole_list = capsys.readouterr().out
    for name, entry in ENTRIES.items():
        line = next(line for line in whole_list.splitlines() if line.startswith(f"{name} "))
        assert entry.licence in line and f" {entry.frozen.verdict} " in line and entry.frozen.why in line
        assert entry.top1 is None or f" {entry.top1:.2f} " in line
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["weights", "list"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_list_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list", "-o", str(tmp_path / "list.json")]) == 0
    rows = json.loads((tmp_path / "list.json").read_text())
    assert [row["name"] for row in rows] == list(ENTRIES)
    first = next(row for row in rows if row["name"] == "torchvision/resnet50:IMAGENET1K_V1")
    assert (first["network"], first["top1"], first["hash"]) == (
        "resnet50",
        76.13,
        {"kind": "sha256", "start": "0676ba61"},
    )
    assert Preprocessing.from_dict(first["preprocessing"]) == Preprocessing("RGB", 256, 224)


def test_the_list_in_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list", "--lang", "zh"]) == 0
    assert "许可" in capsys.readouterr().out
