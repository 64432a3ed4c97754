"""tune and bench: they choose by what they measure, keep it by processor, and refuse a busy machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import plusx
from plusx.bundles import open_bundle
from plusx.bundles.engines import put_file
from plusx.cli.main import main
from plusx.deploy import ExportConfig, export
from plusx.errors import BundleError, RunError
from plusx.runtime import measuring, processor, tuning
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import EngineOptions
from plusx.runtime.measuring import interleave, latencies_ms, matmul_flops, measure_process, percentile, ratio
from plusx.runtime.planning import TUNED, choose_plan, tuned_plans
from shipping import copy_bare, fresh

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return copy_bare(run, tmp_path / "bundle")


def test_tune_keeps_the_fastest_and_predict_takes_it(
    bundle: Path, digits: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With made-up figures, so that the answer is known; of the finalists the second measurement decides."""
    export(bundle, ExportConfig("openvino", "bf16"))
    slow_at_last = iter([1.0] * 100)

    def figure(engine, found, objective, seconds):
        plan = engine.plan
        value = 100.0 + plan.batch + (50 if plan.precision == "bf16" else 0) - next(slow_at_last) * (plan.batch == 1)
        return value if objective == "throughput" else 1 / value

    monkeypatch.setattr(tuning, "measure_plan", figure)
    for objective in ("throughput", "latency"):
        tuned = tuning.tune(bundle, objective, seconds=0)
        assert tuned.plan.precision == "bf16"
        assert choose_plan(open_bundle(bundle), EngineOptions(objective=objective)) == tuned.plan
    assert plusx.predictor(bundle)(digits[:2])[0].error is None
    assert choose_plan(open_bundle(bundle), EngineOptions(precision="fp32")).precision == "fp32", (
        "what is written comes before what was measured"
    )


def test_other_processors_keep_theirs(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "measure_plan", lambda engine, *a: float(engine.plan.batch))
    monkeypatch.setattr(processor, "key", lambda: "elsewhere")
    there = tuning.tune(bundle, seconds=0).plan
    monkeypatch.setattr(processor, "key", lambda: "here")
    assert tuned_plans(open_bundle(bundle)) == {}
    tuning.tune(bundle, seconds=0)
    assert set(json.loads((bundle / TUNED).read_bytes())) == {"elsewhere", "here"}
    assert tuned_plans(open_bundle(bundle), "elsewhere") == {"throughput": there}


def test_only_proven_precisions_are_tried(bundle: Path) -> None:
    tried = list(tuning.candidates(open_bundle(bundle), "throughput", 2))
    assert {(plan.engine, plan.precision) for plan in tried} == {("openvino", "fp32")}


def test_tune_measures_for_real(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(bundle), "--threads", "1", "--seconds", "0.02"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("chosen: openvino fp32, 1 worker of 1, batch ") and "images/s" in out
    assert err.count("\n") >= 3
    assert main(["tune", str(bundle), "--objective", "size"]) == 2


def test_bench_says_everything(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "bench",
        str(bundle),
        "--force",
        "--threads",
        "1",
        "--rounds",
        "2",
        "--seconds",
        "0.02",
        "--engine",
        "openvino",
    ]
    assert main([*words, "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    ours, torch = record["lines"]
    assert (ours["name"], torch["name"]) == ("openvino fp32", "torch fp32")
    for line in (ours, torch):
        assert 0 < line["p50_ms"] <= line["p99_ms"]
        assert line["per_core"] == line["images_per_s"] > 0
        assert line["start_s"] > 0.1 and line["peak_mb"] > 20
    assert ours["faster"]["low"] <= ours["faster"]["value"] <= ours["faster"]["high"] and torch["faster"] is None
    assert torch["peak_mb"] > ours["peak_mb"], "torch was loaded where it is not needed"
    from plusx.cli.bench import table
    from plusx.deploy.bench_chart import PANELS, svg
    from plusx.deploy.benching import BenchRow
    from plusx.runtime.measuring import Ratio

    lines = [
        BenchRow(**{**row, "plan": ExecutionPlan(**row["plan"]), "faster": row["faster"] and Ratio(**row["faster"])})
        for row in record["lines"]
    ]
    drawn = ElementTree.fromstring(svg(lines, "resnet20", "a <machine>"))
    bars = [e for e in drawn if e.tag.endswith("rect") and e.get("class") in ("ours", "other")]
    assert len(bars) == 2 * len(PANELS)
    rates = [float(bar.get("width", "0")) for bar in bars[:2]]
    assert rates[0] / rates[1] == pytest.approx(ours["images_per_s"] / torch["images_per_s"], rel=0.02)
    right = max(float(e.get("x", "0")) for e in drawn if e.tag.endswith("text"))
    assert right < float(drawn.get("width", "0")) and "a <machine>" in [e.text for e in drawn]
    assert table(lines, "here").count("\n") == 4


def test_a_busy_machine_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ticks of a kernel that, in the second that was watched, was idle for a quarter, waited and was robbed."""
    kernel = iter(["cpu  10 0 10 100 0 0 0 0 0 0\ncpu0 …", "cpu  70 0 30 120 30 0 0 70 0 0\ncpu0 …"])
    stat = type("Stat", (), {"read_text": lambda self: next(kernel)})()
    monkeypatch.setattr(measuring, "STAT", stat)
    monkeypatch.setattr(processor, "cores", lambda: 2)
    monkeypatch.setattr(measuring.time, "sleep", lambda seconds: None)
    assert main(["bench", str(bundle)]) == 3
    assert "Other programs use 1.50 of 2 cores, and more than 0.30 would change the figures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nope"], "no bundle at nope"),
        (["BUNDLE", "--engine", "tensorrt"], "unknown engine 'tensorrt'"),
        (["BUNDLE", "--against", "openvino:fp64"], "unknown precision 'fp64'"),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_machine_is_called_busy(
    words: list[str], says: str, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "busy_cores", lambda: 1e6)
    assert main(["bench", *(str(bundle) if word == "BUNDLE" else word for word in words)]) == 2
    assert says in capsys.readouterr().err


def test_tune_ends_with_the_line_it_chose(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Damage in what was measured before is written over, as the message about it promises."""
    put_file(open_bundle(bundle), TUNED, b"{")
    with pytest.raises(BundleError, match=f"plusx tune {bundle}"):
        tuned_plans(open_bundle(bundle))
    assert main(["tune", str(bundle), "--seconds", "0.01", "--threads", "1"]) == 0
    said = capsys.readouterr()
    plan = choose_plan(open_bundle(bundle), EngineOptions(threads=1))
    (line,) = said.out.splitlines()
    assert line.startswith(f"chosen: {plan}, ") and line.endswith(f"stored in {bundle})")
    assert len(said.err.splitlines()) == int(re.search(r"best of (\d+)", line)[1])


def test_a_core_that_works_is_seen_and_elsewhere_the_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    work = "import time\nstop = time.monotonic() + 20\nwhile time.monotonic() < stop: pass"
    worker = subprocess.Popen([sys.executable, "-c", work])
    try:
        assert measuring.STAT.exists() is False or measuring.busy_cores(0.5) > 0.5
    finally:
        worker.kill(), worker.wait()
    monkeypatch.setattr(measuring, "STAT", tmp_path / "none")
    monkeypatch.setattr(os, "getloadavg", lambda: (5.0, 0.0, 0.0))
    assert measuring.busy_cores() == 5.0


def test_helpers() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    order: list[str] = []
    interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert "".join(order) == "ba" + "ab" + "ba" + "ab"
    found = ratio([10, 11, 12], [5, 5.5, 6])
    assert found.value == 2 and found.low <= 2 <= found.high
    with pytest.raises(RunError, match="failed with exit code 3"):
        measure_process(["sh", "-c", "exit 3"])
    assert measure_process(["sleep", "0.2"]).seconds == pytest.approx(0.2, abs=0.2)
    flops = matmul_flops(ExecutionPlan("openvino", "fp32", 1, 1, 1), 0.05, n=256)
    assert flops > 1e8
    assert len(latencies_ms(type("E", (), {"infer": lambda self, x: x})(), [0], 0)) == 10  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "kinds"), [("fp32", {"f32"}), ("int8", {"u8", "i8"})])
def test_the_ceiling_is_a_product_in_that_precision(precision: str, kinds: set[str]) -> None:
    """As OpenVINO itself says of the compiled product; one that fell back to float would be a low ceiling for int8."""
    from plusx.runtime.measuring import matmul_model
    from plusx.runtime.quiet import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino().Core().compile_model(matmul_model(precision, 256), "CPU", settings)
    about = [op.get_rt_info() for op in compiled.get_runtime_model().get_ordered_ops()]
    (found,) = [x["runtimePrecision"].astype(str) for x in about if x["layerType"].astype(str) == "FullyConnected"]
    assert found in kinds


def test_tune_and_bench_work_where_no_torch_is(bundle: Path) -> None:
    """On the machine that serves there is none."""
    code = """
import sys
sys.modules["torch"] = None
from plusx.cli.main import main
bundle = sys.argv[1]
assert main(["tune", bundle, "--seconds", "0.02"]) == 0
quick = ["--force", "--rounds", "1", "--seconds", "0.02", "--engine", "openvino", "--precision", "fp32"]
assert main(["export", bundle]) == 2
assert main(["bench", bundle, *quick, "--against", "torch:fp32"]) == 2
"""
    assert "images/s" in fresh(code, str(bundle))
