"""The graph of a network: stages of blocks of ops. It is frozen and has no sizes of maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

from plusx.errors import GeometryError, unknown
from plusx.i18n import _
from plusx.specs import ResNetSpec
from plusx.specs.display import Displayed

MANY_OPS = 40
"""A network with this many ops is too large to list them all in an error."""


class Tensor(NamedTuple):
    """One entry of the state dict: its key is `op.path + "." + name`. `trained`: a parameter, not a buffer."""

    name: str
    shape: tuple[int, ...]
    trained: bool = True


class GateFields(NamedTuple):
    """The numbers of a gate. Fields that its kind does not have are 0, False or ''.

    `step`: the gate averages over every step-th cell (exact dilation), and its own convolution over the map has this dilation.
    `squeezed`: channels between its two layers. `kernel`: of its own convolution. `bias`: whether its layers have biases.
    `norm`: the kind of norm after its convolution.
    """

    step: int = 1
    squeezed: int = 0
    kernel: int = 0
    bias: bool = False
    norm: str = ""


class Op(NamedTuple):
    """One operation. `name` is unique. `path` is that of its module, which ops may share (relu), or None (add).

    `kinds.KINDS` lists the fields that each kind reads. `padding` of a zero_pad counts channels before the input's; `rate` is
    the probability of a dropout or drop_path; `groups` of a group_norm is its number of groups; `gate` is for gates alone.
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
    """The ops `before`, then `branch` and `shortcut` in parallel, then `join`, then the ops `after`.

    `shortcut` is empty for the identity. `join` is None in a plain network, which has no shortcuts.
    `before` holds the ops that both paths share: the norm and activation of a pre-activation block whose shortcut has ops.
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
        """The op with this local name, or None: `block.find("conv2")`."""
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
    """Blocks whose maps have the same size."""

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
            listing = "plusx show --detail ops" if len(self._by_name) >= MANY_OPS else ""
            raise GeometryError(unknown(_("op"), name, self._by_name, listing=listing))
        return self._by_name[name]

    @property
    def c_out(self) -> int:
        """The channels of the network's output."""
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
