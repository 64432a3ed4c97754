"""Files of earlier torch releases, written as those wrote them; where today's torch still reads them, it is the oracle."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from weight_files import bits, expect, net

from plusx.errors import WeightsError
from plusx.weights.containers import read
from plusx.weights.containers.torch_legacy import MAGIC


class Pickler(pickle._Pickler):  # Python's own, not C's: its methods can be told what to write
    """Pickles tensors as torch 0.3 did: `_rebuild_tensor` of a storage, and parameters by REDUCE and BUILD."""

    def __init__(self, file: io.BytesIO, parameters: str) -> None:
        super().__init__(file, 2)
        self.parameters = parameters
        self.storages: OrderedDict[str, torch.Tensor] = OrderedDict()
        self.names: dict[int, str] = {}

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Storage):
            return None
        whole = obj.base if obj.base is not None else obj.values
        key = str(1000 + whole.data_ptr() % 1_000_000)
        self.storages[key] = whole
        view = None if obj.base is None else (f"view{key}", obj.offset, obj.values.numel())
        return ("storage", torch.FloatStorage, key, "cpu", whole.numel(), view)

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor):
            return torch._utils._rebuild_tensor, (obj.storage, obj.offset, obj.size, obj.stride)
        if isinstance(obj, Parameter):
            if self.parameters == "reduce":
                return nn.Parameter, (obj.tensor, True), (True, False, OrderedDict())
            return Blank, (), (obj.tensor, None, OrderedDict(), True, False)
        return NotImplemented


class Storage:
    def __init__(self, values: torch.Tensor, base: torch.Tensor | None = None, offset: int = 0) -> None:
        self.values, self.base, self.offset = values, base, offset


class Tensor:
    def __init__(self, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


class Parameter:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Blank:
    """In the place of torch.nn.parameter.Parameter, whose name is put in afterwards."""


def written(value: Any, parameters: str = "reduce") -> bytes:
    """A whole legacy file around a value."""
    out = io.BytesIO()
    for plain in (
        int.from_bytes(MAGIC[2:], "little"),
        1001,
        {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
    ):
        pickle.dump(plain, out, 2)
    pickler = Pickler(out, parameters)
    pickler.dump(value)
    pickle.dump(list(pickler.storages), out, 2)
    for storage in pickler.storages.values():
        out.write(struct.pack("<q", storage.numel()) + bits(storage))
    return out.getvalue().replace(b"ctest_weights_old_files\nBlank\n", b"ctorch.nn.parameter\nParameter\n")


def old(tensor: torch.Tensor) -> Tensor:
    return Tensor(Storage(tensor.contiguous().view(-1)), 0, tuple(tensor.shape), tuple(tensor.contiguous().stride()))


@pytest.mark.parametrize("parameters", ["reduce", "state"])
def test_a_state_dict_of_torch_0_3(tmp_path, parameters):
    a, b = torch.randn(4, 3, 2), torch.randn(5)
    (tmp_path / "old.pth").write_bytes(written(OrderedDict(a=Parameter(old(a)), b=old(b)), parameters))
    if parameters == "reduce":
        theirs = torch.load(tmp_path / "old.pth", weights_only=False)
        assert torch.equal(theirs["a"].data, a) and torch.equal(theirs["b"], b)
    expect(read(tmp_path / "old.pth").tree, {"a": a, "b": b})


def test_storages_that_are_parts_of_others(tmp_path):
    base = torch.randn(20)
    part = Tensor(Storage(base[5:15], base, 5), 2, (2, 3), (4, 1))
    (tmp_path / "old.pth").write_bytes(written({"whole": old(base), "part": part}))
    wanted = {"whole": base, "part": torch.as_strided(base, (2, 3), (4, 1), 7)}
    theirs = torch.load(tmp_path / "old.pth", weights_only=False)
    assert all(torch.equal(theirs[name], wanted[name]) for name in wanted)
    expect(read(tmp_path / "old.pth").tree, wanted)
    outside = Tensor(Storage(base[5:15], base, 15), 0, (10,), (1,))
    (tmp_path / "old.pth").write_bytes(written({"part": outside}))
    with pytest.raises(WeightsError, match="lies outside"):
        read(tmp_path / "old.pth")


def legacy(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def test_legacy_storages_that_lie(tmp_path):
    raw = legacy({"a": torch.arange(6.0)})
    size = raw.rindex(struct.pack("<q", 6))
    for count, words in ((7, "another number"), (1 << 60, "another number"), (-1, "another number")):
        (tmp_path / "w.pth").write_bytes(raw[:size] + struct.pack("<q", count) + raw[size + 8 :])
        with pytest.raises(WeightsError, match=words):
            read(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(raw[:-4])
    with pytest.raises(WeightsError, match="ends within storage"):
        read(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(raw.replace(b"K\x06N", b"J\xff\xff\xff\x7fN"))
    with pytest.raises(WeightsError, match="is announced in a file of"):
        read(tmp_path / "w.pth")


def test_an_archive_of_torch_export_2_1_to_2_6(tmp_path):
    """Put together from today's parts: the graph has kept its form, the weights lay in a torch file inside."""
    model = net()
    torch.export.save(torch.export.export(model, (torch.randn(2, 3, 33, 33),)), tmp_path / "new.pt2")
    with zipfile.ZipFile(tmp_path / "new.pt2") as source, zipfile.ZipFile(tmp_path / "old.pt2", "w") as out:
        graph = next(name for name in source.namelist() if name.endswith("models/model.json"))
        out.writestr("serialized_exported_program.json", source.read(graph))
        state = io.BytesIO()
        torch.save(model.state_dict(), state)
        out.writestr("serialized_state_dict.pt", state.getvalue())
        out.writestr("version", "7.3")
    found = read(tmp_path / "old.pt2")
    assert found.container == "torch.export"
    expect(found.tree, model.state_dict())
    assert found.layers["layer1.0.conv1"].attributes["dilation"] == (2, 2)


@pytest.mark.parametrize(
    "change", ["no graph", "no json", "another form", "a weight is missing", "a huge shape", "a cut weight"]
)
def test_archives_of_torch_export_that_lie(tmp_path, change):
    torch.export.save(torch.export.export(nn.Conv2d(1, 2, 3), (torch.randn(1, 1, 9, 9),)), tmp_path / "new.pt2")
    with zipfile.ZipFile(tmp_path / "new.pt2") as source, zipfile.ZipFile(tmp_path / "w.pt2", "w") as out:
        for name in source.namelist():
            raw = source.read(name)
            if name.endswith("model.json"):
                if change == "no graph":
                    continue
                raw = (
                    b"["
                    if change == "no json"
                    else json.dumps({"graph_module": [1]}).encode()
                    if change == "another form"
                    else raw
                )
            if name.endswith("weight_0"):
                if change == "a weight is missing":
                    continue
                raw = raw[:30] if change == "a cut weight" else raw
            if name.endswith("weights_config.json") and change == "a huge shape":
                raw = raw.replace(b'{"as_int": 3}', b'{"as_int": 4294967296}')
            out.writestr(name, raw)
    with pytest.raises(WeightsError) as caught:
        read(tmp_path / "w.pt2")
    assert "\n" not in str(caught.value) and "w.pt2" in str(caught.value)


class Learner:
    """An object that is no module and keeps one, as fastai's does."""

    def __init__(self) -> None:
        self.model, self.name = net(), "learner"


def test_an_object_that_keeps_its_network(tmp_path):
    torch.save(Learner(), tmp_path / "export.pkl")
    found = read(tmp_path / "export.pkl")
    expect(found.tree["model"], net().state_dict())
    assert found.layers["conv1"].attributes["padding"] == (3, 3)


def test_a_subclass_of_a_dictionary_and_of_a_tensor(tmp_path):
    value = Config(a=torch.ones(2), b=Marked(torch.arange(3.0)))
    value["b"].note = "kept by torch, not needed here"
    torch.save(value, tmp_path / "w.pth")
    expect(read(tmp_path / "w.pth").tree, {"a": torch.ones(2), "b": torch.arange(3.0)})


class Config(dict):
    pass


class Marked(torch.Tensor):
    @staticmethod
    def __new__(cls, values: torch.Tensor) -> Marked:
        return values.as_subclass(cls)


def test_the_corpus_of_the_fuzz_target_is_read(request):
    import importlib.util

    place = Path(request.config.rootpath) / "tests" / "fuzz"
    spec = importlib.util.spec_from_file_location("fuzz_weights", place / "fuzz_weights.py")
    assert spec is not None and spec.loader is not None
    target = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(target)
    files = sorted((place / "weights").iterdir())
    assert {path.name for path in files} == {name.replace(" ", "-") for name in target.FORMATS}
    for path in files:
        assert len(list(read(path).tree)) > 0
        target.check(path)
