"""Arithmetic on the way: the same outputs as the network that the tensors came from, whatever its system stores."""

from __future__ import annotations

import re

import numpy as np
import pytest
import timm
import torch
import torchvision
from storing import net, outputs, stored
from torch import nn

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import WeightsError
from plusx.images import Preprocessing, normalise
from plusx.names import key_names
from plusx.weights.conversion.translate import fold_std, load_file
from plusx.weights.identification.identify import identify
from plusx.weights.stored import LayerFacts


def assert_same(file, theirs, size=65, channels=3, **given):
    x, y = torch.randn(2, 2, channels, size, size + 32)
    with torch.inference_mode():
        out = theirs(x)
        assert_alive(out, theirs(y))
    found = load_file(file, **given)
    assert relative(outputs(found, x), out) <= 1e-5
    return found


def caffe_like(*, bias=False, eps=1e-5, pool="max", name="resnet50"):
    """torchvision's net with the stride in the first 1x1, and biases, eps and pool as asked."""
    theirs = getattr(torchvision.models, name)(num_classes=11)
    for module in list(theirs.modules()):
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
        for child, layer in list(module.named_children()):
            if isinstance(layer, nn.Conv2d) and (
                bias is True or (bias == "stem" and child == "conv1" and module is theirs)
            ):
                made = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
                made.weight = layer.weight
                setattr(module, child, made)
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = eps
    if pool == "caffe":
        theirs.maxpool = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    return enliven(theirs)


def renamed(theirs, words, ecosystem):
    """The net's state dict under another system's names, biases of convolutions too."""
    names = key_names(words, ecosystem)
    state = {name: theirs.state_dict()[key].numpy() for key, name in names.items()}
    for key, tensor in theirs.state_dict().items():
        if re.search(r"(conv\d|downsample\.0)\.bias$", key):
            sibling = names[key.replace("bias", "weight")]
            state[re.sub("_w$", "_b", sibling.replace("/kernel", "/bias").replace("[0]", "[1]"))] = tensor.numpy()
    return state


@pytest.mark.parametrize("spelling", [str, lambda k: f"model_weights.{k.split('/')[0]}.{k}:0", lambda k: f"{k}:0"])
def test_keras(spelling):
    theirs = caffe_like(bias=True, eps=1.001e-5)
    state = renamed(theirs, "resnet50 classes=11", "Keras")
    state = {
        spelling(k): v.transpose(2, 3, 1, 0) if v.ndim == 4 else v.T if v.ndim == 2 else v for k, v in state.items()
    }
    file = stored(state, "hdf5")
    assert (identify(file).family, identify(file).colour.value) == ("Keras", "BGR")
    found = assert_same(file, theirs)
    assert str(found.spec) == "resnet50 stride_in=1x1 classes=11"
    assert any("biases of 53 convolutions" in note for note in found.notes) and any(
        "eps" in note for note in found.notes
    )


def test_turning_colours():
    theirs = caffe_like(bias=True, eps=1.001e-5)
    state = renamed(theirs, "resnet50 classes=11", "Keras")
    state = {k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v.T if v.ndim == 2 else v for k, v in state.items()}
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        out = theirs(x.flip(1))
    assert relative(outputs(load_file(stored(state, "hdf5"), colour="RGB"), x), out) <= 1e-5


def test_caffe_divides_statistics_by_their_factor():
    theirs = caffe_like(bias="stem", pool="caffe")
    state = renamed(theirs, "resnet50 classes=11", "Caffe")
    for key in [key for key in state if key.startswith("bn") and key.endswith("[1]")]:
        state[key] = state[key] * np.float32(999.98)
        state[key.replace("[1]", "[0]")] = state[key.replace("[1]", "[0]")] * np.float32(999.98)
        state[key.replace("[1]", "[2]")] = np.array([999.98], np.float32)
    found = assert_same(stored(state, "caffe"), theirs)
    assert str(found.spec) == "resnet50_caffe classes=11"


@pytest.mark.parametrize("name", ["resnet50", pytest.param("resnet101", marks=pytest.mark.slow)])
def test_msra_and_its_zero_bias(name):
    theirs = caffe_like(bias="stem", name=name)
    with torch.no_grad():
        theirs.conv1.bias.zero_()
    state = renamed(theirs, f"{name} classes=11", "MSRA pkl")
    found = assert_same(stored({"blobs": state}, "pickle"), theirs)
    assert str(found.spec) == f"{name} stride_in=1x1 classes=11"
    assert any("conv1_b is zero" in note for note in found.notes)


def test_detectron1_has_scale_and_offset_alone():
    theirs = caffe_like()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.running_var.fill_(1 - 1e-5)
    state = {
        key.replace("_gamma", "_s").replace("_beta", "_b"): value
        for key, value in renamed(theirs, "resnet50 classes=11", "MSRA pkl").items()
        if "running" not in key
    }
    state |= {"conv1_w_momentum": np.zeros(3, np.float32), "lr": np.zeros(1, np.float32)}
    found = assert_same(stored({"blobs": state}, "pickle"), theirs)
    assert found.identification.family == "Detectron1"


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_paddle(name):
    theirs = net(name, num_classes=11)
    state = renamed(theirs, f"{name} classes=11", "Paddle")
    state = {key: value.T if value.ndim == 2 else value for key, value in state.items()}
    assert_same(stored(state, "paddle"), theirs)


TIMM = {
    "resnet18d": "known", "resnet50d": "known", "resnet50t": "known", "resnet50c": "known", "seresnet50": "known",
    "ecaresnet50d": "known", "resnetv2_50": "convention", "resnetv2_50d": "convention", "resnext50_32x4d": "known", "resnet34": "known",
}  # fmt: skip


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    theirs = enliven(timm.create_model(name, num_classes=7))
    file = stored({"state_dict_ema": theirs.state_dict(), "epoch": 3, "arch": name})
    assert identify(file).fields["shortcut"].how == TIMM[name]
    assert_same(file, theirs)


def test_bit_is_named_and_not_loaded():
    with torch.device("meta"):
        shapes = timm.create_model("resnetv2_50x1_bit").state_dict()
    state = {key: np.broadcast_to(np.float32(0.5), tuple(tensor.shape)) for key, tensor in shapes.items()}
    found = identify(stored(state))
    assert (found.family, found.spec) == ("BiT", None) and "standardises" in found.refuses


@pytest.mark.parametrize("name", ["resnest50d", "res2net50_26w_4s", "skresnet50"])
def test_relatives_are_refused(name):
    with torch.device("meta"):
        shapes = timm.create_model(name).state_dict()
    state = {key: np.broadcast_to(np.float32(0.5), tuple(tensor.shape)) for key, tensor in shapes.items()}
    try:
        found = identify(stored(state))
    except WeightsError:
        return
    assert found.spec is None and found.refuses


def semseg_stem(theirs):
    """hszhao/semseg's: conv1, conv2, conv3 at the top, 64, 64 and 128 wide."""
    made = enliven(plusx.build("resnet50s classes=7"))
    names = {
        "conv1.0": "conv1",
        "conv1.1": "bn1",
        "conv1.3": "conv2",
        "conv1.4": "bn2",
        "conv1.6": "conv3",
        "bn1": "bn3",
    }
    state = {}
    for key, value in made.state_dict().items():
        path, _, tensor = key.rpartition(".")
        state[f"{names.get(path, path)}.{tensor}"] = value
    return made, state


def test_semseg_stems():
    theirs, state = semseg_stem(None)
    found = assert_same(stored({"state_dict": {f"module.{key}": value for key, value in state.items()}}), theirs)
    assert (found.identification.family, str(found.spec)) == ("semseg", "resnet50s classes=7")
    places = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}
    layer0 = {}
    for key, value in state.items():
        path, _, tensor = key.rpartition(".")
        layer0[f"layer0.{places[path]}.{tensor}" if path in places else key] = value
    assert_same(stored(layer0), theirs)


def test_kuangliu_and_weiaicunzai():
    theirs = enliven(plusx.build("depths=2,2,2,2 block=basic stem=3x3 classes=10"))
    kuangliu = {
        k.replace("downsample", "shortcut").replace("fc.", "linear."): v for k, v in theirs.state_dict().items()
    }
    found = assert_same(stored({"net": {f"module.{k}": v for k, v in kuangliu.items()}, "acc": 95.5}), theirs)
    assert found.identification.family == "kuangliu"
    other = {}
    for key, value in theirs.state_dict().items():
        key = re.sub(r"^bn1\.", "conv1.1.", re.sub(r"^conv1\.", "conv1.0.", key))
        key = re.sub(r"^layer(\d)", lambda m: f"conv{int(m[1]) + 1}_x", key).replace("downsample", "shortcut")
        for k in (1, 2):
            key = re.sub(rf"(_x\.\d)\.conv{k}\.", rf"\1.residual_function.{3 * k - 3}.", key)
            key = re.sub(rf"(_x\.\d)\.bn{k}\.", rf"\1.residual_function.{3 * k - 2}.", key)
        other[key] = value
    found = assert_same(stored(other), theirs)
    assert found.identification.family == "weiaicunzai"


KINDS = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.ReLU, nn.MaxPool2d, nn.SiLU, nn.InstanceNorm2d)
NAMES = (
    "stride",
    "padding",
    "dilation",
    "groups",
    "eps",
    "num_groups",
    "kernel_size",
    "ceil_mode",
    "track_running_stats",
)


def facts(theirs, prefix=""):
    """What a whole-model pickle says of its layers."""
    return {
        prefix + name: LayerFacts(
            type(module).__name__, {key: getattr(module, key) for key in NAMES if hasattr(module, key)}
        )
        for name, module in theirs.named_modules()
        if isinstance(module, KINDS)
    }


WHOLE = {
    "stride in the 1x1, caffe's pool": (lambda: caffe_like(pool="caffe"), "resnet50 stride_in=1x1 stem_pool=caffe classes=11"),
    "dilated": (lambda: enliven(torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])), "resnet50 strides=1,2,1,1 dilations=1,1,2,4"),
    "another eps": (lambda: caffe_like(eps=1e-3), "resnet50 stride_in=1x1 classes=11"),
    "group norm": (lambda: enliven(torchvision.models.resnet18(norm_layer=lambda c: nn.GroupNorm(8, c))), "resnet18 norm=group8"),
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", WHOLE)
def test_layers_of_a_whole_model(name, prefix):
    make, words = WHOLE[name]
    theirs = make()
    state = {prefix + key: value for key, value in theirs.state_dict().items()}
    file = stored({"model": state} if prefix else state, layers=facts(theirs, prefix))
    found = assert_same(file, theirs)
    assert found.spec == plusx.spec(words)
    assert {key for key, verdict in found.identification.fields.items() if verdict.how == "convention"} <= {
        "join",
        "shortcut",
    }


def test_layers_that_plusx_does_not_have_are_refused():
    theirs = enliven(torchvision.models.resnet18(norm_layer=lambda c: nn.InstanceNorm2d(c, affine=True)))
    assert "instance" in identify(stored(theirs.state_dict(), layers=facts(theirs))).refuses
    theirs = net("resnet18")
    theirs.layer2[1].conv1.stride = (2, 2)
    refused = identify(stored(theirs.state_dict(), layers=facts(theirs))).refuses
    assert re.search(r"layer2\.1\.conv1 has stride=2 in the file and stride=1", refused)
    theirs = net("resnet18")
    theirs.maxpool = nn.MaxPool2d(2, 2)
    assert "pools" in identify(stored(theirs.state_dict(), layers=facts(theirs))).refuses


def keras_facts(theirs, words):
    """What Keras's configuration says of such a net, by its layers' names."""
    names = key_names(words, "Keras")
    found = {
        "conv1_pad": LayerFacts("ZeroPad2d"),
        "pool1_pool": LayerFacts("MaxPool2d", {"kernel_size": (3, 3), "stride": (2, 2), "padding": "valid"}),
    }
    for name, module in theirs.named_modules():
        layer = names.get(f"{name}.weight", "").partition("/")[0]
        if isinstance(module, nn.Conv2d):
            same = module.kernel_size == (3, 3)
            found[layer] = LayerFacts("Conv2d", {"stride": module.stride, "padding": "same" if same else "valid"})
        elif isinstance(module, nn.BatchNorm2d):
            found[layer] = LayerFacts("BatchNorm2d", {"eps": module.eps})
    return found


def test_keras_configuration_is_heard():
    words = "resnet50 classes=11"
    for make, expected in (
        (lambda: caffe_like(bias=True, eps=1e-3), "1x1"),
        (lambda: net("resnet50", num_classes=11), None),
    ):
        theirs = make()
        state = renamed(theirs, words, "Keras")
        state = {k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v.T if v.ndim == 2 else v for k, v in state.items()}
        file = stored(state, "keras", layers=keras_facts(theirs, words))
        if expected:
            found = assert_same(file, theirs)  # its eps is neither plusx's nor Keras's own
            assert found.identification.fields["stride_in"].how == "known"
        else:  # a stride of 2 in a 3x3 that pads as TensorFlow does
            assert "unevenly" in identify(file).refuses


def test_caffes_own_layers_are_heard():
    theirs = caffe_like(eps=1e-4)
    state = renamed(theirs, "resnet50 classes=11", "Caffe")
    names = key_names("resnet50 classes=11", "Caffe")
    layers = {
        "pool1": LayerFacts(
            "MaxPool2d", {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1), "ceil_mode": False}
        )
    }
    for name, module in theirs.named_modules():
        layer = names.get(f"{name}.weight", "").partition("[")[0]
        if isinstance(module, nn.Conv2d):
            layers[layer] = LayerFacts(
                "Conv2d", {"stride": module.stride, "padding": module.padding, "dilation": module.dilation}
            )
        elif isinstance(module, nn.BatchNorm2d):
            layers[layer.replace("scale", "bn")] = LayerFacts("BatchNorm2d", {"eps": module.eps})
            layers[layer] = LayerFacts("Scale")
    found = assert_same(stored(state, "caffe", layers=layers), theirs)
    assert str(found.spec) == "resnet50 stride_in=1x1 classes=11"
    assert found.identification.fields["stem_pool"].how == "known"


def test_deviation_folds_into_the_first_kernels():
    theirs = net("resnet18", num_classes=4)
    images = np.random.default_rng(0).integers(0, 256, (2, 70, 90, 3), dtype=np.uint8)
    pre = Preprocessing("RGB", None, None)
    made, left = fold_std(load_file(stored(theirs.state_dict())), pre)
    assert (left.scale, left.std) == (1.0, (1.0, 1.0, 1.0)) and left.mean == pytest.approx((123.675, 116.28, 103.53))
    with torch.inference_mode():
        want = theirs(torch.from_numpy(normalise(images, pre)))
    assert relative(outputs(made, torch.from_numpy(normalise(images, left))), want) <= 1e-5
    with pytest.raises(WeightsError, match="takes 3 channels and the preprocessing makes 1"):
        fold_std(made, Preprocessing("L", None, None, mean=(0.5,), std=(0.5,)))


def test_openmmlab_says_its_style():
    theirs = caffe_like()
    state = renamed(theirs, "resnet50 classes=11", "mmpretrain")
    config = "model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=50, style='caffe'))"
    found = assert_same(stored({"meta": {"config": config, "mmcls_version": "0.20"}, "state_dict": state}), theirs)
    assert found.spec.stride_in == "1x1" and found.identification.colour.value == "BGR"
    assert identify(stored({"meta": {"mmcls_version": "0.20"}, "state_dict": state})).spec.stride_in == "3x3"


def test_a_bias_of_another_shape_is_refused():
    state = net("resnet50").state_dict() | {f"layer{s}.0.conv1.bias": torch.zeros(1) for s in (1, 2)}
    assert "layer1.0.conv1.bias has shape [1]" in identify(stored(state)).refuses
