"""int8: good where it can be, refused by how much where it cannot, mended by leaving layers in float."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import plusx
from plusx.bundles import open_bundle, save_bundle
from plusx.cli.main import main
from plusx.deploy import ExportConfig, export
from plusx.runtime.quiet import openvino
from shipping import copy_bare

pytest.importorskip("openvino")
pytest.importorskip("nncf")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return copy_bare(run, tmp_path / "bundle")


def lopsided(bundle: Path, to: Path, factor: float) -> Path:
    """The same function in float: in each block one channel between the convolutions is `factor` times as large.

    conv1's norm makes it larger, conv2's weights take it back. One scale for all channels, as int8 has for activations,
    then leaves nothing of the others.
    """
    found = open_bundle(bundle)
    weights = {key: np.array(value) for key, value in found.weights().items()}
    for stage in (1, 2, 3):
        weights[f"layer{stage}.0.bn1.weight"][0] *= factor
        weights[f"layer{stage}.0.bn1.bias"][0] *= factor
        weights[f"layer{stage}.0.conv2.weight"][:, 0] /= factor
    return save_bundle(to, found.spec, found.classes, found.preprocessing, weights, found.metrics, found.provenance)


def quantisers(folder: Path) -> int:
    """How many places an export rounds at."""
    if (folder / "model.xml").exists():
        ops = openvino().Core().read_model(folder / "model.xml").get_ops()
        return [op.get_type_name() for op in ops].count("FakeQuantize")
    import onnx

    return [node.op_type for node in onnx.load(folder / "model.onnx").graph.node].count("DequantizeLinear")


@pytest.mark.parametrize(("to", "engine"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_int8_of_a_good_network(to: str, engine: str, bundle: Path, digits: list[Path]) -> None:
    made = export(bundle, ExportConfig(to, "int8"))
    assert made.proof.kept >= 0.99
    assert made.proof.difference > 1e-3, "nothing was quantised"
    model = made.path / ("model.bin" if to == "openvino" else "model.onnx")
    weights = sum(tensor.nbytes for tensor in open_bundle(bundle).weights().values())
    assert model.stat().st_size < weights / 2
    rows = plusx.predictor(bundle, engine=engine)(digits)
    assert plusx.predictor(bundle, engine=engine).plan.precision == "int8"
    assert sum(row.top[0][0] == p.stem[-1] for row, p in zip(rows, digits, strict=True)) >= 38


def test_the_gate_refuses_and_says_by_how_much(
    bundle: Path, digits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judged on images without labels, so there is no accuracy to steer by, and nothing is stored."""
    bad = lopsided(bundle, tmp_path / "bad", 3000)
    assert export(bad, ExportConfig("openvino")).proof.reference_top1 > 0.95  # type: ignore[operator]
    words = ["export", str(bad), "--precision", "int8", "--data", str(digits[0].parent)]
    assert main(words) == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        err.startswith("plusx: int8 keeps ")
        and "of fp32's predicted classes on 40 images, but 99.00% is required" in err
    )
    assert not (bad / "engines/openvino-int8").exists()
    least = err.rpartition("--accept-drop ")[2].removesuffix(".")
    assert main([*words, "--accept-drop", least]) == 0
    proof = json.loads((bad / "engines/openvino-int8/engine.json").read_bytes())["proof"]
    assert proof["agreement"] < 0.99


@pytest.mark.parametrize("to", ["openvino", pytest.param("onnx", marks=pytest.mark.slow)])
def test_layers_are_left_in_float_before_giving_up(to: str, bundle: Path, tmp_path: Path) -> None:
    """With labels, NNCF's accuracy control finds the layers that cannot be quantised."""
    bad, said = lopsided(bundle, tmp_path / "bad", 3000), []
    made = export(bad, ExportConfig(to, "int8", most_images=200), log=said.append)
    assert any("Some layers return to float" in line for line in said)
    assert made.proof.kept >= 0.99
    good = export(bundle, ExportConfig(to, "int8", most_images=200))
    assert 0 < quantisers(made.path) < quantisers(good.path)


def test_calibrated_on_a_folder(bundle: Path, digits: list[Path], tmp_path: Path) -> None:
    for i, path in enumerate(digits):
        (tmp_path / "some").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "some" / f"{i}.png")
    (tmp_path / "some" / "torn.png").write_bytes(b"nothing")
    assert export(bundle, ExportConfig("openvino", "int8", calibrate=str(tmp_path / "some"))).proof.kept >= 0.99
