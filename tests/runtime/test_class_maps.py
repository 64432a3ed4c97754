"""Class activation maps without torch are Grad-CAM's, which torch computes by gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from living import enliven
from plusx import build, spec
from plusx.bundles import open_bundle, save_bundle
from plusx.errors import SpecError
from plusx.images import Preprocessing, normalise
from plusx.nn.cam import grad_cam
from plusx.nn.engine import bundle_network
from plusx.runtime.class_maps import ClassMaps
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import open_engine

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")


def bundle_of(words: str, to: Path, side: int = 64) -> Path:
    torch.manual_seed(1)
    state = {key: value.numpy() for key, value in enliven(build(words)).state_dict().items()}
    return save_bundle(to, spec(words), [f"{i}" for i in range(3)], Preprocessing("RGB", side, side), state)


@pytest.mark.parametrize("words", [
    "resnet18 widths=8,16,24,32 stem_width=8 classes=3", "resnet50 depths=1,1,1,1 widths=4,8,8,8 classes=3 head_dropout=0.3",
    "resnet18 widths=8,8,8,8 stem_width=8 classes=3 output_stride=8",
])  # fmt: skip
def test_maps_are_grad_cams(words: str, tmp_path: Path) -> None:
    """Of a network whose classifier follows its average the gradient is the weight over the cells (arXiv 1610.02391, section 3.1)."""
    bundle = open_bundle(bundle_of(words, tmp_path / "b"))
    maps, net = ClassMaps(bundle), bundle_network(bundle)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for index in range(3):
        want = grad_cam(net, torch.from_numpy(normalise(image[None], bundle.preprocessing)), class_index=index)
        found = maps.heat(image, index)
        assert np.allclose(found, want.heat, atol=1e-4 * max(1e-3, want.heat.max())), words
        assert (maps.info.start, maps.info.stride) == (want.info.start, want.info.stride)
    assert max(maps.heat(image, index).max() for index in range(3)) > 0


def test_a_norm_before_the_average_belongs_to_the_map(tmp_path: Path) -> None:
    """The maps of a pre-activation network sum to the logit only behind its last norm and activation."""
    bundle = open_bundle(bundle_of("preresnet110 depths=1,1,1 classes=3", tmp_path / "b", 32))
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        logits = bundle_network(bundle)(torch.from_numpy(normalise(image[None], bundle.preprocessing)))[0].numpy()
    maps, bias = ClassMaps(bundle), bundle.weights()["fc.bias"]
    last = maps._engine.infer(image[None])[0]
    sums = np.tensordot(maps.weight, last, 1).sum((1, 2)) / last[0].size
    assert np.abs(sums + bias - logits).max() < 1e-3 * np.abs(logits).max()


def test_a_network_without_classes_has_none(tmp_path: Path) -> None:
    words = "resnet18 widths=8,8,8,8 stem_width=8 classes=0"
    state = {key: value.numpy() for key, value in build(words).state_dict().items()}
    path = save_bundle(tmp_path / "b", spec(words), [], Preprocessing("RGB", 64, 64), state)
    with pytest.raises(SpecError, match="there is no heat map"):
        ClassMaps(open_bundle(path))


@pytest.mark.parametrize("whole_first", [True, False])
def test_a_network_and_its_cut_have_caches_of_their_own(whole_first: bool, tmp_path: Path) -> None:
    """The maps' network has the spec of the whole one, and stops before the average: neither may be taken for the other."""
    bundle = open_bundle(bundle_of("resnet18 widths=8,8,8,8 stem_width=8 classes=3", tmp_path / "b"))
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    plan = ExecutionPlan("openvino", "fp32", 1, 1, 1)
    if whole_first:
        open_engine(bundle, plan).infer(images)
    assert ClassMaps(bundle, 1).heat(images[0], 0).shape == (2, 2)
    assert open_engine(bundle, plan).infer(images).shape == (1, 3)
