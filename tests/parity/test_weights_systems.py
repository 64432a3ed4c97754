"""Files that further systems write themselves, with living statistics: Paddle, KerasHub, Keras as ONNX, fastai, Lightning, smp, open_clip."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import plusx
from living import assert_alive, enliven, relative
from plusx.weights.conversion.translate import load_file
from plusx.weights.identification.identify import identify

pytestmark = pytest.mark.parity
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def pair():
    """Two batches of images, NCHW."""
    return torch.randn(2, 2, 3, 64, 96, generator=torch.Generator().manual_seed(0)).unbind()


def assert_same(path, family, words, x, want, tolerance=1e-5):
    """The file is of the family and network, and plusx computes with it what its own system did."""
    made = load_file(path)
    assert (made.identification.family, made.spec) == (family, plusx.spec(words))
    with torch.inference_mode():
        ours = plusx.build(made.spec, made.tensors).eval()(x)
    assert relative(ours, want.mean((2, 3)) if want.ndim == 4 else want) <= tolerance


# ---- Paddle ----


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_paddle_writes(name, pair, tmp_path):
    paddle = pytest.importorskip("paddle", reason="paddlepaddle is not installed", exc_type=ImportError)
    make = np.random.default_rng(0)
    net = getattr(paddle.vision.models, name)(num_classes=5)
    for key, value in net.state_dict().items():
        if value.ndim == 1:
            spread = key.endswith("_variance") or (key.endswith("weight") and "fc" not in key)
            drawn = make.uniform(0.5, 1.5, value.shape) if spread else make.normal(0, 0.2, value.shape)
            value.set_value(drawn.astype("float32"))
    net.eval()
    x, want, other = pair[0], *(torch.from_numpy(net(paddle.to_tensor(x.numpy())).numpy()) for x in pair)
    assert_alive(want, other)
    paddle.save(net.state_dict(), str(tmp_path / "net.pdparams"))
    assert_same(tmp_path / "net.pdparams", "paddle.vision", f"{name} classes=5", x, want)


# ---- Keras ----


def living_keras(net):
    make = np.random.default_rng(0)
    for weight in net.weights:
        kind = weight.path.rpartition("/")[2]
        if kind in ("gamma", "moving_variance"):
            weight.assign(make.uniform(0.5, 1.5, tuple(weight.shape)))
        elif kind in ("beta", "moving_mean", "bias"):
            weight.assign(make.normal(0, 0.2, tuple(weight.shape)))
    return net


def keras_outputs(keras, net, pair):
    given = (x.permute(0, 2, 3, 1).contiguous().numpy() for x in pair)
    want, other = (torch.from_numpy(np.array(keras.ops.convert_to_numpy(net(x, training=False)))) for x in given)
    assert_alive(want, other)
    return want


SEVEN = {"input_conv_filters": [64], "input_conv_kernel_sizes": [7]}
DEEP = {"input_conv_filters": [32, 32, 64], "input_conv_kernel_sizes": [3, 3, 3]}
HUB = {
    "resnet18": SEVEN | {"block_type": "basic_block"},
    "resnet50": SEVEN | {"block_type": "bottleneck_block"},
    "resnetv2_50": SEVEN | {"block_type": "bottleneck_block", "use_pre_activation": True},
    "resnet50d": DEEP | {"block_type": "bottleneck_block_vd"},
    "resnet18d first_shortcut=project": DEEP | {"block_type": "basic_block_vd"},
}


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("words", HUB)
def test_keras_hub_writes(words, suffix, pair, tmp_path):
    keras = pytest.importorskip("keras", reason="keras is not installed", exc_type=ImportError)
    hub = pytest.importorskip("keras_hub", reason="keras_hub is not installed", exc_type=ImportError)
    pytest.importorskip("pyfive", reason="pyfive is not installed")
    backbone = hub.models.ResNetBackbone(
        stackwise_num_filters=[64, 128, 256, 512], stackwise_num_blocks=[2, 2, 2, 2] if "18" in words else [3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2], image_shape=(None, None, 3), **HUB[words],
    )  # fmt: skip
    net = living_keras(hub.models.ResNetImageClassifier(backbone=backbone, num_classes=5))
    want = keras_outputs(keras, net, pair)
    path = tmp_path / f"net{suffix}"
    net.save_weights(path) if suffix == ".weights.h5" else net.save(path)
    assert_same(path, "KerasHub v2" if "v2" in words else "KerasHub", f"{words} classes=5", pair[0], want)


def test_keras_exports_onnx(pair, tmp_path):
    keras = pytest.importorskip("keras", reason="keras is not installed", exc_type=ImportError)
    if keras.backend.backend() != "torch":
        pytest.skip("Keras exports ONNX here with the torch backend")
    net = living_keras(
        keras.applications.ResNet50(weights=None, classes=5, input_shape=(64, 96, 3), classifier_activation=None)
    )
    want = keras_outputs(keras, net, pair)
    net.export(tmp_path / "net.onnx", format="onnx", verbose=False)
    assert_same(tmp_path / "net.onnx", "ONNX", "resnet50 stride_in=1x1 classes=5", pair[0], want)


# ---- what is written by torch ----


@torch.inference_mode()
def torch_outputs(net, pair):
    want, other = map(net.eval(), pair)
    assert_alive(want, other)
    return want


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_fastai_writes(name, whole, pair, tmp_path):
    pytest.importorskip("fastai", reason="fastai is not installed", exc_type=ImportError)
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.vision.learner import create_vision_model
    from torchvision import models

    net = enliven(create_vision_model(getattr(models, name), 5, pretrained=False))
    loaders = DataLoaders(*(DataLoader(list(range(4)), bs=2) for _ in range(2)))
    learner = Learner(loaders, net, loss_func=CrossEntropyLossFlat(), path=tmp_path, model_dir=".")
    torch.save(net, tmp_path / "net.pth") if whole else learner.save("net")
    want = torch_outputs(net[0], pair)
    assert_same(tmp_path / "net.pth", "fastai", f"{name} classes=0", pair[0], want)


def test_lightning_writes(pair, tmp_path):
    lightning = pytest.importorskip("lightning", reason="lightning is not installed", exc_type=ImportError)
    from torchvision.models import resnet50

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.loss = resnet50(num_classes=5), torch.nn.CrossEntropyLoss(weight=torch.ones(5))

        def training_step(self, batch, _number):
            return self.loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6, momentum=0.9)

    module = Module()
    enliven(module).train()
    images = torch.utils.data.TensorDataset(torch.randn(4, 3, 64, 64), torch.randint(0, 5, (4,)))
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(images, batch_size=2))
    trainer.save_checkpoint(tmp_path / "net.ckpt")
    want = torch_outputs(module.model, pair)
    assert_same(tmp_path / "net.ckpt", "torchvision", "resnet50 classes=5", pair[0], want)


# smp dilates every convolution of a stage, 1x1 ones too, which changes nothing there
SMP = {
    ("Unet", "resnet18"): "resnet18", ("FPN", "resnext50_32x4d"): "resnext50_32x4d",
    ("Unet", "se_resnet50"): "seresnet50 stride_in=1x1 stem_pool=caffe",
    ("DeepLabV3Plus", "resnet50"): "resnet50 output_stride=16 dilate=full",
    ("DeepLabV3", "resnet50"): "resnet50 output_stride=8 dilate=full",
}  # fmt: skip


@pytest.mark.parametrize(("head", "encoder"), SMP)
def test_smp_writes(head, encoder, pair, tmp_path):
    smp = pytest.importorskip(
        "segmentation_models_pytorch", reason="segmentation_models_pytorch is not installed", exc_type=ImportError
    )
    net = enliven(getattr(smp, head)(encoder, encoder_weights=None, classes=2))
    with torch.inference_mode():
        want, other = (net.encoder(x)[-1] for x in pair)
    assert_alive(want, other)
    torch.save(net, tmp_path / "net.pth")
    torch.save(net.state_dict(), tmp_path / "state.pth")
    family = "Cadene's SENet" if "se_" in encoder else "smp"
    words = f"{SMP[head, encoder]} classes=0"
    made = load_file(tmp_path / "net.pth")
    assert made.identification.family == family
    with torch.inference_mode():
        assert relative(plusx.build(made.spec, made.tensors).eval()(pair[0]), want.mean((2, 3))) <= 1e-5
    found = identify(tmp_path / "state.pth")
    assert found.fields["strides"].how == "unknown"
    given = load_file(tmp_path / "state.pth", spec=words)
    with torch.inference_mode():
        assert relative(plusx.build(given.spec, given.tensors).eval()(pair[0]), want.mean((2, 3))) <= 1e-5


def test_open_clips_resnet_is_named_and_refused(tmp_path):
    clip = pytest.importorskip("open_clip", reason="open_clip is not installed", exc_type=ImportError)
    torch.save(clip.create_model("RN50").visual.state_dict(), tmp_path / "net.pth")
    found = identify(tmp_path / "net.pth")
    assert found.family == "CLIP" and "pools by attention" in found.refuses
