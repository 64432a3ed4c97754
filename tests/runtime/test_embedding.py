"""Feature vectors: what torch's hooks give, at every place, in files that numpy reads."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from plusx.bundles import open_bundle
from plusx.cli.main import main
from plusx.images import decode, normalise, resize_crop
from plusx.nn.engine import bundle_network
from shipping import photo_bundle

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")


def hooked(bundle: Path, at: str, paths: list[Path]) -> np.ndarray:
    """The map at a module, averaged, by a forward hook on the torch network."""
    opened = open_bundle(bundle)
    pre, net, seen = opened.preprocessing, bundle_network(opened), []
    net.get_submodule(at).register_forward_hook(lambda module, given, out: seen.append(out.clone()))
    images = np.stack([resize_crop(decode(p, pre.mode, at_least_px=pre.decode_px), pre) for p in paths])
    with torch.no_grad():
        net(torch.from_numpy(normalise(images, pre)))
    return seen[0].mean((2, 3)).numpy()


@pytest.mark.parametrize(
    ("at", "module"), [(None, "avgpool"), ("layer2", "layer2"), ("layer1.0", "layer1.0"), ("stem", "maxpool")]
)
@pytest.mark.parametrize(
    "words",
    [
        "resnet18 depths=1,1 widths=8,16 stem_width=8 classes=3 head_dropout=0.5",
        "resnetv2_50 depths=1,1 widths=8,8 stem_width=8 classes=3",
    ],
)
def test_vectors_are_torchs(words: str, at: str | None, module: str, jpegs: list[Path], tmp_path: Path) -> None:
    bundle = photo_bundle(tmp_path, words)
    where = ["--at", at] if at else []
    assert main(["embed", str(bundle), *map(str, jpegs), *where, "-o", str(tmp_path / "v.npy")]) == 0
    got, want = np.load(tmp_path / "v.npy"), hooked(bundle, module, jpegs)
    assert got.shape == want.shape and got.dtype == np.float32
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
    assert want.std(axis=0).max() > 1e-4


def test_bad_images_are_nan_and_named(
    photos: Path, jpegs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["embed", str(photos), str(jpegs[0]), str(tmp_path / "none.jpg"), str(jpegs[1])]
    assert main([*words, "-o", str(tmp_path / "v.npy")]) == 0
    vectors = np.load(tmp_path / "v.npy")
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False]
    rows = list(csv.reader((tmp_path / "v.csv").open()))
    assert rows[0] == ["path", "error"] and rows[2][0].endswith("none.jpg") and "No such file" in rows[2][1]
    assert "1 of 3 images could not be read" in capsys.readouterr().err
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    assert main([*words, "-o", str(tmp_path / "v.parquet")]) == 0
    table = pyarrow.parquet.read_table(tmp_path / "v.parquet").to_pylist()
    assert table[1]["vector"] is None and np.allclose(table[2]["vector"], vectors[2])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--at", "layer9"], "layer9"),
        (["--precision", "int8"], "cannot be cut"),
        (["-o", "x.txt"], "does not end in .npy or .parquet"),
    ],
)
def test_bad_words_are_one_line(
    words: list[str], says: str, photos: Path, jpegs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(photos), str(jpegs[0]), "-o", str(tmp_path / "v.npy"), *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("plusx: ") and says in err and err.count("\n") == 1
