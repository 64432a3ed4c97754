"""HDF5 and .keras files in every layout of Keras, written by h5py; links out of a file, traps and damage refused."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("pyfive", reason="pyfive is not installed")
import h5py
from damaged import read_damaged

from plusx.errors import MissingExtra, WeightsError
from plusx.weights.containers import hdf5, keras_zip

CONV, NORM, HEAD = "conv2_block1_1_conv", "conv2_block1_1_bn", "predictions"


def values() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {
        f"{CONV}/kernel": (3, 3, 4, 8), f"{CONV}/bias": (8,), f"{NORM}/gamma": (8,), f"{NORM}/beta": (8,),
        f"{NORM}/moving_mean": (8,), f"{NORM}/moving_variance": (8,), f"{HEAD}/kernel": (8, 5), f"{HEAD}/bias": (5,),
    }  # fmt: skip
    return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def config() -> dict:
    def layer(kind: str, name: str, **said: object) -> dict:
        return {"class_name": kind, "name": name, "config": {"name": name, **said}}

    layers = [
        layer("InputLayer", "input_1", batch_shape=[None, 32, 32, 3]),
        layer("Conv2D", CONV, strides=[2, 2], kernel_size=[3, 3], padding="same", dilation_rate=[1, 1], groups=1, use_bias=True),
        layer("BatchNormalization", NORM, epsilon=1.001e-5), layer("Activation", "conv2_block1_1_relu", activation="relu"),
        layer("ZeroPadding2D", "pool1_pad", padding=[[1, 1], [1, 1]]), layer("Dense", HEAD, units=5, activation="softmax"),
    ]  # fmt: skip
    return {"class_name": "Functional", "config": {"name": "resnet50", "layers": layers}}


def old_file(file: h5py.File, *, prefix: str = "", suffix: str = ":0") -> None:
    """Keras 1 and 2: a group a layer, with a list of its weights."""
    root = file.require_group(prefix) if prefix else file
    root.attrs["keras_version"] = "2.15.0"
    if prefix:
        file.attrs["model_config"] = json.dumps(config())
    for layer in (CONV, NORM, HEAD, "input_1"):
        group = root.create_group(layer)
        mine = {name: value for name, value in values().items() if name.startswith(f"{layer}/")}
        group.attrs["weight_names"] = [f"{name}{suffix}".encode() for name in mine]
        for name, value in mine.items():
            group[f"{name}{suffix}"] = value


def new_file(file: h5py.File, *, names: bool = True) -> None:
    """Keras 3: layers and weights by number; the layer's name since 3.3."""
    for place, layer in (("conv2d", CONV), ("batch_normalization", NORM), ("dense", HEAD)):
        group = file.create_group(f"layers/{place}/vars")
        if names:
            group.attrs["name"] = layer
        for number, value in enumerate(v for n, v in values().items() if n.startswith(f"{layer}/")):
            group[str(number)] = value
    file.create_group("optimizer/vars")["0"] = np.array(7, np.int64)


def bytes_of(write, **options: object) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        write(file, **options)
    return out.getvalue()


def zipped(*, names: bool, packed: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(config()))
        archive.writestr("model.weights.h5", bytes_of(new_file, names=names))
    return out.getvalue()


FILES = {
    "old.h5": lambda: bytes_of(old_file), "model.h5": lambda: bytes_of(old_file, prefix="model_weights", suffix=""),
    "new.weights.h5": lambda: bytes_of(new_file), "named.keras": lambda: zipped(names=True),
    "numbered.keras": lambda: zipped(names=False), "packed.keras": lambda: zipped(names=True, packed=True),
}  # fmt: skip


def read(path: Path):
    return (keras_zip if path.suffix == ".keras" else hdf5).read(path)


@pytest.mark.parametrize("name", FILES)
def test_layers_and_weights_have_the_same_names_in_every_layout(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name]())
    stored = read(tmp_path / name)
    assert {key for key in stored.tree if "optimizer" not in key} == set(values())
    for key, value in values().items():
        got = stored.tree[key].array()
        assert (got.dtype, got.shape, stored.tree[key].shape) == (value.dtype, value.shape, value.shape)
        np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize("name", ["model.h5", "named.keras"])
def test_what_the_configuration_says(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name]())
    layers = read(tmp_path / name).layers
    assert layers[CONV].kind == "Conv2d"
    assert [layers[CONV].attributes[k] for k in ("stride", "kernel_size", "padding", "groups", "bias")] == [
        (2, 2),
        (3, 3),
        "same",
        1,
        True,
    ]
    assert (layers[NORM].kind, layers[NORM].attributes["eps"]) == ("BatchNorm2d", 1.001e-5)
    assert layers["conv2_block1_1_relu"].kind == "ReLU"
    assert (layers["pool1_pad"].kind, layers["pool1_pad"].attributes["padding"]) == ("ZeroPad2d", ((1, 1), (1, 1)))
    assert layers[HEAD].attributes["activation"] == "softmax"


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i8", "u1"])
def test_types_and_byte_orders(dtype: str, tmp_path: Path) -> None:
    value = (np.arange(12).reshape(3, 4) * 3).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["whole"], file["text"], file["one"] = value, "not a tensor", np.float32(3)
        file.create_dataset("chunked", data=value, chunks=(2, 2))
        file.create_dataset("none", (0, 3), "f4")
    tree = hdf5.read(tmp_path / "a.h5").tree
    assert set(tree) == {"whole", "one", "chunked", "none"}
    for name in ("whole", "chunked"):
        got = tree[name].array()
        assert got.dtype == value.dtype.newbyteorder("<") and tree[name].dtype == value.dtype.name
        np.testing.assert_array_equal(got, value)
    assert tree["one"].array().item() == 3 and tree["none"].array().shape == (0, 3)


def outside(folder: Path) -> Path:
    with h5py.File(folder / "secret.h5", "w") as file:
        file["secret"] = np.ones(4, np.float32)
    (folder / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    return folder


def link_out(file: h5py.File) -> None:
    file["a"] = h5py.ExternalLink("secret.h5", "/secret")


def link_out_of_a_group(file: h5py.File) -> None:
    file.create_group("layers")["a"] = h5py.ExternalLink("secret.h5", "/secret")


def values_outside(file: h5py.File) -> None:
    file.create_dataset("a", (4,), "f4", external=[("secret.bin", 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "secret", (4,))
    file.create_virtual_dataset("a", layout)


def never_written(file: h5py.File) -> None:
    file.create_dataset("a", (4,), "f4")


def bomb(file: h5py.File) -> None:
    file.create_dataset("a", (1 << 16, 1 << 16), "f4", chunks=(1 << 10, 1 << 10), compression="gzip")


def compressed(file: h5py.File) -> None:
    file.create_dataset("a", data=np.random.default_rng(0).random((64, 64)), chunks=(8, 8), compression="gzip")


def circle(file: h5py.File) -> None:
    group = file.create_group("g")
    group["again"], group["back"] = file["/"], group


def soft_circle(file: h5py.File) -> None:
    file["a"] = h5py.SoftLink("/a")


def deep(file: h5py.File) -> None:
    file.create_group("/".join("g" * 60))["a"] = np.ones(3, np.float32)


TRAPS = {trap.__name__: trap for trap in (
    link_out, link_out_of_a_group, values_outside, virtual, never_written, bomb, compressed, circle, soft_circle, deep)}  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_at_once(name: str, tmp_path: Path) -> None:
    outside(tmp_path)
    with h5py.File(tmp_path / "trap.h5", "w") as file:
        TRAPS[name](file)
    before = time.perf_counter()
    with pytest.raises(WeightsError) as error:
        for tensor in hdf5.read(tmp_path / "trap.h5").tree.values():
            tensor.array()
    assert time.perf_counter() - before < 10
    assert "\n" not in str(error.value) and "trap.h5" in str(error.value)
    if name in ("link_out", "values_outside", "never_written"):
        assert "another file" in str(error.value)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(50_000_000))
    with pytest.raises(WeightsError, match="Do not trust it"):
        keras_zip.read(tmp_path / "bomb.keras")


@pytest.mark.parametrize(
    "members",
    [{}, {"config.json": "[" * 100_000, "model.weights.h5": "x"}, {"config.json": "3", "model.weights.h5": "x"}],
)
def test_another_zip_is_refused(members: dict[str, str], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    with pytest.raises(WeightsError, match=r"other\.keras"):
        keras_zip.read(tmp_path / "other.keras")


def test_without_pyfive_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "old.h5").write_bytes(FILES["old.h5"]())
    monkeypatch.setitem(sys.modules, "pyfive", None)
    with pytest.raises(MissingExtra, match=r"pip install 'plusx\[keras\]'"):
        hdf5.read(tmp_path / "old.h5")


def test_the_head_tells() -> None:
    assert hdf5.matches(FILES["old.h5"]()[:16]) and not hdf5.matches(FILES["named.keras"]()[:16])


def read_mutants(count: int, seed: int, folder: Path) -> tuple[int, int]:
    files = {name: make() for name, make in FILES.items() if name != "packed.keras"}
    return read_damaged(files, lambda path: read(path).tree.values(), count, seed, folder)


def test_damaged_files_give_one_error_or_tensors(tmp_path: Path) -> None:
    whole, refused = read_mutants(300, 0, tmp_path)
    assert whole > 20 and refused > 80


@pytest.mark.slow
def test_many_damaged_files_give_one_error_or_tensors(tmp_path: Path) -> None:
    whole, refused = read_mutants(4000, 1, tmp_path)
    assert whole > 200 and refused > 1000
