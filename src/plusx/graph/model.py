"""What a network is: stages of blocks of ops, frozen, without sizes of maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

from plusx.errors import GeometryError, unknown
from plusx.specs import ResNetSpec
from plusx.specs.display import Displayed


class Tensor(NamedTuple):
    """One entry of the state dict: its key is `op.path + "." + name`. `trained` tells parameters from buffers."""

    name: str
    shape: tuple[int, ...]
    trained: bool = True


class GateFields(NamedTuple):
    """The numbers of a gate; what its kind lacks stands at 0, False or ''.

    `step`: it squeezes over every step-th cell (exact dilation), and a convolution of its own over the map is dilated by it.
    `squeezed`: channels between its two layers. `kernel`: of its own convolution. `bias`: whether its layers have one.
    `norm`: the kind of norm behind its convolution.
    """

    step: int = 1
    squeezed: int = 0
    kernel: int = 0
    bias: bool = False
    norm: str = ""


class Op(NamedTuple):
    """One operation. `name` is unique; `path` is where its module lives, may repeat (a shared relu) or be None (an add).

    `kinds.KINDS` says which fields a kind reads. `padding` of a zero_pad is in channels, in front; `rate` is the probability
    of a dropout or drop_path; `groups` of a group_norm is its number of groups; `gate` is at its defaults except where the op is a gate.
    """

    name: str
    path: str | None
    kind: str
    c_in: int
    c_out: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    ceil: bool = False
    tensors: tuple[Tensor, ...] = ()
    rate: float = 0.0
    gate: GateFields = GateFields()

    @property
    def local_name(self) -> str:
        """The name inside its block: `conv2` of `layer3.0.conv2`."""
        return ".".join(self.name.split(".")[2:]) if self.name.startswith("layer") else self.name


@dataclass(frozen=True)
class Block:
    """before, then branch and shortcut side by side, then join, then after.

    `shortcut` is empty for the identity. `join` is None in a plain net, which has no shortcut at all.
    `before` holds what both paths share: the norm and activation of a pre-activation block whose shortcut has ops.
    """

    name: str
    branch: tuple[Op, ...]
    shortcut: tuple[Op, ...]
    join: Op | None
    after: tuple[Op, ...]
    before: tuple[Op, ...] = ()

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        join = () if self.join is None else (self.join,)
        return self.before + self.branch + self.shortcut + join + self.after

    def find(self, local_name: str) -> Op | None:
        """The op with this name inside the block, or None: `block.find("conv2")`."""
        wanted = f"{self.name}.{local_name}"
        return next((op for op in self.ops if op.name == wanted), None)

    @property
    def c_in(self) -> int:
        return self.ops[0].c_in

    @property
    def c_out(self) -> int:
        return self.branch[-1].c_out


@dataclass(frozen=True)
class Stage:
    name: str
    blocks: tuple[Block, ...]

    @property
    def c_out(self) -> int:
        return self.blocks[-1].c_out


@dataclass(frozen=True)
class Graph(Displayed):
    """A whole network, made by `lower`. `graph["layer3.0.conv2"]` is an op."""

    display_kind: ClassVar[str] = "network"
    spec: ResNetSpec
    stem: tuple[Op, ...]
    stages: tuple[Stage, ...]
    head: tuple[Op, ...]

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """All ops in the order in which they are computed, branch before shortcut."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[Op]:
        yield from self.stem
        for stage in self.stages:
            for block in stage.blocks:
                yield from block.ops
        yield from self.head

    @cached_property
    def _by_name(self) -> dict[str, Op]:
        return {op.name: op for op in self.ops}

    def __getitem__(self, name: str) -> Op:
        if name not in self._by_name:
            near = unknown("op", name, self._by_name)
            raise GeometryError(
                near if len(self._by_name) < 40 else near.split(" allowed:")[0] + " plusx show lists all"
            )
        return self._by_name[name]

    @property
    def c_out(self) -> int:
        """Channels of what the network returns."""
        if self.head:
            return self.head[-1].c_out
        return self.stages[-1].c_out if self.stages else self.stem[-1].c_out

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """(state-dict key, tensor) in the order of computation, each key once."""
        seen: set[str] = set()
        for op in self.ops:
            for tensor in op.tensors:
                key = f"{op.path}.{tensor.name}"
                if key not in seen:
                    seen.add(key)
                    yield key, tensor
