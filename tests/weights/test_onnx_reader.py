"""ONNX files against the onnx package: every data type, both storages; and files that were made to do harm."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
import ml_dtypes
import onnx
import torch
from damaged import read_damaged
from onnx import TensorProto, helper, numpy_helper
from onnx_files import constant, exported, model

import plusx
from plusx.errors import WeightsError
from plusx.weights.containers.onnx import matches, read
from plusx.weights.containers.protobuf_wire import MOST_DEPTH, MOST_FIELDS
from plusx.weights.onnx_graphs.recognition import recognise_onnx
from plusx.weights.stored import StoredTensor

TYPES = {
    "FLOAT": np.float32, "DOUBLE": np.float64, "FLOAT16": np.float16, "BFLOAT16": ml_dtypes.bfloat16, "INT8": np.int8,
    "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "BOOL": np.bool_, "COMPLEX64": np.complex64, "COMPLEX128": np.complex128,
    "FLOAT8E4M3FN": ml_dtypes.float8_e4m3fn, "FLOAT8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "FLOAT8E5M2": ml_dtypes.float8_e5m2,
    "FLOAT8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "INT4": ml_dtypes.int4, "UINT4": ml_dtypes.uint4,
    "FLOAT4E2M1": ml_dtypes.float4_e2m1fn,
}  # fmt: skip


def saved(proto: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def with_tensor(tensor: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Identity", ["x"], ["y"])], [tensor], [1])


CODES = {kind: 16 if kind.endswith("4") or kind == "FLOAT4E2M1" else 256 for kind in TYPES if kind.startswith(("FLOAT8", "INT4", "UINT4", "FLOAT4"))}  # fmt: skip
"""Types whose every code is tried, with how many there are."""


def tensor_of(kind: str, raw: bool) -> TensorProto:
    """A tensor of a type: every code of the small ones, the largest and smallest whole numbers, random others."""
    dtype, number = np.dtype(TYPES[kind]), getattr(TensorProto, kind)
    if kind in CODES:
        codes = np.arange(CODES[kind], dtype=np.uint8)
        packed = codes if CODES[kind] == 256 else codes[::2] | codes[1::2] << 4
        tensor = TensorProto(name="t", data_type=number, dims=[CODES[kind]])
        if raw:
            tensor.raw_data = packed.tobytes()
        else:
            tensor.int32_data.extend(packed.tolist())
        return tensor
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        there = np.array([[info.min, info.max, 0], [1, 2, 7]], dtype)
    else:
        there = (np.random.default_rng(0).standard_normal((3, 5)) * 3).astype(dtype)
    if raw:
        return TensorProto(name="t", data_type=number, dims=there.shape, raw_data=there.tobytes())
    return helper.make_tensor("t", number, there.shape, there.reshape(-1))


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_what_onnx_reads(kind: str, raw: bool, tmp_path: Path) -> None:
    tensor = tensor_of(kind, raw)
    stored = read(saved(with_tensor(tensor), tmp_path / "types.onnx")).tree["tensors"]["t"]
    want, got = numpy_helper.to_array(tensor), stored.array()
    assert got.shape == want.shape == stored.shape
    if kind not in CODES and kind != "BFLOAT16":  # those come back as what numpy has: exact in float32
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


def external(folder: Path, location: str | None = None, **entries: str) -> Path:
    """A model whose tensor lies in `w.bin` beside it."""
    value = np.arange(6, dtype=np.float32)
    (folder / "w.bin").write_bytes(b"head" + value.tobytes())
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location or "w.bin", "offset": "4", "length": "24", **entries}.items():
        tensor.external_data.add(key=key, value=text)
    return saved(with_tensor(tensor), folder / "model.onnx")


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    got = read(external(tmp_path)).tree["tensors"]["t"]
    np.testing.assert_array_equal(got.array(), np.arange(6, dtype=np.float32).reshape(2, 3))


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "C:\\w.bin", "..\\w.bin", "link.bin", "there/w.bin", "none.bin", "folder"])  # fmt: skip
def test_external_data_elsewhere_is_refused(location: str, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "model"
    outside.mkdir(), folder.mkdir(), (folder / "folder").mkdir()
    (outside / "w.bin").write_bytes(bytes(28))
    (tmp_path / "w.bin").write_bytes(bytes(28))
    (folder / "link.bin").symlink_to(outside / "w.bin")
    (folder / "there").symlink_to(outside)
    with pytest.raises(WeightsError) as error:
        read(external(folder, location))
    assert repr(location) in str(error.value) or location in str(error.value)


@pytest.mark.parametrize(
    "entry", [{"offset": "8"}, {"offset": "-4"}, {"length": "23"}, {"offset": "9" * 30}, {"offset": "x"}]
)
def test_external_data_that_does_not_fit_is_refused(entry: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="tensor 't'"):
        read(external(tmp_path, **entry))


def test_overlapping_tensors_are_refused(tmp_path: Path) -> None:
    path = external(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    again = proto.graph.initializer.add()
    again.CopyFrom(proto.graph.initializer[0])
    again.name = "same bytes"
    saved(proto, path)
    assert set(read(path).tree["tensors"]) == {"t", "same bytes"}
    again.external_data[1].value = "0"
    saved(proto, path)
    with pytest.raises(WeightsError, match="overlaps"):
        read(path)


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def nested(depth: int) -> bytes:
    """Graphs in attributes of nodes in graphs."""
    body = field(4, b"If")
    for _ in range(depth):
        body = field(4, b"If") + field(5, field(1, b"then") + field(6, field(1, body)) + b"\xa0\x01\x05")
    return field(7, field(1, body))


BOMBS = {
    "a length beyond the file": b"\x08\x08" + varint(7 << 3 | 2) + varint(1 << 62) + b"abc",
    "a number without end": b"\x08" + b"\xff" * 40,
    "a tensor of 4 EB": field(7, field(5, b"\x08" + varint(1 << 31) + b"\x08" + varint(1 << 31) + b"\x10\x01" + field(8, b"t") + field(9, b"1234"))),
    "a negative size": field(7, field(5, b"\x08" + varint((1 << 64) - 4) + b"\x10\x01" + field(8, b"t") + field(9, b""))),
    "a thousand dimensions": field(7, field(5, b"\x08\x01" * 1000 + b"\x10\x01" + field(8, b"t") + field(9, b"1234"))),
    "fields without end": field(7, b"\x50\x00" * (MOST_FIELDS + 5000)),
    "a wire type of long ago": b"\x08\x08\x0b\x0c",
    "text that is none": b"\x08\x08" + field(2, b"\xff\xfe") + field(7, field(1, field(4, b"\xff"))),
    "an unknown type": field(7, field(5, b"\x08\x01\x10\x63" + field(8, b"t") + field(9, b"1"))),
    "nothing": b"",
    "five bytes": b"\x08\x07\x12\x01a",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.onnx").write_bytes(BOMBS[name])
    before = time.perf_counter()
    with pytest.raises(WeightsError) as error:
        read(tmp_path / "bomb.onnx")
    assert time.perf_counter() - before < 5
    assert "\n" not in str(error.value) and "bomb.onnx" in str(error.value)


def test_a_file_cut_by_one_byte_is_refused(tmp_path: Path) -> None:
    """Its last field is text that nothing needs, so only its length tells."""
    proto = with_tensor(constant("t", np.ones(3, np.float32)))
    helper.set_model_props(proto, {"note": "the last field of the file"})
    whole = saved(proto, tmp_path / "cut.onnx").read_bytes()
    assert read(tmp_path / "cut.onnx").metadata["note"] == "the last field of the file"
    (tmp_path / "cut.onnx").write_bytes(whole[:-1])
    with pytest.raises(WeightsError, match="claims"):
        read(tmp_path / "cut.onnx")


def test_deep_graphs_are_counted_not_followed(tmp_path: Path) -> None:
    (tmp_path / "deep.onnx").write_bytes(nested(500))
    stored = read(tmp_path / "deep.onnx")
    assert MOST_DEPTH < 500
    with pytest.raises(WeightsError, match="body of its own"):
        recognise_onnx_with_input(stored)


def recognise_onnx_with_input(stored):
    """The graph of `nested` has no input; this gives it one."""
    from dataclasses import replace

    from plusx.weights.containers.onnx import OnnxValue

    graph = stored.tree["graph"]
    node = replace(graph.nodes[0], inputs=("x",), outputs=("y",))
    tree = {**stored.tree, "graph": replace(graph, nodes=(node,), inputs=(OnnxValue("x", None),))}
    return recognise_onnx(replace(stored, tree=tree))


def test_a_few_bytes_cannot_ask_for_a_large_constant(tmp_path: Path) -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["w"]), helper.make_node("Conv", ["x", "w"], ["y"])]
    path = saved(
        model(nodes, [constant("s", np.array([1 << 20, 1 << 20, 7, 7]))], [1, 3, 8, 8]), tmp_path / "large.onnx"
    )
    with pytest.raises(WeightsError, match="more values out of constants"):
        recognise_onnx(read(path))


def test_the_head_tells(tmp_path: Path) -> None:
    path = external(tmp_path)
    assert matches(path.read_bytes()[:16])
    assert not matches(b"PK\x03\x04" + bytes(12)) and not matches(b"\x80\x02\x8a\x0al\xfc\x9cF") and not matches(b"")


def small_network(folder: Path) -> bytes:
    """A network of two basic blocks, written by torch."""
    torch.manual_seed(0)
    net = plusx.build("resnet18 depths=1,1 widths=4,8 strides=1,2 dilations=1,1 stem_width=4 classes=3")
    return exported(net, folder / "net.onnx", 32, do_constant_folding=False).read_bytes()


def recognised(path: Path) -> Iterable[StoredTensor]:
    """The tensors of a file whose network was recognised, too."""
    stored = read(path)
    recognise_onnx(stored)
    return stored.tree["tensors"].values()


def read_mutants(count: int, seed: int, folder: Path) -> tuple[int, int]:
    return read_damaged({"net.onnx": small_network(folder)}, recognised, count, seed, folder)


def test_damaged_files_give_one_error_or_a_network(tmp_path: Path) -> None:
    whole, refused = read_mutants(300, 0, tmp_path)
    assert whole > 10 and refused > 100


@pytest.mark.slow
def test_many_damaged_files_give_one_error_or_a_network(tmp_path: Path) -> None:
    whole, refused = read_mutants(3000, 1, tmp_path)
    assert whole > 100 and refused > 1000
