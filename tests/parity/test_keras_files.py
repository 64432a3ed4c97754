"""Files that Keras itself writes, with random living weights: every reader gives what the model holds, by the same names.

Run where keras is installed, with a backend (KERAS_BACKEND=jax); skipped elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from plusx.weights.containers import hdf5, keras_zip
from plusx.weights.stored import StoredFile

pytestmark = pytest.mark.parity
os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="keras is not installed", exc_type=ImportError)
pytest.importorskip("pyfive", reason="pyfive is not installed")

SUFFIXES = (".h5", ".weights.h5", ".keras")


@pytest.fixture(scope="module", params=["ResNet50", "ResNet50V2"])
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, np.ndarray], list]:
    """A folder with one model in every file format, its tensors by layer and weight, and its layers."""
    folder = tmp_path_factory.mktemp("keras")
    keras.backend.clear_session()
    keras.layers.Conv2D(1, 1).build((None, 4, 4, 1))  # an earlier layer, so that Keras's own numbers do not start at 0
    model = getattr(keras.applications, request.param)(weights=None, classes=7, input_shape=(64, 64, 3))
    draw = np.random.default_rng(0)
    for weight in model.weights:
        alive = (
            draw.random(weight.shape) + 0.5
            if "gamma" in weight.path or "variance" in weight.path
            else draw.standard_normal(weight.shape)
        )
        weight.assign(alive.astype(np.float32))
    model.save(folder / "model.h5")
    model.save_weights(folder / "model.weights.h5")
    model.save(folder / "model.keras")
    held = {f"{layer.name}/{weight.name}": np.asarray(weight) for layer in model.layers for weight in layer.weights}
    return folder, held, model.layers


def read(folder: Path, suffix: str) -> StoredFile:
    path = folder / f"model{suffix}"
    return keras_zip.read(path) if suffix == ".keras" else hdf5.read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_tensor_is_what_the_model_holds(written: tuple, suffix: str) -> None:
    folder, held, _ = written
    tree = read(folder, suffix).tree
    assert set(tree) == set(held) and len(held) > 250
    for name, value in held.items():
        np.testing.assert_array_equal(tree[name].array(), value, err_msg=name)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_facts_are_what_the_layers_say(written: tuple, suffix: str) -> None:
    folder, _, layers = written
    facts = read(folder, suffix).layers
    strides = set()
    for layer in layers:
        if isinstance(layer, keras.layers.Conv2D):
            said = facts[layer.name].attributes
            assert (said["stride"], said["kernel_size"], said["padding"]) == (
                layer.strides,
                layer.kernel_size,
                layer.padding,
            )
            strides.add(layer.strides)
        elif isinstance(layer, keras.layers.BatchNormalization):
            assert facts[layer.name].attributes["eps"] == layer.epsilon
        elif isinstance(layer, keras.layers.ZeroPadding2D):
            assert facts[layer.name].attributes["padding"] == layer.padding
    assert strides == {(1, 1), (2, 2)}
