"""What an engine computes is named by its files' hashes: the cache's key, and the weights that an export was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import Bundle, open_bundle, save_bundle
from plusx.bundles.engines import put_engine
from plusx.errors import BundleError
from plusx.images import Preprocessing
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.exports import is_proven
from plusx.runtime.planning import choose_plan
from plusx.specs import parse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pre = Preprocessing("L", 8, 8, mean=(0.3,), std=(0.2,))
    spec = parse("resnet20 classes=2 in_channels=1")
    return save_bundle(tmp_path / "b", spec, ("a", "b"), pre, {"x": np.ones(3, np.float32)})


def put_int8(path: Path, network: bytes, constants: bytes = b"1") -> Bundle:
    opened = open_bundle(path)
    about = {"weights_sha256": opened.weights_sha256}
    put_engine(opened, "openvino-int8", about, {"model.xml": network, "model.bin": constants})
    return open_bundle(path)


def test_each_file_of_a_quantised_network_counts_in_the_key(path: Path) -> None:
    """model.xml holds the arithmetic: left out, a changed bundle would answer for a good one from the cache."""
    pytest.importorskip("openvino")
    from plusx.runtime.with_openvino import source_hashes

    plan = ExecutionPlan("openvino", "int8", 1, 1, 1)
    pairs = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"a", b"1")]
    keys = [source_hashes(put_int8(path, *pair), plan) for pair in pairs]
    assert keys[0] == keys[3] and len({tuple(sorted(key.items())) for key in keys}) == 3


def test_an_export_of_other_weights_is_not_used(path: Path) -> None:
    bundle = put_int8(path, b"a")
    assert is_proven(bundle, "openvino", "int8")
    for about, words in (({"weights_sha256": "0" * 64}, "from other weights"), ({}, "does not say from which weights")):
        put_engine(bundle, "openvino-int8", about, {"model.xml": b"a", "model.bin": b"b"})
        with pytest.raises(BundleError, match=rf"{words}.* plusx export {path} --to openvino --precision int8"):
            choose_plan(open_bundle(path))
