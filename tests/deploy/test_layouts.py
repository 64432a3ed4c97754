"""Directories for model servers, held to the servers' own rules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import open_bundle
from plusx.deploy import ExportConfig, export
from plusx.deploy.layouts import WRITERS
from plusx.deploy.reference import Reference
from plusx.errors import SpecError
from plusx.runtime.quiet import onnxruntime, openvino
from shipping import copy_bare

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return copy_bare(run, tmp_path / "bundle")


def textproto(text: str) -> dict[str, list[str]]:
    """name → values of the fields in a text protobuf, at whatever depth; refuses what does not balance."""
    assert text.count("{") == text.count("}") and text.count("[") == text.count("]") and text.count('"') % 2 == 0
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'(\w+): (\[[^\]]*\]|"[^"]*"|[\w.-]+)', text):
        found.setdefault(name, []).append(value.strip('"'))
    return found


@pytest.mark.parametrize("to", ["openvino", "onnx"])
@pytest.mark.parametrize("layout", ["triton", "kserve"])
def test_triton(to: str, layout: str, bundle: Path, tmp_path: Path) -> None:
    """model_repository.md: REPO/NAME/config.pbtxt and numeric version folders; model_configuration.md: dims without batch."""
    out = export(bundle, ExportConfig(to, layout=layout), tmp_path / "digits").path
    model = (out / "models" if layout == "kserve" else out) / "digits"
    config = textproto((model / "config.pbtxt").read_text())
    assert config["name"] == ["digits", "images", "logits"], "the first must be the folder's name"
    assert config["backend"] == ["openvino" if to == "openvino" else "onnxruntime"]
    assert int(config["max_batch_size"][0]) > 1
    assert config["data_type"] == ["TYPE_UINT8", "TYPE_FP32"]
    assert config["dims"] == ["[ 8, 8, 1 ]", "[ 10 ]"]
    assert config["label_filename"] == ["labels.txt"]
    assert (model / "labels.txt").read_text().splitlines() == [str(i) for i in range(10)]
    (version,) = [p for p in model.iterdir() if p.is_dir()]
    assert version.name == "1" and (version / config["default_model_filename"][0]).is_file()
    same_as_trained(bundle, version)
    assert ".infer('digits', [images]).as_numpy('logits')" in (out / "README.md").read_text()
    if layout == "kserve":
        service = (out / "inferenceservice.yaml").read_text()
        for line in (
            "apiVersion: serving.kserve.io/v1beta1",
            "kind: InferenceService",
            "protocolVersion: v2",
            "storageUri: ",
        ):
            assert line in service


def same_as_trained(bundle: Path, folder: Path) -> None:
    """The served file, through its engine's reader, at a batch that no export saw."""
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
    if (folder / "model.xml").exists():
        model = openvino().Core().compile_model(str(folder / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        got = model({"images": images})["logits"]
    else:
        got = onnxruntime().InferenceSession(str(folder / "model.onnx")).run(["logits"], {"images": images})[0]
    want = Reference(open_bundle(bundle))(images)
    assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


def test_ovms(bundle: Path, tmp_path: Path) -> None:
    """OpenVINO Model Server: NAME/1/*.xml and *.bin alone of their kind; base_path is relative to config.json."""
    for precision, hint in (("fp32", "f32"), ("bf16", "bf16")):
        out = export(bundle, ExportConfig("openvino", precision, "ovms"), tmp_path / precision).path
        (entry,) = json.loads((out / "config.json").read_text())["model_config_list"]
        assert entry["config"]["plugin_config"]["INFERENCE_PRECISION_HINT"] == hint
        version = out / entry["config"]["base_path"] / "1"
        assert sorted(p.name for p in version.iterdir()) == ["model.bin", "model.xml"]
        same_as_trained(bundle, version)


def test_bf16_is_said_to_triton(bundle: Path, tmp_path: Path) -> None:
    for precision, said in (("fp32", False), ("bf16", True)):
        out = export(bundle, ExportConfig("openvino", precision, "triton"), tmp_path / precision).path
        assert (
            'key: "HINT_BF16" value: { string_value: "YES" }' in (out / precision / "config.pbtxt").read_text()
        ) is said


def test_plain_has_labels_and_its_proof(bundle: Path, tmp_path: Path) -> None:
    out = export(bundle, ExportConfig("onnx"), tmp_path / "digits").path
    assert sorted(p.name for p in out.iterdir()) == ["engine.json", "labels.txt", "model.onnx"]
    assert json.loads((out / "engine.json").read_bytes())["proof"]["difference"] < 1e-4


def test_names_that_servers_refuse(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="letters, digits, - and _ only"):
        export(bundle, ExportConfig("openvino", layout="triton"), tmp_path / 'a"b')
    assert not (tmp_path / 'a"b').exists()


def test_labels_stay_one_a_line() -> None:
    about = {
        "classes": ["tabby\ncat", "dog"],
        "output": {"name": "logits"},
        "preprocessing_before": {"crop_px": 8},
        "preprocessing_inside": {"mean": [0.5]},
    }
    for layout in WRITERS.values():
        tree = layout("x", ExportConfig("openvino"), about, {})
        (labels,) = [content for path, content in tree.items() if path.endswith("labels.txt")]
        assert labels == b"tabby cat\ndog\n"
