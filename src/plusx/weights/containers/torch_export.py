"""Archives of torch.export.save (.pt2): weights by name, and stride, padding, … from the graph, which is JSON.

Format: torch/export/pt2_archive/_package.py (since 2.7: `archive_format`, `models/model.json`, `data/weights/…`) and, of 2.1 to
2.6, `serialized_exported_program.json` beside `serialized_state_dict.pt`. Types: torch/_export/serde/schema.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.weights.containers.mapped_file import shown
from plusx.weights.containers.tensors import ITEM_SIZES, Allowance, Storage, strided
from plusx.weights.containers.torch_zip import OLD_EXPORT, folder_of, read_state
from plusx.weights.containers.torchscript_operators import OPERATORS, facts_of
from plusx.weights.containers.zips import Zip
from plusx.weights.stored import LayerFacts, StoredFile, StoredTensor

OLD_STATE = "serialized_state_dict.pt"
_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 10: "complex64",
    11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz", 33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip
_MOST_JSON = 16 << 20
_STRIDED = 7


def read_torch_export(path: Path, archive: Zip, folder: str) -> StoredFile:
    """The parameters and buffers by name, and the layers of the graph by the module that each comes from."""
    return _Export(path, archive, folder).read()


class _Export:
    def __init__(self, path: Path, archive: Zip, folder: str) -> None:
        self.path, self.zip, self.folder = path, archive, folder
        self.allowance = Allowance(archive.file, len(archive.raw))

    def damaged(self, why: Message) -> WeightsError:
        return WeightsError(
            _("{path} is a damaged archive of torch.export: {why}. Fetch it again.", path=self.path, why=why)
        )

    def read(self) -> StoredFile:
        try:
            old = f"{self.folder}{OLD_EXPORT}" in self.zip.entries
            graph = self.json(OLD_EXPORT if old else self.only("models/", ".json"))
            tensors = self.old_state() if old else self.weights()
            return StoredFile(self.path, "torch.export", tensors, layers_of(graph))
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise self.damaged(_("its graph or its list of weights has another form than torch writes")) from error

    def json(self, name: str) -> Any:
        entry = self.zip.entries.get(self.folder + name)
        if entry is None:
            raise self.damaged(_("{name} is missing", name=name))
        if entry.size > _MOST_JSON:
            raise WeightsError(
                _("{path} has a graph of {size} bytes. It is no ResNet.", path=self.path, size=entry.size)
            )
        try:
            return json.loads(bytes(self.zip.view(self.folder + name)))
        except (ValueError, RecursionError) as error:
            raise self.damaged(_("{name} is no JSON", name=shown(name))) from error

    def only(self, start: str, end: str) -> str:
        """The first entry under a folder with an ending, without the archive's own folder."""
        found = [name for name in self.zip.entries if name.startswith(self.folder + start) and name.endswith(end)]
        if not found:
            raise self.damaged(_("it has no {start}…{end}", start=start, end=end))
        return found[0].removeprefix(self.folder)

    def old_state(self) -> dict[str, Any]:
        raw = self.zip.view(self.folder + OLD_STATE)
        inner = Zip(raw, self.zip.file)
        folder = folder_of(inner)
        if folder is None:
            raise self.damaged(_("{old_state} holds no tensors", old_state=OLD_STATE))
        tree = read_state(inner, folder, self.allowance).value
        if not isinstance(tree, dict):
            raise self.damaged(_("{old_state} is no dictionary", old_state=OLD_STATE))
        return tree

    def weights(self) -> dict[str, StoredTensor]:
        config = self.json(self.only("data/weights/", "_weights_config.json"))["config"]
        return {name: self.tensor(name, facts) for name, facts in config.items()}

    def tensor(self, name: str, facts: dict[str, Any]) -> StoredTensor:
        meta, part = facts["tensor_meta"], f"{self.folder}data/weights/{facts['path_name']}"
        dtype = _TYPES.get(meta["dtype"])
        if facts.get("use_pickle") or dtype is None or meta["layout"] != _STRIDED:
            raise WeightsError(
                _(
                    "{path} holds {name} in a type or layout that is not read. Save it as float32.",
                    path=self.path,
                    name=shown(name),
                )
            )
        entry = self.zip.entries.get(part)
        if entry is None:
            raise self.damaged(_("the values of {name} are missing", name=shown(name)))
        storage = Storage(shown(facts["path_name"]), dtype, entry.size, lambda: self.zip.view(part))
        shape, strides = ([side["as_int"] for side in meta[key]] for key in ("sizes", "strides"))
        if entry.size % ITEM_SIZES[dtype]:
            raise self.damaged(_("the values of {name} are cut", name=shown(name)))
        return strided(storage, dtype, meta["storage_offset"]["as_int"], shape, strides, self.allowance)


def layers_of(graph: Any) -> dict[str, LayerFacts]:
    """Module path to facts. Operators that a module calls itself, besides its own kind of layer, stand in `calls`."""
    layers: dict[str, LayerFacts] = {}
    for node in graph["graph_module"]["graph"]["nodes"]:
        target = node["target"].split(".")
        name = target[3].strip("_") if target[:3] == ["torch", "ops", "aten"] and len(target) > 3 else ""
        if name not in OPERATORS:
            continue
        facts = facts_of(name, _arguments(name, node["inputs"]))
        stack = node.get("metadata", {}).get("nn_module_stack", "").split(";")[-1].split(",")
        if facts is None or len(stack) != 3:
            continue
        path, kind = stack[1], stack[2].rpartition(".")[2]
        known = layers.get(path)
        if stack[2].startswith("torch.nn.modules."):
            layers[path] = known or LayerFacts(kind, facts.attributes)
        else:
            calls = (*known.attributes["calls"], facts) if known else (facts,)
            layers[path] = LayerFacts(kind, {"calls": calls})
    return layers


_NAMES = {"kernel_size": "kernel_size", "num_groups": "num_groups", "normalized_shape": "normalized_shape"}


def _arguments(name: str, inputs: list[dict[str, Any]]) -> list[Any]:
    """A node's arguments at the places of the operator's signature: missing ones are torch's defaults."""
    given = {item["name"]: next(iter(item["arg"].values())) for item in inputs if _literal(item["arg"])}
    operator = OPERATORS[name]
    renamed = {"pad": "pad", "group": "groups", **_NAMES}
    args: list[Any] = [_Absent] * (1 + max(operator.places.values(), default=0))
    for attribute, place in operator.places.items():
        key = next((key for key in given if renamed.get(key, key) == attribute), None)
        args[place] = given[key] if key is not None else operator.absent.get(attribute, _Absent)
    return args


def _literal(arg: dict[str, Any]) -> bool:
    return next(iter(arg)) in ("as_ints", "as_int", "as_float", "as_floats", "as_bool", "as_string", "as_none")


class _Absent:
    """An argument that the graph does not give."""
