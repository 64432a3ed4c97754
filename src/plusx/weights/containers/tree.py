"""What a pickle held, as a tree: dictionaries and lists of tensors, plain values and inert records, without cycles, bounded.

A saved module is a record whose `_modules`, `_parameters` and `_buffers` make a flat dictionary of tensors; its other
attributes are what the file says of its layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.pickles import Inert, Latin, LongText, Made, Name, PickledArray
from plusx.weights.containers.mapped_file import shown
from plusx.weights.containers.tensors import ITEM_SIZES, Allowance, Storage, from_array, strided
from plusx.weights.stored import LayerFacts, StoredTensor

MOST_DEPTH, MOST_NODES = 64, 200_000
_HIDDEN = frozenset(("training", "dump_patches", "call_super_init", "T_destination"))


@dataclass
class Tree:
    """`value` is the tree; `layers` by module path; `modules` by tree path: the paths of all modules of a state dict."""

    value: Any = None
    layers: dict[str, LayerFacts] = field(default_factory=dict)
    modules: dict[str, list[str]] = field(default_factory=dict)


class TreeMaker:
    """Makes the tree of one file. `modules`: see TorchNames."""

    def __init__(self, allowance: Allowance, modules: Mapping[int, tuple[Any, list[str]]] | None = None) -> None:
        self.allowance, self.file = allowance, allowance.file
        self.state_dicts = {} if modules is None else modules
        self.nodes = 0
        self.place: list[str | int] = []
        """Where in the tree the walk is."""
        self.arrays: dict[int, Any] = {}
        self.tree = Tree()

    def make(self, value: Any) -> Tree:
        self.tree.value = self.node(value, 0)
        return self.tree

    def step(self, depth: int) -> None:
        self.nodes += 1
        if depth > MOST_DEPTH:
            raise WeightsError(
                _(
                    "{file} is nested more than {most_depth} deep, or holds itself. It is no checkpoint.",
                    file=self.file,
                    most_depth=MOST_DEPTH,
                )
            )
        if self.nodes > MOST_NODES:
            raise WeightsError(
                _(
                    "{file} holds more than {most_nodes} values. It is no checkpoint of a network.",
                    file=self.file,
                    most_nodes=MOST_NODES,
                )
            )

    def node(self, value: Any, depth: int) -> Any:
        self.step(depth)
        if value is None or isinstance(value, bool | int | float | str | bytes | StoredTensor):
            return value
        if isinstance(value, dict):
            return self.mapping(value, depth)
        if isinstance(value, list | tuple):
            return [self.inside(i, item, depth) for i, item in enumerate(value)]
        if isinstance(value, Inert):
            return self.record(value, depth)
        if isinstance(value, Name):
            return Inert(value.name)
        return self.leaf(value)

    def inside(self, key: str | int, item: Any, depth: int) -> Any:
        self.place.append(key)
        made = self.node(item, depth + 1)
        self.place.pop()
        return made

    def path(self) -> str:
        return ".".join(shown(str(key)) for key in self.place)

    def leaf(self, value: Any) -> Any:
        """A value that is read once and may stand in many places."""
        if id(value) not in self.arrays:
            self.arrays[id(value)] = self._leaf(value)
        return self.arrays[id(value)]

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, PickledArray) and value.done:
            self.allowance.spend(value.size, value.size)
            return from_array(value)
        if isinstance(value, Storage):
            if value.dtype is None:
                return Inert("torch.storage.UntypedStorage")
            count = value.size // ITEM_SIZES[value.dtype]
            return strided(value, value.dtype, 0, (count,), (1,), self.allowance)
        if isinstance(value, memoryview):
            return bytes(value)
        if isinstance(value, LongText):
            return value.value
        if isinstance(value, Latin):
            return bytes(value.value)
        return Inert(
            "numpy.ndarray"
            if isinstance(value, PickledArray)
            else "numpy.dtype"
            if isinstance(value, Made)
            else "object"
        )

    def mapping(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        known = self.state_dicts.get(id(value))
        if known is not None:
            self.tree.modules[self.path()] = known[1]
        out: dict[Any, Any] = {}
        for key, item in value.items():
            name = (
                key.decode("latin-1") if isinstance(key, bytes) else key.name if isinstance(key, Name | Inert) else key
            )
            if name in out:
                raise WeightsError(
                    _("{file} holds two values named {name}. It is not read.", file=self.file, name=shown(str(name)))
                )
            out[name] = self.inside(name if isinstance(name, str | int) else "", item, depth)
        return out

    def record(self, value: Inert, depth: int) -> Any:
        tensor = parameter_of(value)
        if tensor is not None:
            return self.node(tensor, depth + 1)
        if is_module(value):
            return self.module(value, depth)
        held = {key: item for key, item in state_of(value).items() if isinstance(item, Inert) and is_module(item)}
        if held:  # an object that keeps its networks as attributes: a learner, a trainer
            return self.mapping(held, depth + 1)
        if value.pairs:
            return self.mapping(value.pairs, depth + 1)
        if value.items:
            return self.node(value.items, depth + 1)
        given = [item for item in value.args if isinstance(item, dict | Inert)]  # mappings and named tuples of others
        if not given:
            return value
        return self.node(given[0], depth + 1) if len(given) == len(value.args) == 1 else self.node(given, depth + 1)

    def module(self, value: Inert, depth: int) -> dict[str, Any]:
        """The flat tensors of a saved module; what it says of its layers goes to the tree's layers."""
        tensors: dict[str, Any] = {}
        layers: dict[str, LayerFacts] = {}
        for name, module, level in self.modules(value, "", depth):
            state, dot = state_of(module), f"{name}." if name else ""
            layers[name] = LayerFacts(module.name.rpartition(".")[2], plain_attributes(state))
            unsaved = state.get("_non_persistent_buffers_set")
            unsaved = unsaved if isinstance(unsaved, list) else []
            for kind in ("_parameters", "_buffers"):
                held = state.get(kind)
                for key, item in held.items() if isinstance(held, dict) else ():
                    if item is not None and isinstance(key, str) and not (kind == "_buffers" and key in unsaved):
                        found = self.node(item, level + 1)
                        if isinstance(found, StoredTensor):
                            tensors[dot + key] = found
        self.add_layers(layers, self.path())
        return tensors

    def modules(self, value: Inert, name: str, depth: int) -> Iterator[tuple[str, Inert, int]]:
        self.step(depth)
        yield name, value, depth
        children = state_of(value).get("_modules")
        for key, child in children.items() if isinstance(children, dict) else ():
            if isinstance(child, Inert) and isinstance(key, str):
                yield from self.modules(child, f"{name}.{key}" if name else key, depth + 1)

    def add_layers(self, layers: Mapping[str, LayerFacts], path: str) -> None:
        """Under their own paths; those of a second network that says otherwise under its place in the tree too."""
        known = self.tree.layers
        clash = any(name in known and known[name] != facts for name, facts in layers.items())
        for name, facts in layers.items():
            known[f"{path}.{name}" if clash else name] = facts


def is_module(value: Inert) -> bool:
    """Whether a record is a saved torch.nn.Module."""
    state = state_of(value)
    return isinstance(state.get("_modules"), dict) and isinstance(state.get("_parameters"), dict)


def state_of(value: Inert) -> dict[Any, Any]:
    """The attributes of a record; empty where it has none."""
    state = value.state[0] if isinstance(value.state, tuple) and len(value.state) == 2 else value.state
    return state if isinstance(state, dict) else {}


def parameter_of(value: Inert) -> Any:
    """The tensor in a Parameter or Variable that an early torch saved by its state: (data, …, hooks)."""
    if value.name in ("torch.nn.parameter.Parameter", "torch.autograd.variable.Variable") and isinstance(
        value.state, tuple
    ):
        first = value.state[0] if value.state else None
        return first if isinstance(first, StoredTensor) else None
    return None


def plain_attributes(state: Mapping[Any, Any]) -> dict[str, Any]:
    """The attributes that are numbers, text or short tuples of them; functions by name."""
    out: dict[str, Any] = {}
    for key, value in state.items():
        if not isinstance(key, str) or key.startswith("_") or key in _HIDDEN:
            continue
        if _plain(value):
            out[key] = value
        elif isinstance(value, tuple | list) and len(value) <= 8 and all(_plain(part) for part in value):
            out[key] = tuple(value)
        elif isinstance(value, Name):
            out[key] = value.name
    return out


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 80)
