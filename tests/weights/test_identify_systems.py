"""Systems whose names were read in their own sources: pycls, paddle.vision, KerasHub, Haiku (DeepMind's BYOL), TensorFlow's checkpoints."""

from __future__ import annotations

import pickle
import re
from collections import namedtuple

import numpy as np
import pytest
import torch
from storing import net, stored
from torch import nn

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import WeightsError
from plusx.weights.containers import read
from plusx.weights.conversion.translate import load_file
from plusx.weights.identification.identify import identify

HWIO = (2, 3, 1, 0)


def renamed(state, rules):
    """A state dict under other names: the first pattern that fits a key's start decides."""
    made = {}
    for key, value in state.items():
        for pattern, name in rules:
            found = re.match(pattern, key)
            if found:
                made[(name(found) if callable(name) else found.expand(name)) + key[found.end() :]] = value
                break
    return made


def assert_same(file, theirs, **given):
    x, y = torch.randn(2, 2, 3, 65, 97)
    with torch.inference_mode():
        out = theirs(x)
        assert_alive(out, theirs(y))
        made = load_file(file, **given)
        assert relative(plusx.build(made.spec, made.tensors).eval()(x), out) <= 1e-5


# ---- pycls: models/resnet.py, models/anynet.py, core/checkpoint.py ----


def pycls(stem="stem", shift=0):
    def part(found):
        kind = "_bn" if found[3] == "bn" else ""
        return f"s{int(found[1]) + shift}.b{int(found[2]) + 1}.f.{'abc'[int(found[4]) - 1]}{kind}"

    def projection(found):
        return f"s{int(found[1]) + shift}.b{int(found[2]) + 1}.{('proj', 'bn')[int(found[3])]}"

    return (
        (r"conv1", rf"{stem}.conv"), (r"bn1", rf"{stem}.bn"), (r"layer(\d)\.(\d+)\.(conv|bn)(\d)", part),
        (r"layer(\d)\.(\d+)\.downsample\.(\d)", projection), (r"fc", "head.fc"),
    )  # fmt: skip


@pytest.mark.parametrize("names", [pycls(), pycls("s1", 1)], ids=["stem", "s1"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_pycls(name, names):
    theirs = net(name, num_classes=5)
    file = stored({"epoch": 99, "model_state": renamed(theirs.state_dict(), names), "optimizer_state": {}, "cfg": "MODEL:\n  TYPE: anynet\nRESNET:\n  STRIDE_1X1: true\n"})  # fmt: skip
    found = identify(file)
    assert (found.family, str(found.spec), found.wrapper) == ("pycls", f"{name} classes=5", "model_state")
    assert found.colour.value == "BGR"
    assert_same(file, theirs)


def test_pycls_states_its_stride_in_its_config():
    state = renamed(net("resnet50").state_dict(), pycls())
    config = "MODEL:\n  TYPE: resnet\nRESNET:\n  STRIDE_1X1: true\n"
    assert identify(stored({"model_state": state, "cfg": config})).spec == plusx.spec("resnet50 stride_in=1x1")
    assert identify(stored({"model_state": state, "cfg": config.replace("true", "false")})).spec == plusx.spec(
        "resnet50"
    )


def test_regnets_of_pycls_are_named_and_refused():
    state = renamed(net("resnet50").state_dict(), pycls()) | {"stem.conv.weight": torch.randn(64, 3, 3, 3)}
    found = identify(stored({"model_state": state}))
    assert found.family == "RegNet of pycls" and "every stage" in found.refuses and found.spec is None


# ---- paddle.vision: models/resnet.py; statistics are _mean and _variance, fc is (in, out) ----


@pytest.mark.parametrize("classes", [5, 512])
def test_paddle_vision(classes):
    theirs = net("resnet18", num_classes=classes)
    state = {
        key.replace("running_mean", "_mean").replace("running_var", "_variance"): value
        for key, value in theirs.state_dict().items() if not key.endswith("tracked")
    }  # fmt: skip
    state["fc.weight"] = state["fc.weight"].T.contiguous()
    assert identify(stored(state, "paddle")).family == "paddle.vision"
    assert_same(stored(state, "paddle"), theirs)


# ---- KerasHub: models/resnet/resnet_backbone.py; kernels are HWIO, and bottlenecks stride in the 3x3 ----

KERAS = {"running_mean": "moving_mean", "running_var": "moving_variance", "weight": "gamma", "bias": "beta"}


def keras_hub(state, *, pre=False):
    def norm(found):
        number = int(found[3]) - pre
        return f"stack{int(found[1]) - 1}_block{found[2]}_{f'{number}_bn' if number else 'pre_activation_bn'}"

    def projection(found):
        kind = "bn" if int(found[3]) == found.string.count("downsample") + pooled else "conv"
        return f"stack{int(found[1]) - 1}_block{found[2]}_0_{kind}"

    pooled = any(key.endswith("downsample.2.weight") for key in state)
    rules = (
        (r"conv1\.(\d)", lambda found: f"conv{int(found[1]) // 3 + 1}_{('conv', 'bn')[int(found[1]) % 3]}"),
        (r"conv1", "conv1_conv"), (r"bn1", "conv3_bn" if "conv1.6.weight" in state else "conv1_bn"), (r"norm", "post_bn"),
        (r"layer(\d)\.(\d+)\.conv(\d)", lambda found: f"stack{int(found[1]) - 1}_block{found[2]}_{found[3]}_conv"),
        (r"layer(\d)\.(\d+)\.bn(\d)", norm), (r"layer(\d)\.(\d+)\.downsample\.(\d)", projection), (r"fc", "predictions"),
    )  # fmt: skip
    made = {}
    for key, value in renamed(state, rules).items():
        layer, _, tensor = key.rpartition(".")
        if tensor == "num_batches_tracked":
            continue
        kernel = value.ndim > 1
        name = KERAS[tensor] if layer.endswith("bn") else "kernel" if kernel else "bias"
        made[f"{layer}/{name}"] = value.permute(HWIO) if value.ndim == 4 else value.T if kernel else value
    return made


@pytest.mark.parametrize(
    "words", ["resnet50", "resnet18", "resnet50d", "resnet18d first_shortcut=project", "resnetv2_50"]
)
def test_keras_hub(words):
    theirs = enliven(plusx.build(f"{words} classes=5"))
    file = stored(keras_hub(theirs.state_dict(), pre="v2" in words), "keras")
    found = identify(file)
    assert (found.family, found.spec) == ("KerasHub v2" if "v2" in words else "KerasHub", theirs.spec)
    assert found.colour.value == "RGB"
    assert_same(file, theirs)


# ---- Haiku: nets/resnet.py, data_structures.py; BYOL: byol_experiment.py, utils/checkpointing.py ----


class FlatMapping(dict):
    """As Haiku pickles one: its class, called with a dict."""

    def __reduce__(self):
        return FlatMapping, (dict(self),)


Experiment = namedtuple("Experiment", "online_params target_params opt_state")


def haiku():
    blocks = {
        f"res_net18/~/block_group_{g}/~/block_{i}/~/conv_{k}": (3, 3, 8, 8)
        for g in range(4) for i in range(2) for k in range(2)
    }  # fmt: skip
    shapes = {"res_net18/~/initial_conv": (7, 7, 3, 8)} | blocks
    make = np.random.default_rng(0)
    return FlatMapping({key: FlatMapping(w=make.random(shape, np.float32)) for key, shape in shapes.items()})


def test_haikus_networks_are_named_and_refused(tmp_path):
    params = haiku()
    (tmp_path / "byol.pkl").write_bytes(
        pickle.dumps({"experiment_state": Experiment(params, params, None), "step": 3}, protocol=2)
    )
    np.savez(tmp_path / "net.npz", **{f"{path}/{name}": w for path, of in params.items() for name, w in of.items()})
    for file in ("byol.pkl", "net.npz"):
        found = identify(tmp_path / file)
        assert found.family == "Haiku" and "pads unevenly" in found.refuses and found.spec is None


def test_tensorflows_checkpoints_are_named(tmp_path):
    table_end = (0xDB4775248B80FB57).to_bytes(8, "little")
    (tmp_path / "model.ckpt-250228.index").write_bytes(bytes(range(100)) + table_end)
    (tmp_path / "model.ckpt-250228.data-00000-of-00001").write_bytes(bytes(range(100, 200)))
    for file in tmp_path.iterdir():
        with pytest.raises(WeightsError, match="part of a TensorFlow checkpoint"):
            read(file)


# ---- what a convolution's attributes mean ----


def test_the_dilation_of_a_kernel_of_one_cell_means_nothing(tmp_path):
    """segmentation_models.pytorch, encoders/_utils.py: replace_strides_with_dilation dilates every convolution of a stage."""
    theirs = net("resnet50", num_classes=5)
    for module in theirs.layer4.modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0]
            module.stride, module.dilation, module.padding = (1, 1), (2, 2), (kernel // 2 * 2,) * 2
    torch.save(theirs, tmp_path / "net.pth")
    found = identify(tmp_path / "net.pth")
    assert found.spec == plusx.spec("resnet50 strides=1,2,2,1 dilations=1,1,1,2 dilate=full classes=5")
    assert_same(tmp_path / "net.pth", theirs)
