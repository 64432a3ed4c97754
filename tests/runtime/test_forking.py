"""A predictor in a forked child says at once that it cannot compute there; one made in the child works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from plusx.bundles import save_bundle
from plusx.images import Preprocessing
from plusx.nn import build
from plusx.specs import parse

USE = """
import multiprocessing, sys
import numpy as np
import plusx
from plusx.errors import RunError

engine, where, method = sys.argv[1:]
image = np.zeros((32, 32, 3), np.uint8)
kept = plusx.predictor("b", engine=engine, threads=1) if where != "child" else None

def work(number):
    try:
        found = kept if where == "parent" and kept is not None else plusx.predictor("b", engine=engine, threads=1)
        return found(image)[0].top[0][0]
    except RunError as error:
        return str(error)

if __name__ == "__main__":
    with multiprocessing.get_context(method).Pool(1) as pool:
        print(pool.map(work, [0])[0])
    if kept is not None:
        print(kept(image)[0].top[0][0])  # the parent's goes on working
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("forking")
    spec = parse("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 classes=2")
    weights = {name: tensor.numpy() for name, tensor in build(spec).state_dict().items()}
    save_bundle(root / "b", spec, ["cat", "cat "], Preprocessing("RGB", 32, 32), weights)
    (root / "use.py").write_text(USE)
    return root


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize(
    ("where", "method", "refused"),
    [("parent", "fork", True), ("both", "fork", True), ("child", "fork", False), ("both", "spawn", False)],
)
def test_predictors_in_children(folder, engine, where, method, refused):
    done = subprocess.run(
        [sys.executable, "use.py", engine, where, method], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-500:]
    first, *rest = done.stdout.splitlines()
    assert first.startswith("This process was forked") if refused else first.strip() == "cat"
    assert [line.strip() for line in rest] == (["cat"] if where != "child" else [])
