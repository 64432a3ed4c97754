"""What the benchmarks share measures what it says: time and memory of a process, fair rounds, honest ratios."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def common():
    path = Path(__file__).resolve().parent.parent / "benchmarks/_common.py"
    spec = importlib.util.spec_from_file_location("benchmarks_common", path)
    module = sys.modules["benchmarks_common"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_process_is_measured_and_not_its_driver(common):
    """This test process holds hundreds of MB; a bare interpreter must not be charged for them."""
    small = common.process([sys.executable, "-c", "print('said')"])
    large = common.process([sys.executable, "-c", "import time; x = b'1' * 50_000_000; time.sleep(0.2)"])
    assert small.out == "said\n"
    assert small.peak_mb < 30
    assert 45 < large.peak_mb - small.peak_mb < 60
    assert 200 < large.ms < 20_000


@pytest.mark.parametrize(
    ("code", "told"), [("raise SystemExit('no such net')", "no such net"), ("exit(3)", "ended with 3")]
)
def test_a_failing_process_stops_the_benchmark(common, code, told):
    with pytest.raises(SystemExit, match=told):
        common.process([sys.executable, "-c", code])


def test_rounds_are_interleaved_and_turn_round(common):
    called = []
    results = common.interleave({name: lambda name=name: called.append(name) or len(called) for name in "ab"}, 2)
    assert called == ["b", "a", "a", "b", "b", "a"]
    assert results == {"a": [3, 6], "b": [4, 5]}


def test_ratio_is_of_medians_with_an_interval_that_widens_with_noise(common):
    steady = common.ratio([20.0] * 9, [2.0] * 9)
    noisy = common.ratio([10.0, 20.0, 30.0] * 3, [2.0] * 9)
    assert (steady.value, steady.low, steady.high) == (10, 10, 10)
    assert noisy.value == 10
    assert noisy.low < 10 < noisy.high


def test_a_missed_target_is_said_and_fails(common, capsys):
    claims = common.Claims()
    claims.check("time", 250, 300, "ms")
    assert claims.exit == 0
    claims.check("ratio", 19.9, 20, "x", at_most=False)
    assert claims.exit == 1
    assert "MISSED  ratio: 19.9 x, target ≥ 20" in capsys.readouterr().out
