"""Any engine evaluates any weights: the numbers agree, the file is hashed once, and torch is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import open_bundle
from plusx.bundles.snapshot import OpenFiles
from plusx.cli.main import main
from plusx.data import open_data
from plusx.errors import BundleError, SpecError
from plusx.evaluation import evaluate, evaluate_logits, open_source
from plusx.evaluation.counting import BATCH
from plusx.evaluation.evaluating import evaluation_plan
from plusx.images import Preprocessing
from plusx.runtime.engines import EngineOptions
from plusx.training import RunOptions, fit
from waiting import HANG


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluation") / "run"
    recipe = "digits epochs=3 batch=64 lr=0.1 ema=0.98 keep=best precision=fp32"
    network = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4"
    list(fit(network, "digits", recipe, path, RunOptions(device="cpu", threads=1, workers=0)))
    return path


@pytest.mark.parametrize("weights", ["best", "last", "ema"])
def test_openvino_agrees_with_torch(weights: str, run: Path) -> None:
    """Two implementations of the same network, for weights in a bundle and in a checkpoint alike."""
    pytest.importorskip("openvino")
    torch = evaluate(run, "digits", weights=weights, options=EngineOptions("torch", device="cpu"))
    other = evaluate(run, "digits", weights=weights, options=EngineOptions("openvino"))
    assert other.n == torch.n == 359
    assert np.abs(other.confusion - torch.confusion).sum() <= 2  # a tie may fall the other way
    assert other.nll == pytest.approx(torch.nll, rel=1e-4)


def test_a_cache_of_compiled_networks_tells_weights_apart(run: Path) -> None:
    """best is compiled first; last must not be answered with it. torch says what each comes to."""
    pytest.importorskip("openvino")
    found = {
        (engine, weights): evaluate(run, "digits", weights=weights, options=EngineOptions(engine)).nll
        for weights in ("best", "last", "ema")
        for engine in ("openvino", "torch")
    }
    assert found["torch", "last"] != pytest.approx(found["torch", "ema"], rel=1e-3)
    for weights in ("best", "last", "ema"):
        assert found["openvino", weights] == pytest.approx(found["torch", weights], rel=1e-4)


def test_an_export_of_other_weights_is_not_evaluated(run: Path) -> None:
    """ONNX Runtime computes exports, which are of the best weights: with --weights last it refuses."""
    with pytest.raises(BundleError, match="no fp32 network for onnxruntime"):
        evaluate(run, "digits", weights="last", options=EngineOptions("onnxruntime"))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_weights_are_hashed_once(engine: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(engine)
    hashed: list[str] = []
    compare = OpenFiles._compare

    def watched(self: OpenFiles, name: str, chunks: list[bytes]) -> None:
        hashed.append(name)
        compare(self, name, chunks)

    monkeypatch.setattr(OpenFiles, "_compare", watched)
    evaluate(run, "digits", options=EngineOptions(engine))
    assert hashed.count("weights.safetensors") == 1
    open_bundle(run).weights()  # the control: a bundle that is opened and then read is hashed twice
    assert hashed.count("weights.safetensors") == 3


def test_a_damaged_file_is_still_refused(run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run / "bundle", tmp_path / "bundle")
    file = tmp_path / "bundle" / "weights.safetensors"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(BundleError, match="is damaged"):
        open_source(tmp_path / "bundle")


def test_the_default_is_training_s(run: Path) -> None:
    plan = evaluation_plan(open_source(run))
    assert (plan.engine, plan.precision, plan.batch, plan.threads) == ("torch", "fp32", BATCH, 1)
    with pytest.raises(SpecError, match="engine"):
        EngineOptions("tensorrt")


def test_the_command_says_what_computed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino")
    words = ["evaluate", str(run), "--data", "digits", "--format", "json", "--threads", "1"]
    assert main([*words, "--engine", "openvino"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["engine"], json.loads(out)["precision"]) == ("openvino", "fp32")
    assert "computed by openvino in fp32" in err
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "torch"


def test_it_needs_no_torch(run: Path) -> None:
    """A fresh interpreter in which torch cannot be imported: --engine auto is then OpenVINO."""
    pytest.importorskip("openvino")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from plusx.cli.main import main\n"
        f"sys.exit(main(['evaluate', {str(run)!r}, '--data', 'digits', '--format', 'json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["engine"] == "openvino" and json.loads(done.stdout)["n"] == 359


def test_counting_is_by_hand() -> None:
    """An engine that answers by a rule: the counts are those of numpy, batches of any size in order."""
    data = open_data("digits").val
    pre = Preprocessing("L", 8, 8, "bilinear", 1 / 255, (0.5,), (0.5,))
    sizes: list[int] = []

    def rule(images: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        sizes.append(len(images))
        brightest = images.reshape(len(images), -1).sum(1) % 10
        return np.eye(10, dtype=np.float32)[brightest]

    found = evaluate_logits(rule, data, pre)
    assert data.images is not None and found is not None
    answers = data.images.reshape(len(data), -1).sum(1) % 10
    assert found.correct == int((answers == data.labels).sum()) and found.n == len(data) == sum(sizes)
    assert max(sizes) == BATCH
    assert evaluate_logits(rule, data, pre, stopped=lambda: True) is None
