"""Files that the peers themselves write and read: Hugging Face's transformers and Keras, with living statistics, both ways."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import plusx
from living import assert_alive, enliven, relative
from plusx.weights.conversion.convert_weights import convert_file
from plusx.weights.conversion.translate import load_file
from plusx.weights.identification.identify import identify

pytestmark = pytest.mark.parity
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def outputs(made, x):
    with torch.inference_mode():
        return plusx.build(made.spec, made.tensors).eval()(x)


HUGGING_FACE = {
    "resnet50": {},
    "resnet50 stride_in=1x1": {"downsample_in_bottleneck": True},
    "resnet18": {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
    "resnet50 widths=8,16,32,64 stem_width=16": {"embedding_size": 16, "hidden_sizes": [32, 64, 128, 256]},
}  # fmt: skip


@pytest.mark.parametrize("words", HUGGING_FACE)
def test_transformers_writes_and_reads(words, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(num_labels=5, **HUGGING_FACE[words])
    torch.manual_seed(0)
    theirs = enliven(transformers.ResNetForImageClassification(config))
    theirs.save_pretrained(tmp_path / "theirs")
    x, y = torch.randn(2, 2, 3, 64, 96)
    with torch.inference_mode():
        want = theirs(x).logits
        assert_alive(want, theirs(y).logits)
    made = load_file(tmp_path / "theirs" / "model.safetensors")
    assert made.spec == plusx.spec(f"{words} classes=5")
    assert relative(outputs(made, x), want) <= 1e-5
    assert {name for name, verdict in made.identification.fields.items() if verdict.how == "convention"}.isdisjoint(
        {"stride_in", "act"}
    )
    out = convert_file(tmp_path / "theirs" / "model.safetensors", "huggingface", tmp_path / "ours")
    back, told = transformers.ResNetForImageClassification.from_pretrained(out, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    with torch.inference_mode():
        assert relative(back.eval()(x).logits, want) <= 1e-6


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_keras_writes(suffix, tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("pyfive")
    import keras

    theirs = living_keras(
        keras.applications.ResNet50(weights=None, classes=5, input_shape=(64, 64, 3), classifier_activation=None)
    )
    path = tmp_path / f"model{suffix}"
    theirs.save_weights(path) if suffix == ".weights.h5" else theirs.save(path)
    x = np.random.default_rng(1).standard_normal((2, 64, 64, 3), dtype=np.float32)
    want = torch.from_numpy(np.array(keras.ops.convert_to_numpy(theirs(x, training=False))))
    found = identify(path)
    assert (found.family, str(found.spec)) == ("Keras", "resnet50 stride_in=1x1 classes=5")
    assert relative(outputs(load_file(path), torch.from_numpy(x.transpose(0, 3, 1, 2).copy())), want) <= 1e-5


@pytest.mark.parametrize("by_name", [False, True])
def test_keras_reads(by_name, tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("h5py")
    import keras

    from plusx.weights.conversion.writers import safetensors_bytes

    ours = enliven(plusx.build("resnet50 stride_in=1x1 classes=5"))
    state = {key: value.detach().numpy() for key, value in ours.state_dict().items()}
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(state, {"plusx.spec": str(ours.spec)}))
    out = convert_file(tmp_path / "a.safetensors", "keras", tmp_path / "ours.h5")
    theirs = keras.applications.ResNet50(weights=None, classes=5, input_shape=(64, 64, 3), classifier_activation=None)
    theirs.load_weights(out, by_name=by_name)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        want = ours(x)
    got = keras.ops.convert_to_numpy(theirs(x.permute(0, 2, 3, 1).contiguous(), training=False))
    assert relative(torch.from_numpy(np.array(got)), want) <= 1e-5


def living_keras(net):
    make = np.random.default_rng(0)
    for layer in net.layers:
        values = layer.get_weights()
        if type(layer).__name__ == "BatchNormalization":
            c = values[0].shape
            layer.set_weights(
                [make.uniform(0.5, 1.5, c), make.normal(0, 0.1, c), make.normal(0, 0.2, c), make.uniform(0.5, 1.5, c)]
            )
        elif len(values) == 2:
            layer.set_weights([values[0], make.normal(0, 0.1, values[1].shape)])
    return net
