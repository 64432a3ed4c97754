"""Every export, read back by its own engine: proven, described, listed, and refused when it is not the same function."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import plusx
from plusx.bundles import open_bundle
from plusx.bundles.engines import put_engine
from plusx.cli.main import main
from plusx.deploy import ExportConfig, export
from plusx.deploy.reference import PreprocessedNetwork, Reference
from plusx.deploy.targets import TARGETS
from plusx.errors import BundleError, DataError, GateError, SpecError
from plusx.runtime import find_images, preparing
from plusx.runtime.quiet import openvino
from shipping import copy_bare, write_digits

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")

FILES = {"openvino": ["model.bin", "model.xml"], "onnx": ["model.onnx"], "torch-export": ["model.pt2"]}


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    """A copy of the digits network, without engines that other tests have put into the original."""
    return copy_bare(run, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("to", "precision"), [(to, p) for to in TARGETS for p in TARGETS[to].rules.precisions if p != "int8"]
)
def test_export_into_the_bundle(to: str, precision: str, bundle: Path) -> None:
    made = export(bundle, ExportConfig(to, precision))
    assert made.path == bundle / "engines" / f"{to}-{precision}"
    assert sorted(p.name for p in made.path.iterdir()) == ["engine.json", *FILES[to]]
    listed = {n for n in open_bundle(bundle).files if n.startswith("engines/")}  # opens: every hash holds
    assert listed == {f"engines/{to}-{precision}/{n}" for n in made.files}
    proof = made.proof
    assert (proof.n, proof.alive, proof.agreement) == (359, True, 1.0)
    assert proof.reference_top1 is not None and proof.reference_top1 > 0.95
    assert proof.difference < (1e-5 if precision == "fp32" else 3e-2)
    if precision == "bf16":
        assert proof.difference > 1e-4, "it was computed in float32"


def test_the_batch_is_open_and_the_size_is_fixed(bundle: Path, tmp_path: Path) -> None:
    made = export(bundle, ExportConfig("openvino"))
    model = openvino().Core().read_model(made.path / "model.xml")
    assert str(model.input().get_partial_shape()) == "[?,8,8,1]"
    assert (model.input().get_element_type().get_type_name(), model.input().get_any_name()) == ("u8", "images")
    open_size = export(bundle, ExportConfig("openvino", dynamic=True), tmp_path / "any")
    assert str(openvino().Core().read_model(open_size.path / "model.xml").input().get_partial_shape()) == "[?,?,?,1]"
    import onnx

    graph = onnx.load(export(bundle, ExportConfig("onnx")).path / "model.onnx").graph
    dims = [d.dim_value or d.dim_param for d in graph.input[0].type.tensor_type.shape.dim]
    assert isinstance(dims[0], str) and dims[1:] == [8, 8, 1]


@pytest.mark.parametrize("to", TARGETS)
def test_open_height_and_width_are_the_network_too(to: str, photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    out = export(photos, ExportConfig(to, dynamic=True, data=str(jpegs[0].parent)), tmp_path / "any")
    network, reference = TARGETS[to].read(out.path, "fp32"), Reference(open_bundle(photos))
    for h, w in ((32, 32), (45, 61)):
        images = np.random.default_rng(h).integers(0, 256, (3, h, w, 3), dtype=np.uint8)
        want = reference(images)
        assert np.abs(network(images) - want).max() < 1e-4 * np.abs(want).max()


def test_another_size(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    made = export(photos, ExportConfig("openvino", size=(48, 48), data=str(jpegs[0].parent)), tmp_path / "large")
    about = json.loads((made.path / "engine.json").read_bytes())
    assert (about["preprocessing_before"]["crop_px"], about["preprocessing_before"]["resize_px"]) == (48, 60)


def test_labels_and_provenance_lie_in_the_network(bundle: Path) -> None:
    model = openvino().Core().read_model(export(bundle, ExportConfig("openvino")).path / "model.xml")
    assert model.get_rt_info(["model_info", "labels"]).astype(str).split() == [str(i) for i in range(10)]
    about = json.loads(model.get_rt_info(["plusx", "about"]).astype(str))
    assert about["proof"]["n"] == 359 and about["provenance"]["data"]["kind"] == "digits"
    import onnx

    props = {p.key: p.value for p in onnx.load(export(bundle, ExportConfig("onnx")).path / "model.onnx").metadata_props}
    assert json.loads(props["labels"]) == [str(i) for i in range(10)]
    assert json.loads(props["plusx"])["weights_sha256"] == open_bundle(bundle).files["weights.safetensors"]["sha256"]
    extra = {"plusx.json": ""}
    torch.export.load(export(bundle, ExportConfig("torch-export")).path / "model.pt2", extra_files=extra)
    assert json.loads(extra["plusx.json"])["classes"] == [str(i) for i in range(10)]


def test_weights_are_not_rounded_to_fp16(bundle: Path) -> None:
    """OpenVINO's save_model would by default."""
    made = export(bundle, ExportConfig("openvino"))
    params = sum(
        t.size for n, t in open_bundle(bundle).weights().items() if "running" not in n and "num_batches" not in n
    )
    assert (made.path / "model.bin").stat().st_size > 3.5 * params


# ---- defects that the proof must find ----


def test_a_forgotten_mean_is_found(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plusx.deploy import to_openvino

    def forgetful(model: Any, pre: Any) -> Any:
        return preparing.fold_preprocessing(model, replace(pre, mean=(0.0,)))

    monkeypatch.setattr(to_openvino, "fold_preprocessing", forgetful)
    with pytest.raises(GateError, match="fp32 export differs by"):
        export(bundle, ExportConfig("openvino"))
    assert not (bundle / "engines").exists()
    open_bundle(bundle)


def test_bf16_in_disguise_is_found(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An fp32 export whose engine computes in bf16, as OpenVINO does by default where it can."""
    target = TARGETS["openvino"]
    monkeypatch.setitem(
        TARGETS, "openvino", replace(target, read=lambda folder, precision: target.read(folder, "bf16"))
    )
    with pytest.raises(GateError, match="fp32 export differs by"):
        export(bundle, ExportConfig("openvino"))


def test_a_fixed_batch_is_found(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plusx.deploy import to_openvino
    from plusx.runtime.with_openvino import fix_batch

    def stubborn(model: Any, pre: Any) -> Any:
        folded = preparing.fold_preprocessing(model, pre)
        fix_batch(folded, 16)
        return folded

    monkeypatch.setattr(to_openvino, "fold_preprocessing", stubborn)
    with pytest.raises(Exception, match=r"(?i)shape|batch"):
        export(bundle, ExportConfig("openvino"))


@pytest.mark.parametrize(
    "words",
    [
        "resnet50 depths=1,1 widths=8,8 stem_width=8 classes=3 shortcut=D gate=cbam",
        "resnetv2_50 depths=1,1 widths=8,8 stem_width=8 classes=3",
    ],
)
@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_odd_networks_reach_torchs_targets_too(words: str, to: str, jpegs: list[Path], tmp_path: Path) -> None:
    from shipping import photo_bundle

    assert export(photo_bundle(tmp_path, words), ExportConfig(to, data=str(jpegs[0].parent))).proof.difference < 1e-4


# ---- storing ----


def test_an_interrupted_store_leaves_a_whole_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill at each rename: the bundle opens, with the engine whole or without it."""
    from plusx.bundles import atomic

    real, allowed = atomic._rename, 0

    def stop(source: Path, target: Path) -> None:
        nonlocal allowed
        if allowed == 0:
            raise KeyboardInterrupt
        allowed -= 1
        real(source, target)

    for steps in range(4):  # unlist, set aside, move in, list
        put_engine(open_bundle(bundle), "x-fp32", {}, {"model": b"old"})
        allowed = steps
        monkeypatch.setattr(atomic, "_rename", stop)
        with pytest.raises(KeyboardInterrupt):
            put_engine(open_bundle(bundle), "x-fp32", {}, {"model": b"new"})
        monkeypatch.setattr(atomic, "_rename", real)
        if "engines/x-fp32/model" in open_bundle(bundle).files:
            assert (bundle / "engines/x-fp32/model").read_bytes() in (b"old", b"new")
    put_engine(open_bundle(bundle), "x-fp32", {}, {"model": b"newest"})
    assert open_bundle(bundle).files["engines/x-fp32/model"]["bytes"] == 6


def test_a_tampered_engine_is_found(bundle: Path) -> None:
    put_engine(open_bundle(bundle), "x-fp32", {}, {"model": b"proven"})
    (bundle / "engines/x-fp32/model").write_bytes(b"forged")
    with pytest.raises(BundleError, match=r"engines/x-fp32/model is damaged"):
        open_bundle(bundle)


def test_notes_in_a_bundle_survive(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    export(bundle, ExportConfig("openvino"))
    assert (bundle / "notes.txt").read_text() == "mine"


# ---- words ----


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "onxx"], "unknown target 'onxx'. Did you mean 'onnx'"),
        (["--to", "onnx", "--precision", "bf16"], "has no bf16 convolutions on CPUs. Write one of fp32, int8"),
        (["--to", "torch-export", "--precision", "int8"], "Write one of fp32, bf16"),
        (["--to", "torch-export", "--layout", "triton", "-o", "x"], "does not take a torch-export network"),
        (["--layout", "triton"], "Name a new directory with -o DIR"),
        (["--size", "16"], "Name a new directory with -o DIR"),
        (["--size", "16x20", "-o", "x"], "plusx crops squares"),
        (["--accept-drop", "1"], "--accept-drop takes a finite number from 0 to below 1"),
        (["--data", "nowhere"], "There is no data at nowhere"),
        (["-o", "."], "exists and is not empty"),
    ],
)
def test_bad_words_are_one_line(
    words: list[str], says: str, bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle.parent)
    assert main(["export", str(bundle), *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("plusx: ") and says in err and err.count("\n") == 1


def test_images_must_be_known(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"does not say where the images of its training are\. Name a folder of images with --data"
    ):
        export(photos, ExportConfig("openvino"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="There are no images in"):
        export(photos, ExportConfig("openvino", data=str(tmp_path / "empty")))


def test_preprocessing_in_torch_equals_normalise(photos: Path) -> None:
    """Preprocessing inside the graph against plusx.images', for every value that a pixel can have."""
    opened = open_bundle(photos)
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    from plusx.images import normalise
    from plusx.nn.engine import bundle_network

    inputs = PreprocessedNetwork(torch.nn.Identity(), opened.preprocessing)(torch.from_numpy(images)).numpy()
    assert np.abs(inputs - normalise(images, opened.preprocessing)).max() < 1e-6
    assert bundle_network(opened).training is False


def test_the_config_checks_itself() -> None:
    with pytest.raises(SpecError, match="unknown precision 'int4'"):
        ExportConfig("openvino", "int4")


# ---- what an export says of itself ----


@pytest.mark.parametrize("to", ["openvino", "onnx"])
def test_the_output_is_called_what_it_is(to: str, bundle: Path, tmp_path: Path) -> None:
    """Logits: rows that sum to anything, whose softmax is what predict says of the same images."""
    made = export(bundle, ExportConfig(to))
    about = json.loads((made.path / "engine.json").read_bytes())
    assert about["output"]["name"] == "logits"
    if to == "openvino":
        named = openvino().Core().read_model(made.path / "model.xml").output().get_any_name()
    else:
        import onnx

        named = onnx.load(made.path / "model.onnx").graph.output[0].name
    assert named == "logits"
    images = write_digits(tmp_path / "new", 5)
    pixels = np.stack([np.asarray(Image.open(path))[..., None] for path in images])
    rows = TARGETS[to].read(made.path, "fp32")(pixels)
    assert np.abs(rows.sum(axis=1) - 1).min() > 1e-3, "these would be probabilities"
    said = [row.top[0] for row in plusx.predictor(bundle, top=1).stream(find_images([str(path) for path in images]))]
    shares = np.exp(rows - rows.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    assert [name for name, _ in said] == [str(i) for i in rows.argmax(axis=1)]
    assert np.allclose([p for _, p in said], shares.max(axis=1), atol=1e-4)


def test_images_that_moved_are_named_with_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from training.tinyrun import write_photos

    write_photos(tmp_path / "photos")
    run = str(tmp_path / "run")
    words = ["resnet18", "depths=1,1", "widths=4,8", "stem=3x3", "stem_width=4", "--data", str(tmp_path / "photos")]
    small = ["--recipe", "default epochs=1 batch=8 size=16", "--out", run, "--threads", "1", "--device", "cpu"]
    assert main(["train", *words, *small]) == 0
    (tmp_path / "photos").rename(tmp_path / "moved")
    capsys.readouterr()
    assert main(["export", run]) == 2
    assert capsys.readouterr().err == (
        f"plusx: The images that {run} was trained on are no longer at {tmp_path / 'photos'}. "
        "Name a folder of images with --data, like --data photos/.\n"
    )
    assert main(["export", run, "--data", str(tmp_path / "moved")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{run}/bundle/engines/openvino-fp32\n"
    assert said.err.splitlines()[-1] == f"wrote {run}/bundle/engines/openvino-fp32 (3 files)"
