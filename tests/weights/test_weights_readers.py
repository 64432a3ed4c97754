"""Files written by torch, safetensors, numpy and paddle's forms are read bit for bit, and say of their layers what torch knows."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from weight_files import Net, bits, expect, net, repack

from plusx.errors import WeightsError
from plusx.pickles import Inert
from plusx.weights.containers import read
from plusx.weights.stored import LayerFacts, StoredTensor

TYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64,
    torch.bool, torch.complex64,
]  # fmt: skip
NEW_TYPES = [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64]
WAYS = {
    "zip": lambda value, path: torch.save(value, path),
    "legacy": lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
    "pickle": lambda value, path: Path(path).write_bytes(pickle.dumps(value)),
}
CONTAINERS = {"zip": "torch zip", "legacy": "torch legacy", "pickle": "pickle"}


def every_bit(dtype: torch.dtype) -> torch.Tensor:
    """Values that leave no bit alone: all of the 8-bit patterns, and random ones of the wider types; NaN among them."""
    raw = torch.arange(256, dtype=torch.uint8)
    if dtype == torch.bool:
        return raw % 2 == 1
    more = torch.randint(0, 256, (256 * 8,), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return torch.cat([raw, more]).view(dtype)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_bit_for_bit(tmp_path, way, dtype):
    wanted = {"a": every_bit(dtype), "b": every_bit(dtype)[:6].reshape(1, 2, 3)}
    WAYS[way](wanted, tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    assert found.container == CONTAINERS[way]
    expect(found.tree, wanted)


@pytest.mark.parametrize("dtype", NEW_TYPES, ids=str)
def test_types_without_a_storage_class(tmp_path, dtype):
    wanted = {"a": every_bit(dtype)}
    torch.save(wanted, tmp_path / "w.pth")
    found = read(tmp_path / "w.pth").tree["a"]
    assert found.dtype == str(dtype).removeprefix("torch.")
    values = wanted["a"].to(torch.float32) if "float8" in str(dtype) else wanted["a"]
    np.testing.assert_array_equal(found.array(), values.numpy())


@pytest.mark.parametrize("dtype", [*TYPES, *NEW_TYPES], ids=str)
def test_safetensors_bit_for_bit(tmp_path, dtype):
    wanted = {"a": every_bit(dtype), "b": every_bit(dtype)[:6].reshape(1, 2, 3), "empty": every_bit(dtype)[:0]}
    save_file(wanted, tmp_path / "w.safetensors", {"format": "pt", "spec": "resnet50"})
    found = read(tmp_path / "w.safetensors")
    assert (found.container, dict(found.metadata)) == ("safetensors", {"format": "pt", "spec": "resnet50"})
    for name, tensor in wanted.items():
        values = tensor.to(torch.float32) if "float8" in str(dtype) else tensor
        np.testing.assert_array_equal(found.tree[name].array(), bits_as_array(values))


def bits_as_array(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor).numpy()


@pytest.mark.parametrize("way", WAYS)
def test_views_shared_storages_and_odd_shapes(tmp_path, way):
    base = torch.randn(4, 6, 8)
    wanted = OrderedDict(
        whole=base, view=base[1:3, ::2], turned=base.permute(2, 0, 1), last=torch.randn(2, 3, 5, 7).to(memory_format=torch.channels_last),
        single=torch.tensor(2.5), none=torch.empty(0, 3), expanded=torch.arange(3.0).expand(5, 3), row=base[3, 5], same=base,
        one=torch.randn(5)[2:3].expand(4), count=torch.tensor(7),
    )  # fmt: skip
    WAYS[way](wanted, tmp_path / "w.pth")
    expect(read(tmp_path / "w.pth").tree, torch.load(tmp_path / "w.pth") if way != "pickle" else wanted)


@pytest.mark.parametrize("way", WAYS)
def test_a_state_dict_and_its_modules_without_tensors(tmp_path, way):
    WAYS[way](net().state_dict(), tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    expect(found.tree, net().state_dict())
    assert found.layers == {}
    assert found.metadata["modules"].split("\n") == [name for name, _ in net().named_modules()]


def test_a_checkpoint_with_everything(tmp_path):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(2, 3, 33, 33)).sum().backward()
    optimizer.step()
    file = {
        "epoch": 3, "arch": "resnet18", "best": torch.tensor(71.5), "state_dict": model.state_dict(), "optimizer": optimizer.state_dict(),
        "args": __import__("argparse").Namespace(lr=0.1, path=Path("x")), "history": [{"loss": np.float64(0.5)}, (1, 2)],
        "accuracy": np.float32(0.25), "array": np.arange(6, dtype=">i4").reshape(2, 3).T, 7: None,
    }  # fmt: skip
    torch.save(file, tmp_path / "w.pth")
    tree = read(tmp_path / "w.pth").tree
    expect(tree["state_dict"], model.state_dict())
    assert (tree["epoch"], tree["arch"], tree[7], tree["accuracy"]) == (3, "resnet18", None, 0.25)
    assert tree["history"] == [{"loss": 0.5}, [1, 2]]
    assert isinstance(tree["args"], Inert) and tree["args"].name == "argparse.Namespace"
    assert tree["optimizer"]["param_groups"][0]["momentum"] == 0.9
    np.testing.assert_array_equal(tree["array"].array(), file["array"])
    momentum = optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert tree["optimizer"]["state"][0]["momentum_buffer"].array().tobytes() == bits(momentum)


# ---- whole models and archives ----

WHOLE = {
    "zip": lambda model, path: torch.save(model, path),
    "legacy": lambda model, path: torch.save(model, path, _use_new_zipfile_serialization=False),
    "traced": lambda model, path: torch.jit.trace(model, torch.randn(1, 3, 33, 33)).save(str(path)),
    "scripted": lambda model, path: torch.jit.script(model).save(str(path)),
    "export": lambda model, path: torch.export.save(torch.export.export(model, (torch.randn(2, 3, 33, 33),)), path),
}


def pair(value: object) -> object:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def check_layers(layers, model: nn.Module, prefix: str = "") -> None:
    """What the file says is what the model has, for every attribute that the file gives; what counts is given."""
    needed = {
        nn.Conv2d: ("stride", "padding", "dilation", "groups"), nn.BatchNorm2d: ("eps",), nn.GroupNorm: ("num_groups", "eps"),
        nn.MaxPool2d: ("kernel_size", "stride", "padding", "ceil_mode"), nn.LeakyReLU: ("negative_slope",),
        nn.AvgPool2d: ("kernel_size", "stride", "ceil_mode", "count_include_pad"), nn.ReLU: (), nn.Linear: (),
        nn.AdaptiveAvgPool2d: ("output_size",),
    }  # fmt: skip
    seen = 0
    for name, module in model.named_modules():
        if type(module) in needed:
            facts = layers[prefix + name]
            assert facts.kind == type(module).__name__
            assert set(needed[type(module)]) <= set(facts.attributes)
            for key, value in facts.attributes.items():
                if hasattr(module, key) and key not in ("training", "bias"):
                    assert pair(value) == pair(getattr(module, key)), (name, key)
                    seen += 1
    assert seen > 20


@pytest.mark.parametrize("way", WHOLE)
def test_a_whole_model_gives_its_tensors_and_its_layers(tmp_path, way):
    WHOLE[way](net(), tmp_path / "model.bin")
    found = read(tmp_path / "model.bin")
    wanted = net().state_dict()
    assert set(found.tree) == set(wanted)
    expect({name: found.tree[name] for name in wanted}, wanted)
    check_layers(found.layers, net())
    if way in ("zip", "legacy", "scripted"):
        assert found.layers["layer1.0"] == LayerFacts("Block", found.layers["layer1.0"].attributes)
        assert found.layers["layer1.0"].attributes["stride"] == 2


@pytest.mark.parametrize("way", ["zip", "legacy", "traced", "export"])
def test_a_resnet_of_torchvision_in_half(tmp_path, way):
    from torchvision.models import resnet

    torch.manual_seed(0)
    model = resnet.ResNet(
        resnet.Bottleneck, [1, 1, 1, 1], num_classes=3, replace_stride_with_dilation=[False, False, True]
    ).eval()
    WHOLE[way](model, tmp_path / "model.bin") if way != "traced" else torch.jit.trace(
        model, torch.randn(1, 3, 33, 33)
    ).half().save(str(tmp_path / "model.bin"))
    found = read(tmp_path / "model.bin")
    wanted = (model.half() if way == "traced" else model).state_dict()
    expect({name: found.tree[name] for name in wanted}, wanted)
    assert pair(found.layers["layer4.0.conv2"].attributes["stride"]) == (1, 1)
    assert pair(found.layers["layer4.0.conv2"].attributes["padding"]) == (1, 1)
    assert pair(found.layers["layer3.0.conv2"].attributes["stride"]) == (2, 2)
    assert pair(found.layers["layer3.0.conv1"].attributes["stride"]) == (1, 1)


@pytest.mark.parametrize("way", ["zip", "legacy"])
def test_a_whole_model_in_data_parallel_and_in_a_checkpoint(tmp_path, way):
    WHOLE[way](nn.DataParallel(net()), tmp_path / "dp.pt")
    found = read(tmp_path / "dp.pt")
    expect(found.tree, {f"module.{name}": value for name, value in net().state_dict().items()})
    check_layers(found.layers, net(), "module.")
    other = net()
    other.conv1.stride = (1, 1)
    WHOLE[way]({"model": net(), "ema": other, "epoch": 1}, tmp_path / "both.pt")
    found = read(tmp_path / "both.pt")
    expect(found.tree["model"], net().state_dict())
    expect(found.tree["ema"], other.state_dict())
    assert found.layers["conv1"].attributes["stride"] == (2, 2)
    assert found.layers["ema.conv1"].attributes["stride"] == (1, 1)


def test_buffers_that_are_not_saved_and_modules_that_are_shared(tmp_path):
    model = net()
    model.register_buffer("mean", torch.ones(3), persistent=False)
    model.register_buffer("std", torch.ones(3))
    model.twin = model.fc
    torch.save(model, tmp_path / "m.pt")
    found = read(tmp_path / "m.pt")
    assert "mean" not in found.tree and "std" in found.tree
    assert set(found.tree) == set(model.state_dict())
    assert found.tree["twin.weight"].array().tobytes() == bits(model.fc.weight)


@pytest.mark.parametrize("how", ["scripted", "traced"])
def test_a_frozen_network_keeps_its_operators_in_order(tmp_path, how):
    model = net()
    scripted = torch.jit.script(model) if how == "scripted" else torch.jit.trace(model, torch.randn(1, 3, 33, 33))
    torch.jit.freeze(scripted, optimize_numerics=False).save(str(tmp_path / "f.pt"))
    found = read(tmp_path / "f.pt")
    convs = [name for name, facts in found.layers.items() if facts.kind == "Conv2d"]
    assert [found.layers[name].attributes["stride"] for name in convs] == [(2, 2), (2, 2)]
    assert [found.layers[name].attributes["groups"] for name in convs] == [1, 4]
    first, second = (found.tree[f"{name}.weight"].array() for name in convs)
    assert first.tobytes() == bits(model.conv1.weight) and second.tobytes() == bits(model.layer1[0].conv1.weight)
    norm = next(name for name, facts in found.layers.items() if facts.kind == "BatchNorm2d")
    assert found.layers[norm].attributes["eps"] == 2e-5
    assert found.tree[f"{norm}.running_var"].array().tobytes() == bits(model.bn1.running_var)


class Functional(nn.Module):
    """Layers without modules, and a convolution that pads by reflection."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(nn.functional.relu6(self.conv(x)), 3, 2, 1)
        return x.mean([2, 3])


@pytest.mark.parametrize("way", ["traced", "scripted", "export"])
def test_functions_called_by_a_module_are_its_calls(tmp_path, way):
    WHOLE[way](Functional().eval(), tmp_path / "f.pt")
    layers = read(tmp_path / "f.pt").layers
    calls = {facts.kind: facts.attributes for facts in layers[""].attributes["calls"]}
    assert {"MaxPool2d", "Mean"} <= set(calls)
    assert "ReLU6" in calls
    assert (calls["MaxPool2d"]["kernel_size"], calls["MaxPool2d"]["stride"]) == ((3, 3), (2, 2))
    if way != "export":
        assert layers["conv"].attributes["padding_mode"] == "reflect"
        assert layers["conv"].attributes["padding"] == (1, 1)


# ---- pickles of other times and places ----


def python_2(value: dict[str, np.ndarray]) -> bytes:
    """A pickle as Python 2's cPickle writes it: byte strings for text and for the values of arrays."""
    out = [b"\x80\x02}q\x01("]
    for name, array in value.items():
        raw = np.ascontiguousarray(array).tobytes()
        out += [
            b"U" + bytes([len(name)]) + name.encode(),
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(",
            *(b"J" + side.to_bytes(4, "little") for side in array.shape),
            b"tcnumpy\ndtype\nU\x02"
            + array.dtype.str[1:].encode()
            + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            (b"T" + len(raw).to_bytes(4, "little") if len(raw) > 255 else b"U" + bytes([len(raw)])) + raw + b"tb",
        ]
    return b"".join([*out, b"u."])


def test_a_pickle_of_python_2(tmp_path):
    wanted = {"conv1_w": np.random.default_rng(0).standard_normal((8, 3, 7, 7), np.float32), "conv1_b": np.arange(4.0)}
    raw = python_2(wanted)
    assert pickle.loads(raw, encoding="latin1").keys() == wanted.keys()
    (tmp_path / "R-50.pkl").write_bytes(raw)
    tree = read(tmp_path / "R-50.pkl").tree
    assert list(tree) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(tree[name].array(), array)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_in_every_protocol(tmp_path, protocol):
    arrays = {
        "a": np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32), "b": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "half": np.arange(5, dtype=np.float16), "n": np.array(3), "big": np.arange(4, dtype=">f8"), "no": np.zeros((0, 2)),
        "flags": np.array([True, False]), "large": np.arange(3000, dtype=np.int64),
    }  # fmt: skip
    blobs = {
        "blobs": arrays,
        "text": "résumé \\ 'x'\n",
        "raw": b"\x00\xff",
        "t": (1, 2.5, None, True),
        "i": -(2**70),
        "f": {1, 2},
    }
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(blobs, protocol))
    found = read(tmp_path / "w.pkl")
    assert found.container == "pickle"
    for name, array in arrays.items():
        assert found.tree["blobs"][name].shape == array.shape
        np.testing.assert_array_equal(found.tree["blobs"][name].array(), array)
        assert found.tree["blobs"][name].dtype == array.dtype.name
    assert found.tree["text"] == blobs["text"] and found.tree["raw"] == blobs["raw"]
    assert (found.tree["t"], found.tree["i"], sorted(found.tree["f"])) == ([1, 2.5, None, True], -(2**70), [1, 2])


class PaddleTensor:
    """Pickles as paddle's tensors do: by a call of eval on its own array."""

    def __init__(self, array: np.ndarray, form: str) -> None:
        self.array, self.form = array, form

    def __reduce__(self):
        if self.form == "eval":
            return eval, ("data", {"data": self.array})
        return tuple, (("linear_0.w_0", self.array),)


@pytest.mark.parametrize("form", ["array", "tuple", "eval"])
def test_paddle(tmp_path, form):
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(4, dtype=np.float32)
    value = {name: array if form == "array" else PaddleTensor(array, form) for name, array in {"w": a, "b": b}.items()}
    (tmp_path / "w.pdparams").write_bytes(
        pickle.dumps({**value, "StructuredToParameterName@@": {"w": "linear_0.w_0"}}, 4)
    )
    found = read(tmp_path / "w.pdparams")
    assert (found.container, list(found.tree)) == ("paddle", ["w", "b"])
    np.testing.assert_array_equal(found.tree["w"].array(), a)
    np.testing.assert_array_equal(found.tree["b"].array(), b)


def test_paddle_in_slices(tmp_path):
    whole = np.arange(24, dtype=np.float32)
    value = {
        "w@@.0": whole[:10], "w@@.1": whole[10:], "b": whole[:2],
        "UnpackBigParamInfor@@": {"w": {"OriginShape": (4, 6), "slices": ["w@@.0", "w@@.1"]}},
    }  # fmt: skip
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(value, 2))
    found = read(tmp_path / "w.pdparams")
    assert set(found.tree) == {"w", "b"}
    np.testing.assert_array_equal(found.tree["w"].array(), whole.reshape(4, 6))
    del value["w@@.1"]
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(WeightsError, match="in slices"):
        read(tmp_path / "w.pdparams")


def test_npz_and_npy(tmp_path):
    arrays = {
        "a/b": np.arange(6.0).reshape(2, 3),
        "c": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        "d": np.float32(3),
    }
    np.savez(tmp_path / "w.npz", **arrays)
    np.savez_compressed(tmp_path / "z.npz", **arrays)
    for name in ("w.npz", "z.npz"):
        found = read(tmp_path / name)
        assert found.container == "npz" and list(found.tree) == list(arrays)
        for key, array in arrays.items():
            np.testing.assert_array_equal(found.tree[key].array(), array)
            assert found.tree[key].array().dtype.byteorder in "=|<"
    np.savez(tmp_path / "o.npz", a=np.array([{}, []], dtype=object))
    with pytest.raises(WeightsError, match="Python objects"):
        read(tmp_path / "o.npz")
    np.save(tmp_path / "one.npy", arrays["a/b"])
    np.testing.assert_array_equal(read(tmp_path / "one.npy").tree["one"].array(), arrays["a/b"])


def test_zips_without_checksums_big_endian_and_packed_again(tmp_path):
    wanted = {"a": torch.randn(40, 5), "b": torch.tensor(3)}
    repack(tmp_path / "packed.pth", wanted)
    expect(read(tmp_path / "packed.pth").tree, wanted)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(wanted, tmp_path / "plain.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    expect(read(tmp_path / "plain.pth").tree, wanted)


def test_a_file_of_a_big_endian_machine(tmp_path):
    """Made from a little-endian one: values turned, and the note in the archive that says so."""
    import zipfile

    values = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    torch.save({"a": values}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as source, zipfile.ZipFile(tmp_path / "big.pth", "w") as out:
        for name in source.namelist():
            raw = source.read(name)
            raw = (
                b"big"
                if name.endswith("byteorder")
                else values.numpy().byteswap().tobytes()
                if "/data/" in name
                else raw
            )
            out.writestr(name, raw)
    assert torch.equal(torch.load(tmp_path / "big.pth")["a"], values)
    expect(read(tmp_path / "big.pth").tree, {"a": values})


# ---- refusals ----

PAGES = {
    "empty": (b"", "is empty"),
    "five bytes": (b"PK\x03\x04\x00", "cut short"),
    "five other bytes": (b"\x80\x02}q\x00", "5 bytes, too few"),
    "a web page": (b"\n<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
    "json": (b'{"architectures": ["ResNetForImageClassification"]}', "JSON"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "gzip"),
    "zeros": (bytes(4000), "begins with zeros"),
    "text": (b"conv1.weight 0.1 0.2 0.3 0.4 0.5\n" * 20, "in no format"),
    "an image": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(200)), "in no format"),
}


@pytest.mark.parametrize("name", PAGES)
def test_what_is_no_checkpoint_is_one_line(tmp_path, name):
    raw, words = PAGES[name]
    path = tmp_path / "resnet50.pth"
    path.write_bytes(raw)
    with pytest.raises(WeightsError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_archives_of_other_kinds_are_named(tmp_path):
    import tarfile
    import zipfile

    (tmp_path / "storages").write_bytes(b"x" * 2000)
    with tarfile.open(tmp_path / "old.pth", "w") as out:  # as torch saved before 0.1.10
        out.add(tmp_path / "storages", "storages")
    with pytest.raises(WeightsError, match="tar archive"):
        read(tmp_path / "old.pth")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as out:
        out.writestr("net/model.json", "{}")
    with pytest.raises(WeightsError, match=r"torch 1\.3"):
        read(tmp_path / "script.pt")


def test_pipes_devices_folders_and_missing_files_are_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for path, words in [(tmp_path / "pipe.pth", "not a regular"), ("/dev/zero", "not a regular"), (tmp_path, "not a regular"),
                        (tmp_path / "none.pth", "does not exist")]:  # fmt: skip
        with pytest.raises(WeightsError, match=words):
            read(path)


@pytest.mark.parametrize("way", ["zip", "legacy", "safetensors", "pickle", "traced", "export"])
def test_every_cut_is_one_line(tmp_path, way):
    path = tmp_path / "w.bin"
    if way == "safetensors":
        save_file(net().state_dict(), path)
    elif way in ("zip", "legacy", "pickle"):
        WAYS[way](net().state_dict(), path)
    else:
        WHOLE[way](net(), path)
    raw = path.read_bytes()
    read(path)
    for end in [*range(1, 20), *np.linspace(20, len(raw) - 1, 40, dtype=int)]:
        path.write_bytes(raw[:end])
        with pytest.raises(WeightsError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_the_suffix_is_not_believed(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "w.pth")
    assert read(tmp_path / "w.pth").container == "safetensors"
    torch.save({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    assert read(tmp_path / "w.safetensors").container == "torch zip"


def field(number: int, raw: bytes) -> bytes:
    """A field of protobuf with a length; numbers up to 127."""
    tag = number << 3 | 2
    return (bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])) + bytes([len(raw)]) + raw


def test_protobuf_files_hdf5_and_keras_come_to_their_readers(tmp_path):
    import zipfile

    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    pytest.importorskip("pyfive", reason="pyfive is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    with h5py.File(tmp_path / "hdf5", "w") as file:
        file["a/kernel:0"] = values
    with zipfile.ZipFile(tmp_path / "keras", "w") as out:
        out.writestr("config.json", "{}")
        out.writestr("metadata.json", "{}")
        out.write(tmp_path / "hdf5", "model.weights.h5")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["a"], ["b"])], "g", [], [onnx.helper.make_tensor_value_info("b", 1, [2, 3])],
        [onnx.numpy_helper.from_array(values, "a")],
    )  # fmt: skip
    (tmp_path / "onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    blob = field(7, field(1, b"\x02\x03")) + field(5, values.tobytes())
    (tmp_path / "caffe").write_bytes(
        field(1, b"net") + field(100, field(1, b"conv1") + field(2, b"Scale") + field(7, blob))
    )
    for name in ("hdf5", "keras", "onnx", "caffe"):
        assert read(tmp_path / name).container == name


def test_tensors_without_values(tmp_path):
    torch.save({name: value.to("meta") for name, value in net().state_dict().items()}, tmp_path / "meta.pth")
    with pytest.raises(WeightsError, match="without values"):
        read(tmp_path / "meta.pth")


def test_reading_needs_no_torch_and_stays_within_one_and_a_half_times_the_file(tmp_path):
    """Peak memory of a fresh process that reads a file and holds all of its values, less that before it."""
    value = {f"layer{i}.weight": torch.randn(1 << 20) for i in range(12)}
    torch.save(value, tmp_path / "zip.pth")
    torch.save(value, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(value, tmp_path / "w.safetensors")
    arrays = {name: tensor.numpy() for name, tensor in value.items()}
    (tmp_path / "two.pkl").write_bytes(pickle.dumps(arrays, 2))
    (tmp_path / "four.pkl").write_bytes(pickle.dumps(arrays, 4))
    repack(tmp_path / "deflated.pth", value)
    code = (
        "import resource, sys; from plusx.weights.containers import read; from plusx.weights.stored import StoredTensor\n"
        "import numpy, plusx.weights.containers\n"
        "def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) * 1024\n"
        "begin = peak(); tree = read(sys.argv[1]).tree; held = [t.array() for t in tree.values()]\n"
        "assert 'torch' not in sys.modules and len(held) == 12\n"
        "total = sum(float(a.sum()) for a in held); print(peak() - begin)"
    )
    for path in sorted(tmp_path.iterdir()):
        if path.suffix == ".plain":
            continue
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 1.5 * path.stat().st_size + (4 << 20), path.name


def test_the_net_is_pickled_with_its_class_and_still_not_imported(tmp_path):
    """A class of a module that does not exist any more is no obstacle."""
    buffer = io.BytesIO()
    torch.save(net(), buffer)
    raw = buffer.getvalue()
    assert Net.__module__.encode() in raw
    code = "import sys; from plusx.weights.containers import read; f = read(sys.argv[1]); print(f.layers[''].kind, len(f.tree), 'weight_files' in sys.modules)"
    (tmp_path / "m.pt").write_bytes(raw)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.pt")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["Net", str(len(net().state_dict())), "False"], done.stderr


def test_stored_tensors_are_lazy(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "w.pth")
    found = read(tmp_path / "w.pth").tree["a"]
    assert isinstance(found, StoredTensor) and found.array() is not found.array()
