"""With --lang zh the commands that predict, embed, export, tune and bench leave no English sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plusx.cli.main import main
from plusx.i18n import translate
from shipping import copy_bare

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")

ENGLISH = re.compile(r"(?<![\w/.-])[A-Za-z]+(?: [a-z]+){2}(?![\w/.-])")
"""Three English words in a row, as no name, option or path has them."""


def test_the_pattern_finds_english() -> None:
    assert ENGLISH.search("plusx: --threshold 2 is not a probability. Write a number.")
    assert not ENGLISH.search("plusx: 请运行 plusx export /tmp/a b --to onnx --precision int8。")


@pytest.mark.parametrize(
    "words",
    [
        "predict BUNDLE IMAGE --precision int8",
        "predict BUNDLE IMAGE --engine onnxruntime",
        "predict BUNDLE IMAGE --engine torch --precision int8",
        "predict BUNDLE IMAGE --engine openvino --device cuda",
        "predict BUNDLE IMAGE --device tpu",
        "predict BUNDLE IMAGE --top 0",
        "predict BUNDLE IMAGE --threshold 2",
        "predict BUNDLE IMAGE --shard 4/3",
        "predict BUNDLE IMAGE --resume",
        "predict BUNDLE IMAGE --format parquet",
        "predict BUNDLE *.nothing",
        "embed BUNDLE IMAGE --precision int8 -o v.npy",
        "embed BUNDLE IMAGE --engine onnxruntime -o v.npy",
        "embed BUNDLE IMAGE -o v.txt",
        "export BUNDLE --to onnx --precision bf16",
        "export BUNDLE --to torch-export --layout triton -o d",
        "export BUNDLE --accept-drop 2",
        "export BUNDLE --size 32x48 -o d",
        "export BUNDLE --layout triton",
        "export BUNDLE",
        "bench BUNDLE --engine openvino --against openvino:fp32 --precision fp32",
        "tune BUNDLE --seconds 0.01 --threads 1",
    ],
)
def test_no_english_sentence_is_left(
    words: str, photos: Path, jpegs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    bundle = copy_bare(photos, Path("b1"))
    given = {"BUNDLE": str(bundle), "IMAGE": str(jpegs[0])}
    code = main([*(given.get(word, word) for word in words.split()), "--lang", "zh"])
    said = "".join(capsys.readouterr())
    assert code == (0 if words.startswith("tune") else 2)
    assert re.search(r"[\u4e00-\u9fff]", said), said
    assert ENGLISH.findall(said) == []


def test_figures_and_proofs_are_chinese() -> None:
    """Of runs that take longer: the table of bench, its image, and the line of a proof."""
    from plusx.cli.bench import table
    from plusx.deploy.bench_chart import svg
    from plusx.deploy.benching import BenchRow, machine_line
    from plusx.deploy.proof import Proof
    from plusx.runtime.engine import ExecutionPlan

    plan = ExecutionPlan("openvino", "fp32", 1, 1, 1)
    rows = [BenchRow("openvino fp32", plan, 1.0, 2.0, 3.0, 3.0, None, 0.5, 70.0, None, (3.0,))]
    text = table(rows, machine_line(), "zh")
    assert "加速比" in text and ENGLISH.findall(text) == []
    drawn = svg(rows, "resnet20", "x", "zh")
    assert "越大越好" in drawn and "is better" not in drawn
    proof = Proof("digits", 10, "int8", 0.1, 0.9, 0.5, 0.1, 0.99, 0.98, True)
    assert translate(proof.text(), "zh").startswith("digits 的 10 张图像：预测类别 90.00% 一致")
