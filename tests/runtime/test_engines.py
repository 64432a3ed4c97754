"""One table of engines: each computes the same logits, and any one of them is enough to predict, embed and tune."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import plusx
from plusx.bundles import open_bundle
from plusx.cli.main import main
from plusx.deploy import ExportConfig, export
from plusx.errors import MissingExtra, SpecError
from plusx.images import decode, resize_crop
from plusx.runtime import engines, planning
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import ENGINES, EngineOptions, open_engine
from plusx.runtime.planning import choose_plan
from plusx.runtime.tuning import candidates
from shipping import copy_bare, fresh

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")

HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("openvino", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture
def bundle(photos: Path, tmp_path: Path) -> Path:
    return copy_bare(photos, tmp_path / "bundle")


def test_every_engine_of_the_table_computes_the_same_logits(bundle: Path, jpegs: list[Path]) -> None:
    """torch computes the weights as they are; the other two compute a lowered and an exported network."""
    pytest.importorskip("onnxruntime")
    export(bundle, ExportConfig("onnx", data=str(jpegs[0].parent)))
    opened = open_bundle(bundle)
    pre = opened.preprocessing
    images = np.stack([resize_crop(decode(p, pre.mode, at_least_px=pre.decode_px), pre) for p in jpegs])
    logits = {
        name: open_engine(opened, ExecutionPlan(name, "fp32", len(images), 1, 1)).infer(images) for name in ENGINES
    }
    assert set(logits) == {"openvino", "onnxruntime", "torch"}
    for found in logits.values():
        assert found.shape == (len(jpegs), 3) and found.dtype == np.float32
        assert np.abs(found - logits["torch"]).max() < 1e-5 * np.abs(logits["torch"]).max()
    assert logits["torch"].std(axis=0).max() > 1e-3


def test_torch_alone_predicts_embeds_and_tunes(bundle: Path, jpegs: list[Path], tmp_path: Path) -> None:
    """As after pip install 'plusx[train]': the other engines are hidden from a new interpreter."""
    code = """
import numpy, plusx
from plusx.cli.main import main
bundle, out, *images = sys.argv[1:]
predict = plusx.predictor(bundle)
assert predict.plan.engine == "torch", predict.plan
rows = predict(images)
assert main(["predict", bundle, *images, "--top", "3", "-o", f"{out}/rows.jsonl"]) == 0
assert main(["embed", bundle, *images, "-o", f"{out}/v.npy"]) == 0
assert main(["embed", bundle, *images, "--at", "layer1", "-o", f"{out}/layer1.npy"]) == 0
assert main(["predict", bundle, images[0], "--engine", "openvino"]) == 2
assert main(["tune", bundle, "--seconds", "0.01"]) == 0
print(repr([row.top for row in rows]))
assert not {"openvino", "onnxruntime"} & set(sys.modules)
"""
    lines = fresh(HIDE + code, str(bundle), str(tmp_path), *map(str, jpegs)).splitlines()
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert eval(lines[-1]) == [tuple((t["class"], t["p"]) for t in row["top"]) for row in rows]
    assert any(line.startswith("chosen: torch fp32, ") for line in lines)
    assert main(["predict", str(bundle), *map(str, jpegs), "--engine", "torch", "-o", str(tmp_path / "t.jsonl")]) == 0
    assert (tmp_path / "t.jsonl").read_bytes() == (tmp_path / "rows.jsonl").read_bytes()
    for row, want in zip(rows, plusx.predictor(bundle, engine="openvino")(jpegs), strict=True):
        assert [t["class"] for t in row["top"]] == [name for name, _p in want.top]
        assert np.allclose([t["p"] for t in row["top"]], [p for _name, p in want.top], atol=1e-5)
    for file, words in (("v.npy", []), ("layer1.npy", ["--at", "layer1"])):
        assert main(["embed", str(bundle), *map(str, jpegs), *words, "-o", str(tmp_path / "o.npy"),
                     "--engine", "openvino"]) == 0  # fmt: skip
        found, other = np.load(tmp_path / file), np.load(tmp_path / "o.npy")
        assert found.shape == other.shape and np.abs(found - other).max() < 1e-5 * np.abs(other).max()


def test_torch_is_the_last_choice(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(photos)
    assert choose_plan(bundle).engine == "openvino"
    assert {plan.engine for plan in candidates(bundle, "throughput", 2)} == {"openvino"}
    assert choose_plan(bundle, EngineOptions(device="cpu")).engine == "torch"
    monkeypatch.setattr(planning, "installed", lambda name: name != "openvino")
    # onnxruntime is there too, but has no export in this bundle
    plan = choose_plan(bundle, EngineOptions(threads=4))
    assert (plan.engine, plan.precision, plan.workers, plan.threads) == ("torch", "fp32", 2, 4)


def test_what_an_engine_cannot_compute_is_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(photos)
    for engine, precision in (("torch", "int8"), ("onnxruntime", "bf16")):
        with pytest.raises(SpecError, match=f"--engine {engine} does not compute in {precision}. Allowed there: fp32"):
            open_engine(bundle, ExecutionPlan(engine, precision, 1, 1, 1))
    with pytest.raises(SpecError, match="--device cuda needs torch, but --engine openvino was asked for"):
        EngineOptions("openvino", device="cuda")
    with pytest.raises(SpecError, match=r"--device tpu is unknown\. Write one of auto, cpu, cuda, mps"):
        plusx.predictor(photos, device="tpu")
    monkeypatch.setattr(engines, "installed", lambda name: False)
    with pytest.raises(MissingExtra, match=r"openvino is not installed\. Install it with pip install 'plusx\[cpu\]'"):
        open_engine(bundle, ExecutionPlan("openvino", "fp32", 1, 1, 1))
