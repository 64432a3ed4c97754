"""The ops of a residual block: branch, shortcut and join, with the names of torchvision and timm."""

from __future__ import annotations

from dataclasses import dataclass

from plusx.errors import SpecError
from plusx.graph import ops
from plusx.graph.dilations import BlockDilations, StageGeometry
from plusx.graph.model import Block, Op
from plusx.i18n import _
from plusx.specs import ResNetSpec

EXPANSION = 4
"""The output width of a bottleneck divided by its inner width (arXiv 1512.03385, table 1)."""


@dataclass(frozen=True)
class BlockConfig:
    """What a block is made from: its name, channels and geometry. `width` is the stage's entry of `widths`."""

    name: str
    c_in: int
    width: int
    stride: int
    dilations: BlockDilations
    stage: StageGeometry
    first: bool
    first_stage: bool
    drop_path: float

    def c_out(self, spec: ResNetSpec) -> int:
        """The channels of the block's output."""
        return self.width * EXPANSION if spec.block == "bottleneck" else self.width


def make_block(spec: ResNetSpec, config: BlockConfig) -> Block:
    """The block that `config` describes, in the spec's order (post- or pre-activation)."""
    branch = _Branch(spec, config)
    ops_of_branch = branch.pre() if spec.order == "pre" else branch.post()
    shortcut = _shortcut(spec, config)
    join = None
    if spec.shortcut != "none":
        c = config.c_out(spec)
        join = Op(f"{config.name}.{spec.join}", None, spec.join, c, c)
    before: tuple[Op, ...] = ()
    if spec.order == "pre" and shortcut:
        shared = 1 if spec.norm == "none" else 2
        before, ops_of_branch = ops_of_branch[:shared], ops_of_branch[shared:]
    after = () if spec.order == "pre" else (branch.act(branch.convs, config.c_out(spec)),)
    return Block(config.name, ops_of_branch, shortcut, join, after, before)


class _Branch:
    def __init__(self, spec: ResNetSpec, config: BlockConfig) -> None:
        self.spec, self.config = spec, config
        self.convs = 2 if spec.block == "basic" else 3

    def act(self, number: int, channels: int) -> Op:
        path = f"{self.config.name}.relu"  # also for other activations: torchvision and timm have no tensors under it
        return ops.act(self.spec, f"{path}{number}", channels, path)

    def conv(self, number: int) -> Op:
        """Convolution `number`, from 1 on, of the branch."""
        spec, config = self.spec, self.config
        c_in, c_out, inner = config.c_in, config.c_out(spec), self._inner()
        if spec.block == "basic":
            shape = {1: (c_in, c_out, 3), 2: (c_out, c_out, 3)}[number]
            strided, dilation, groups = number == 1, config.dilations.branch[number - 1], spec.groups
        else:
            shape = {1: (c_in, inner, 1), 2: (inner, inner, 3), 3: (inner, c_out, 1)}[number]
            strided = number == (1 if spec.stride_in == "1x1" else 2)
            dilation, groups = (config.dilations.branch[0], spec.groups) if number == 2 else (1, 1)
        stride = config.stride if strided else 1
        padded = not (spec.padding == "valid" and stride == 2 and shape[2] == 3)
        path = f"{config.name}.conv{number}"
        bias = spec.norm == "none"
        return ops.conv(path, *shape, bias=bias, stride=stride, dilation=dilation, groups=groups, padded=padded)

    def _inner(self) -> int:
        """The inner width of a bottleneck (torchvision resnet.py Bottleneck: int(planes * base_width / 64) * groups)."""
        per_group = self.config.width * self.spec.width_per_group // 64
        if self.spec.block == "bottleneck" and per_group == 0:
            lowest = -(-64 // self.config.width)
            raise SpecError(
                _(
                    "width_per_group={given} leaves no channels in {block}, whose width is {width}. Write {lowest} or more.",
                    given=self.spec.width_per_group, block=self.config.name, width=self.config.width, lowest=lowest,
                )
            )  # fmt: skip
        return per_group * self.spec.groups

    def post(self) -> tuple[Op, ...]:
        spec, config = self.spec, self.config
        found: list[Op] = []
        for number in range(1, self.convs + 1):
            conv = self.conv(number)
            if number == self.convs:
                found += ops.dropout("dropout", f"{config.name}.dropout", conv.c_in, spec.block_dropout)
            found += [conv, *ops.norm(spec, f"{config.name}.bn{number}", conv.c_out)]
            if number < self.convs:
                found.append(self.act(number, conv.c_out))
        return (*found, *self._end())

    def pre(self) -> tuple[Op, ...]:
        spec, config = self.spec, self.config
        found: list[Op] = []
        for number in range(1, self.convs + 1):
            conv = self.conv(number)
            found += [*ops.norm(spec, f"{config.name}.bn{number}", conv.c_in), self.act(number, conv.c_in)]
            if number == self.convs:
                found += ops.dropout("dropout", f"{config.name}.dropout", conv.c_in, spec.block_dropout)
            found.append(conv)
        return (*found, *self._end())

    def _end(self) -> tuple[Op, ...]:
        name, c = self.config.name, self.config.c_out(self.spec)
        gate = ops.gate(self.spec, f"{name}.se", c, self.config.dilations.gate)
        return gate + ops.dropout("drop_path", f"{name}.drop_path", c, self.config.drop_path)


def _shortcut(spec: ResNetSpec, config: BlockConfig) -> tuple[Op, ...]:
    c_in, c_out = config.c_in, config.c_out(spec)
    replaced = config.first and config.stage.replaced
    changes = config.stride != 1 or c_in != c_out or replaced
    forced = spec.shortcut == "C" or (spec.first_shortcut == "project" and config.first and config.first_stage)
    if spec.shortcut == "none" or not (changes or forced):
        return ()
    if spec.shortcut == "A":
        return _zero_pad(spec, config, c_in, c_out)
    pool = _pool(spec, config, replaced) if spec.shortcut == "D" else ()
    kernel = 3 if config.first and config.stage.wide_shortcut else 1
    stride = 1 if spec.shortcut == "D" else config.stride
    dilation = config.dilations.shortcut if kernel == 3 else 1
    index = 1 if spec.shortcut == "D" else 0
    path = f"{config.name}.downsample"
    has_norm = spec.order == "post" and spec.norm != "none"
    padded = not (spec.padding == "valid" and stride == 2 and kernel == 3)
    conv = ops.conv(
        f"{path}.{index}",
        c_in,
        c_out,
        kernel,
        bias=spec.norm == "none",
        stride=stride,
        dilation=dilation,
        padded=padded,
    )
    return (*pool, conv, *(ops.norm(spec, f"{path}.{index + 1}", c_out) if has_norm else ()))


def _zero_pad(spec: ResNetSpec, config: BlockConfig, c_in: int, c_out: int) -> tuple[Op, ...]:
    if c_out < c_in:
        raise SpecError(
            _(
                "shortcut=A adds channels of zeros, and {block} goes from {c_in} to fewer channels ({c_out}). Write shortcut=B.",
                block=config.name, c_in=c_in, c_out=c_out,
            )
        )  # fmt: skip
    front = (c_out - c_in) // 2 if spec.shortcut_align == "centre" else 0
    if config.stride == 1 and c_in == c_out:
        return ()
    name = f"{config.name}.shortcut"
    return (Op(name, f"{config.name}.downsample", "zero_pad", c_in, c_out, stride=config.stride, padding=front),)


def _pool(spec: ResNetSpec, config: BlockConfig, replaced: bool) -> tuple[Op, ...]:
    """The 2x2 average pool of a D shortcut; where a dilation replaced its stride, it depends on the policy."""
    path, c = f"{config.name}.downsample.0", config.c_in
    if config.stride != 1:
        return (Op(path, path, "avg_pool", c, c, 2, config.stride, ceil=True),)
    if not config.first or not replaced:
        same = spec.dilate == "previous" and config.first and config.stage.after > 1
        return (Op(path, path, "same_avg_pool", c, c, 2),) if same else ()
    if spec.dilate == "exact":
        return (Op(path, path, "dilated_avg_pool", c, c, 2, dilation=config.stage.before),)
    return (Op(path, path, "same_avg_pool", c, c, 2),) if spec.dilate == "previous" else ()
