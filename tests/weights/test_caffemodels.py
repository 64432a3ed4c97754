"""Caffemodels written by protobuf from Caffe's own schema: both layer lists, both kinds of shapes, and damaged ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("google.protobuf", reason="protobuf is not installed")
from damaged import read_damaged
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from plusx.errors import WeightsError
from plusx.weights.containers.caffe import matches, read

# name: (number, type, repeated); the parts of caffe.proto that trained ResNets use
SCHEMA: dict[str, dict[str, tuple[int, str, bool]]] = {
    "BlobShape": {"dim": (1, "int64", True)},
    "BlobProto": {
        "num": (1, "int32", False), "channels": (2, "int32", False), "height": (3, "int32", False), "width": (4, "int32", False),
        "data": (5, "float", True), "shape": (7, "BlobShape", False), "double_data": (8, "double", True),
    },
    "ConvolutionParameter": {
        "num_output": (1, "uint32", False), "bias_term": (2, "bool", False), "pad": (3, "uint32", True),
        "kernel_size": (4, "uint32", True), "group": (5, "uint32", False), "stride": (6, "uint32", True),
        "kernel_h": (11, "uint32", False), "kernel_w": (12, "uint32", False), "dilation": (18, "uint32", True),
    },
    "PoolingParameter": {
        "pool": (1, "uint32", False), "kernel_size": (2, "uint32", False), "stride": (3, "uint32", False),
        "pad": (4, "uint32", False), "global_pooling": (12, "bool", False), "round_mode": (13, "uint32", False),
    },
    "BatchNormParameter": {"eps": (3, "float", False)},
    "ReLUParameter": {"negative_slope": (1, "float", False)},
    "LayerParameter": {
        "name": (1, "string", False), "type": (2, "string", False), "bottom": (3, "string", True), "top": (4, "string", True),
        "blobs": (7, "BlobProto", True), "convolution_param": (106, "ConvolutionParameter", False),
        "pooling_param": (121, "PoolingParameter", False), "relu_param": (123, "ReLUParameter", False),
        "batch_norm_param": (139, "BatchNormParameter", False),
    },
    "V1LayerParameter": {
        "bottom": (2, "string", True), "top": (3, "string", True), "name": (4, "string", False), "type": (5, "uint32", False),
        "blobs": (6, "BlobProto", True), "convolution_param": (10, "ConvolutionParameter", False),
        "pooling_param": (19, "PoolingParameter", False),
    },
    "NetParameter": {"name": (1, "string", False), "layers": (2, "V1LayerParameter", True), "layer": (100, "LayerParameter", True)},
}  # fmt: skip


@cache
def kinds() -> dict[str, Any]:
    """Message classes of SCHEMA. proto2 packs what is marked; Caffe marks data and dims."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe_part.proto", package="caffe_part", syntax="proto2")
    scalar = descriptor_pb2.FieldDescriptorProto
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = scalar.LABEL_REPEATED if repeated else scalar.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, label=label)
            if kind in SCHEMA:
                made.type, made.type_name = scalar.TYPE_MESSAGE, f".caffe_part.{kind}"
            else:
                made.type = getattr(scalar, f"TYPE_{kind.upper()}")
                if repeated and field in ("data", "double_data", "dim"):
                    made.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe_part.{name}")) for name in SCHEMA}


def blob(into: Any, value: np.ndarray, *, old: bool = False) -> None:
    made = into.blobs.add()
    if old:
        made.num, made.channels, made.height, made.width = (1,) * (4 - value.ndim) + value.shape
    else:
        made.shape.dim.extend(value.shape)
    (made.double_data if value.dtype == np.float64 else made.data).extend(value.reshape(-1).tolist())


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {"conv1[0]": (8, 3, 7, 7), "conv1[1]": (8,), "bn_conv1[0]": (8,), "bn_conv1[1]": (8,), "bn_conv1[2]": (1,)}
    return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()} | {
        "fc[0]": draw.standard_normal((4, 8))
    }


def network(*, old: bool = False) -> bytes:
    net = kinds()["NetParameter"](name="ResNet-of-two")
    values = arrays()
    for name, new_kind, old_kind in (
        ("conv1", "Convolution", 4),
        ("bn_conv1", "BatchNorm", 39),
        ("fc", "InnerProduct", 14),
    ):
        layer = (net.layers if old else net.layer).add(
            name=name, type=old_kind if old else new_kind, bottom=["a"], top=[name]
        )
        for key, value in values.items():
            if key.startswith(name + "["):
                blob(layer, value, old=old)
        if name == "conv1":
            said = layer.convolution_param
            said.num_output, said.group = 8, 1
            said.pad.append(3), said.kernel_size.append(7), said.stride.append(2)
        if name == "bn_conv1" and not old:
            layer.batch_norm_param.eps = 2e-5
    pool = (net.layers if old else net.layer).add(
        name="pool1", type=17 if old else "Pooling", bottom=["conv1"], top=["pool1"]
    )
    pool.pooling_param.kernel_size, pool.pooling_param.stride = 3, 2
    if not old:
        last = net.layer.add(name="pool5", type="Pooling")
        last.pooling_param.pool, last.pooling_param.global_pooling = 1, True
        net.layer.add(name="leaky", type="ReLU").relu_param.negative_slope = 0.5
        odd = net.layer.add(name="odd", type="Convolution").convolution_param
        odd.kernel_h, odd.kernel_w, odd.bias_term = 1, 3, False
        odd.dilation.append(2), odd.stride.extend([1, 2])
    return net.SerializeToString()


@pytest.mark.parametrize("old", [False, True], ids=["layer", "layers"])
def test_every_blob_is_what_was_written(old: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(network(old=old))
    stored = read(path)
    assert (stored.container, stored.metadata["name"]) == ("caffe", "ResNet-of-two")
    assert set(stored.tree) == set(arrays())
    for name, value in arrays().items():
        got = stored.tree[name].array()
        want = value.reshape((1,) * (4 - value.ndim) + value.shape) if old else value
        assert (
            got.shape == stored.tree[name].shape == want.shape
            and got.dtype.name == stored.tree[name].dtype == want.dtype.name
        )
        np.testing.assert_array_equal(got, want)
    conv = stored.layers["conv1"]
    assert conv.kind == "Conv2d" and conv.attributes["bias"]
    assert [conv.attributes[k] for k in ("stride", "padding", "kernel_size", "dilation", "groups")] == [
        (2, 2),
        (3, 3),
        (7, 7),
        (1, 1),
        1,
    ]
    pool = stored.layers["pool1"]
    assert pool.kind == "MaxPool2d"
    assert [pool.attributes[k] for k in ("kernel_size", "stride", "padding", "ceil_mode")] == [
        (3, 3),
        (2, 2),
        (0, 0),
        True,
    ]


def test_what_parameters_say(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(network())
    layers = read(path).layers
    assert layers["bn_conv1"].kind == "BatchNorm2d"
    assert layers["bn_conv1"].attributes["eps"] == pytest.approx(2e-5)
    assert layers["bn_conv1"].attributes["factor"] == pytest.approx(float(arrays()["bn_conv1[2]"][0]))
    assert layers["pool5"].kind == "AdaptiveAvgPool2d"
    assert (layers["leaky"].kind, layers["leaky"].attributes["negative_slope"]) == ("LeakyReLU", 0.5)
    odd = layers["odd"].attributes
    assert (odd["kernel_size"], odd["dilation"], odd["stride"], odd["bias"]) == ((1, 3), (2, 2), (1, 2), False)


def test_the_head_tells() -> None:
    assert matches(network()[:32]) and matches(network(old=True)[:32])
    assert (
        not matches(b"\x08\x07\x12\x07pytorch")
        and not matches(b"PK\x03\x04" + bytes(8))
        and not matches(b"\x0a\x05\xff\xff\xff\xff\xff")
    )


BOMBS = {
    "a shape of 10^18 values": b"\x0a\x01n\xa2\x06\x14\x0a\x01c\x3a\x0f\x3a\x0d\x0a\x0b" + b"\xff\xff\xff\xff\x07" * 2 + b"\x01",
    "negative sizes": b"\x12\x10\x22\x01c\x32\x0b\x08" + b"\xff" * 9 + b"\x01",
    "a length beyond the file": b"\xa2\x06\xff\xff\xff\xff\x0f",
    "no layers": b"\x0a\x03net",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.caffemodel").write_bytes(BOMBS[name])
    with pytest.raises(WeightsError, match=r"bomb\.caffemodel"):
        read(tmp_path / "bomb.caffemodel")


def read_mutants(count: int, seed: int, folder: Path) -> tuple[int, int]:
    files = {"new.caffemodel": network(), "old.caffemodel": network(old=True)}
    return read_damaged(files, lambda path: read(path).tree.values(), count, seed, folder)


def test_damaged_files_give_one_error_or_tensors(tmp_path: Path) -> None:
    whole, refused = read_mutants(400, 0, tmp_path)
    assert whole > 20 and refused > 100


@pytest.mark.slow
def test_many_damaged_files_give_one_error_or_tensors(tmp_path: Path) -> None:
    whole, refused = read_mutants(4000, 1, tmp_path)
    assert whole > 200 and refused > 1000
