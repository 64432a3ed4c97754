"""What was read of a module: its ops in the order of computation, or where its forward pass failed. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class ReadOp(NamedTuple):
    """One op of the user's network.

    `id` is the value that it computes, and `inputs` are values (0 is the network's input). `module` is the path of the
    innermost module that computes it, `where` the file and line of the user's code. `tensors` maps weight, bias,
    running_mean and running_var to the keys of the state dict, several where a tensor is shared, none where it is not
    registered. `identity` is the same number for ops with the same weight.
    """

    id: int
    kind: str
    inputs: tuple[int, ...]
    attrs: dict[str, Any]
    module: str
    where: str
    tensors: dict[str, list[str]]
    identity: int | None
    out: tuple[int, ...]

    @property
    def place(self) -> str:
        """How the user finds it: `layer1.0.conv1 (net.py:12)`."""
        name = self.module or self.kind
        return f"{name} ({self.where})" if self.where else name


class Call(NamedTuple):
    """A module call of a forward pass that failed: shapes of its input and output (None where it did not return)."""

    module: str
    type: str
    attrs: dict[str, Any]
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None


@dataclass(frozen=True)
class Failure:
    """A forward pass that ended in an error: its text, `file:line` of the user's code, the modules that were running."""

    error: str
    where: str
    line: str
    modules: tuple[str, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class ReadModule:
    """A module as it was read.

    `name` is what was named in the file, `type` the class. `input` is (n, c, h, w); `assumed` says where it comes from.
    `how` is export or trace (`why`: the reason for the latter). `unused` are modules (path, class) with parameters that the forward pass does
    not read, `counted` is the number of parameters that are registered, each tensor once.
    """

    name: str
    type: str
    input: tuple[int, int, int, int]
    assumed: tuple[str, ...]
    how: str
    why: str
    ops: tuple[ReadOp, ...]
    output: tuple[int, ...]
    unused: tuple[tuple[str, str], ...]
    counted: int
    fixed_size: bool = False
    failure: Failure | None = field(default=None)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ReadModule:
        ops = tuple(ReadOp(**{**op, "inputs": tuple(op["inputs"]), "out": tuple(op["out"])}) for op in data.pop("ops"))
        failed = data.pop("failure")
        if failed is not None:
            calls = tuple(
                Call(
                    **{**call, **{key: None if call[key] is None else tuple(call[key]) for key in ("before", "after")}}
                )
                for call in failed["calls"]
            )
            failed = Failure(**{**failed, "modules": tuple(failed["modules"]), "calls": calls})
        tuples = {key: tuple(data[key]) for key in ("input", "assumed", "output")}
        tuples["unused"] = tuple((name, kind) for name, kind in data["unused"])
        return cls(**{**data, **tuples, "ops": ops, "failure": failed})
