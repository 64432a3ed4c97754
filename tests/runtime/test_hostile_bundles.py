"""Bundles made by an enemy, with all hashes in order: each is used, or refused in one line."""

from __future__ import annotations

import hashlib
import json
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from plusx.bundles import DataRecord, Provenance, open_bundle, save_bundle
from plusx.bundles.atomic import _DIGEST, _digest
from plusx.bundles.engines import put_engine, put_file
from plusx.cli.main import main
from plusx.errors import PlusxError
from plusx.images import Preprocessing
from plusx.nn import build
from plusx.runtime import processor
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import open_engine
from plusx.runtime.planning import choose_plan
from plusx.specs import parse

HOSTILE = (None, [], {}, "", "x", "²", -1, 0, 2.5, 2**200, 1e308, True, [[]], ["\x1b[31m"], {"a": "\udce9"})
INT8 = ("openvino", "int8", 1, 1, 1)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle with an int8 export (its numbers are floats, which no reader minds) and measured plans."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    spec = parse("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 classes=2")
    weights = {name: tensor.numpy() for name, tensor in build(spec).state_dict().items()}
    about = Provenance(
        "resnet20",
        {"name": "default"},
        1,
        2,
        DataRecord("folder", "photos", "f", ("a", "b"), 4, val_split=0.2),
        "cpu",
        "fp32",
        1,
        {"plusx": "1"},
    )
    save_bundle("b", spec, ["a", "b"], Preprocessing("RGB", 32, 32), weights, {"n": 4, "top1": 0.5}, about)
    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(np.full((32, 32, 3), 100, np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path / "b"


def with_export(bundle):
    from plusx.graph import lower
    from plusx.runtime.lowering import lower_to_openvino
    from plusx.runtime.preparing import fold_preprocessing
    from plusx.runtime.quiet import openvino

    opened = open_bundle(bundle)
    model = fold_preprocessing(lower_to_openvino(lower(opened.spec), opened.weights(), (32, 32)), opened.preprocessing)
    openvino().save_model(model, bundle.parent / "model.xml", compress_to_fp16=False)
    files = {name: (bundle.parent / name).read_bytes() for name in ("model.xml", "model.bin")}
    put_engine(opened, "openvino-int8", {"weights_sha256": opened.files["weights.safetensors"]["sha256"]}, files)
    return files


def reseal(bundle, edit):
    found = json.loads((bundle / "bundle.json").read_text())
    edit(found)
    found.pop(_DIGEST)
    for name in found["files"] if isinstance(found.get("files"), dict) else ():
        if (bundle / name).is_file():
            raw = (bundle / name).read_bytes()
            found["files"][name] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    found[_DIGEST] = _digest(found)
    (bundle / "bundle.json").write_text(json.dumps(found))


def leaves(value, path=()):
    """The paths of everything in a JSON value."""
    if path:
        yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if path[:1] != ("files",):
            yield from leaves(each, (*path, key))


def setting(path, value):
    def edit(found):
        at = found
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return edit


def every_edit(bundle):
    found = json.loads((bundle / "bundle.json").read_text())
    found.pop(_DIGEST)
    return [(path, value) for path in leaves(found) for value in HOSTILE]


def check_edits(bundle, edits, capsys):
    whole, used = (bundle / "bundle.json").read_bytes(), 0
    for path, value in edits:
        (bundle / "bundle.json").write_bytes(whole)
        reseal(bundle, setting(path, value))
        for words in (
            ["predict", "b", "photos", "--threads", "1"],
            ["evaluate", "b", "--data", "photos", "--threads", "1"],
            ["show", "b"],
        ):
            code = main(words)
            said = capsys.readouterr()
            used += code == 0
            assert code in (0, 2, 3), (path, value)
            if code:
                assert said.err.rstrip("\n").rsplit("\n", 1)[-1].startswith("plusx: "), (path, value, said.err)
            assert "\x1b" not in said.out + said.err
    assert used


def test_hostile_manifests(bundle, capsys):
    check_edits(bundle, random.Random(0).sample(every_edit(bundle), 40), capsys)


@pytest.mark.slow
def test_every_hostile_manifest(bundle, capsys):
    check_edits(bundle, every_edit(bundle), capsys)


@pytest.mark.parametrize(
    "row",
    [{"plan": {"batch": 0}}, {"plan": {"workers": 0}}, {"plan": {"threads": "2"}}, {"plan": {"engine": []}}, {"plan": []}, [], "x", None,
     {"plan": {"batch": 2**70}}, {"plan": {"device": 3}}, {"plan": {"precision": "fp64"}}, {"plan": {"workers": True}}],
)  # fmt: skip
def test_hostile_plans(bundle, row, capsys):
    if isinstance(row, dict) and isinstance(row["plan"], dict):
        row = {"plan": {**ExecutionPlan("openvino", "fp32", 1, 1, 1).to_dict(), **row["plan"]}}
    put_file(open_bundle(bundle), "engines/tuned.json", json.dumps({processor.key(): {"throughput": row}}).encode())
    code = main(["predict", "b", "photos"])
    said = capsys.readouterr()
    assert (code == 2 and said.err.startswith("plusx: ") and said.err.count("\n") == 1) or said.out.count("\n") == 2


@pytest.mark.parametrize("text", ["[" * 100_000, '{"' * 50_000, "", "\x00", "[1,"])
def test_plans_that_are_no_json(bundle, text, capsys):
    put_file(open_bundle(bundle), "engines/tuned.json", text.encode())
    assert main(["predict", "b", "photos"]) == 2
    assert "is damaged. Write it again with plusx tune" in capsys.readouterr().err


def test_an_export_of_other_weights_is_refused(bundle, capsys):
    with_export(bundle)
    assert choose_plan(open_bundle(bundle)).precision == "int8"
    engine = bundle / "engines/openvino-int8/engine.json"
    engine.write_text(engine.read_text().replace('"weights_sha256": "', '"weights_sha256": "0'))
    reseal(bundle, lambda found: None)
    assert main(["predict", "b", "photos"]) == 2
    err = capsys.readouterr().err
    assert (
        "made from other weights than those of the bundle. Export it again: plusx export" in err
        and err.count("\n") == 1
    )


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", '{"schema": "plusx.engine/2"}', '{"schema": "plusx.engine/1"}', ""]
)
def test_engine_files_that_are_none(bundle, text, capsys):
    with_export(bundle)
    (bundle / "engines/openvino-int8/engine.json").write_text(text)
    reseal(bundle, lambda found: None)
    assert main(["predict", "b", "photos"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def mutated(raw: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(raw)), rng.choice((1, 4, 40, 400))
    return rng.choice(
        (
            raw[:at], raw[:at] + raw[at + size :], raw[:at] + rng.randbytes(min(size, 8)) + raw[at:],
            raw[:at] + raw[at : at + size] * 2 + raw[at + size :], raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :],
        )
    )  # fmt: skip


def check_models(bundle, count):
    files = with_export(bundle)
    folder, works = bundle / "engines/openvino-int8", 0
    images = np.zeros((1, 32, 32, 3), np.uint8)
    for number in range(count):
        name = ("model.xml", "model.bin")[number % 10 == 9]
        (folder / "model.xml").write_bytes(files["model.xml"])
        (folder / "model.bin").write_bytes(files["model.bin"])
        (folder / name).write_bytes(mutated(files[name], random.Random(number)))
        reseal(bundle, lambda found: None)
        shutil.rmtree(bundle.parent / "cache", ignore_errors=True)
        try:
            assert open_engine(open_bundle(bundle), ExecutionPlan(*INT8)).infer(images).shape == (1, 2)
            works += 1
        except PlusxError as error:
            assert "Export it again: plusx export" in str(error) and str(error).isprintable()
    assert works < count


def test_mutated_models_are_refused_in_one_line(bundle):
    check_models(bundle, 40)


@pytest.mark.slow
def test_many_mutated_models_are_refused_in_one_line(bundle):
    check_models(bundle, 500)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"u8"', '"f32"'), ('shape="?,32,32,3"', 'shape="?,16,16,3"'), ('shape="?,32,32,3"', 'shape="?,?,?,3"')],
)
def test_a_model_of_other_shapes_is_refused(bundle, old, new):
    files = with_export(bundle)
    text = files["model.xml"].decode()
    assert old in text
    (bundle / "engines/openvino-int8/model.xml").write_text(text.replace(old, new))
    reseal(bundle, lambda found: None)
    with pytest.raises(PlusxError, match="Export it again"):
        open_engine(open_bundle(bundle), ExecutionPlan(*INT8))
