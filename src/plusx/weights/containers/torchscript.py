"""TorchScript archives (torch.jit.save): tensors from their pickles, and what their code says of each layer, read as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.pickles import Inert
from plusx.weights.containers.mapped_file import shown
from plusx.weights.containers.tensors import Allowance
from plusx.weights.containers.torch_zip import Archive
from plusx.weights.containers.torchscript_code import MOST_TEXT, ScriptClass, Text, classes_of
from plusx.weights.containers.torchscript_operators import OPERATORS, facts_of
from plusx.weights.containers.tree import TreeMaker, plain_attributes, state_of
from plusx.weights.containers.zips import Zip
from plusx.weights.stored import LayerFacts, StoredFile, StoredTensor


def read_torchscript(path: Path, archive: Zip, folder: str) -> StoredFile:
    """The tensors by their module paths, as state_dict() would name them; of a frozen network by its operators' order."""
    return _Script(path, archive, folder).read()


class _Script:
    def __init__(self, path: Path, archive: Zip, folder: str) -> None:
        self.path, self.zip, self.folder = path, archive, folder
        self.allowance = Allowance(archive.file, len(archive.raw))
        self.maker = TreeMaker(self.allowance)
        self.classes = classes_of(self.sources())
        self.tensors: dict[str, StoredTensor] = {}
        self.layers: dict[str, LayerFacts] = {}

    def sources(self) -> dict[str, str]:
        start, out, total = f"{self.folder}code/", {}, 0
        for name, entry in self.zip.entries.items():
            if name.startswith(start) and name.endswith(".py"):
                total += entry.size
                if total > MOST_TEXT:
                    raise WeightsError(
                        _(
                            "{path} holds more than {most_text} bytes of code. It is no ResNet.",
                            path=self.path,
                            most_text=MOST_TEXT,
                        )
                    )
                out[name.removeprefix(start)] = bytes(self.zip.view(name)).decode("utf-8", "replace")
        return out

    def read(self) -> StoredFile:
        reader = Archive(self.zip, self.folder, self.allowance)
        root, _names = reader.read("data.pkl", "data")
        if not isinstance(root, Inert):
            raise WeightsError(
                _("{path} is a TorchScript archive without a network in it. Save the network again.", path=self.path)
            )
        for name, module, depth in self.modules(root, "", 0):
            self.add(name, module, depth)
        if not self.tensors:
            constants, _names = reader.read("constants.pkl", "constants")
            self.add_frozen(root, constants)
        return StoredFile(self.path, "torchscript", self.tensors, self.layers)

    def modules(self, module: Inert, name: str, depth: int) -> Iterator[tuple[str, Inert, int]]:
        self.maker.step(depth)
        yield name, module, depth
        for key, child in state_of(module).items():
            if isinstance(child, Inert) and isinstance(key, str) and child.name.startswith("__torch__"):
                yield from self.modules(child, f"{name}.{key}" if name else key, depth + 1)

    def add(self, name: str, module: Inert, depth: int) -> None:
        known = self.classes.get(module.name, ScriptClass())
        for key, item in state_of(module).items():
            if isinstance(item, StoredTensor) and isinstance(key, str) and (known.saved is None or key in known.saved):
                self.tensors[f"{name}.{key}" if name else key] = item
        self.layers[name] = layer_of(module, known)

    def add_frozen(self, root: Inert, constants: Any) -> None:
        """torch.jit.freeze leaves no modules: tensors are constants of the code, and operators in its order are the layers."""
        if not isinstance(constants, list | tuple):
            raise WeightsError(_("{path} has damaged constants. Fetch it again.", path=self.path))
        tensors = {f"CONSTANTS.c{i}": item for i, item in enumerate(constants) if isinstance(item, StoredTensor)}
        self.layers = {"": LayerFacts(root.name.rpartition(".")[2])}
        for i, (operator, args) in enumerate(self.classes.get(root.name, ScriptClass()).calls):
            facts = facts_of(operator, args)
            if facts is None:
                continue
            name = f"{operator}_{i}"
            self.layers[name] = facts
            for role, place in OPERATORS[operator].tensors.items():
                word = args[place] if place < len(args) else None
                if isinstance(word, Text) and word.text in tensors:
                    self.tensors[f"{name}.{role}"] = tensors[word.text]
        used = {id(tensor) for tensor in self.tensors.values()}
        self.tensors |= {shown(name): item for name, item in tensors.items() if id(item) not in used}


def layer_of(module: Inert, known: ScriptClass) -> LayerFacts:
    """What an archive says of one module: its constants, its numbers, and the operators that it calls.

    A layer of torch.nn has the attributes of its one operator. Of any other module, `calls` holds the operators as facts.
    """
    kind = module.name.rpartition(".")[2]
    saved = known.saved or frozenset()  # a parameter that is None is no attribute
    own_state = {key: value for key, value in state_of(module).items() if key not in saved}
    attributes = {**plain_attributes(own_state), **known.finals}
    calls = known.operators()
    own = [
        facts
        for facts in calls
        if facts.kind.startswith(("Conv", "BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm"))
    ]
    library = module.name.startswith("__torch__.torch.nn.modules.")
    if library and calls:
        attributes = {**_with_padding(calls), **attributes}
    elif calls:
        merged = own[0].attributes if len(own) == 1 and known.saved else {}
        attributes = {**merged, **attributes, "calls": tuple(calls)}
    return LayerFacts(kind, attributes)


def _with_padding(calls: list[LayerFacts]) -> dict[str, Any]:
    """The attributes of a layer's operator. A traced convolution with another padding than zeros pads in a call before."""
    first, *more = calls
    if first.kind != "Pad" or not more or not more[0].kind.startswith("Conv"):
        return dict(first.attributes if first.kind != "Pad" else {})
    sides = first.attributes.get("pad", ())
    pairs = [sides[i : i + 2] for i in range(0, len(sides), 2)][::-1]  # pad lists the last dimension first
    padding = tuple(pair[0] for pair in pairs) if all(pair[0] == pair[-1] for pair in pairs) else tuple(sides)
    mode = first.attributes.get("mode")
    return {**more[0].attributes, "padding": padding, "padding_mode": "zeros" if mode == "constant" else mode}
