"""The residual block in its two forms: ops of branch, shortcut and join, named as torchvision and timm name them."""

from __future__ import annotations

from dataclasses import dataclass

from plusx.errors import SpecError
from plusx.graph import ops
from plusx.graph.model import Block, Op
from plusx.graph.rates import Rates, StageGeometry
from plusx.specs import ResNetSpec

EXPANSION = 4
"""Output over inner width of a bottleneck (arXiv 1512.03385, table 1)."""


@dataclass(frozen=True)
class Place:
    """Where a block stands: its name, channels and geometry. `width` is the stage's entry of `widths`."""

    name: str
    c_in: int
    width: int
    stride: int
    rates: Rates
    stage: StageGeometry
    first: bool
    first_stage: bool
    drop_path: float

    def c_out(self, spec: ResNetSpec) -> int:
        return self.width * EXPANSION if spec.block == "bottleneck" else self.width


def make_block(spec: ResNetSpec, place: Place) -> Block:
    """The block at `place`, in the spec's order (post- or pre-activation)."""
    branch = _Branch(spec, place)
    ops_of_branch = branch.pre() if spec.order == "pre" else branch.post()
    shortcut = _shortcut(spec, place)
    join = None
    if spec.shortcut != "none":
        c = place.c_out(spec)
        join = Op(f"{place.name}.{spec.join}", None, spec.join, c, c)
    before: tuple[Op, ...] = ()
    if spec.order == "pre" and shortcut:
        shared = 1 if spec.norm == "none" else 2
        before, ops_of_branch = ops_of_branch[:shared], ops_of_branch[shared:]
    after = () if spec.order == "pre" else (branch.act(branch.convs, place.c_out(spec)),)
    return Block(place.name, ops_of_branch, shortcut, join, after, before)


class _Branch:
    def __init__(self, spec: ResNetSpec, place: Place) -> None:
        self.spec, self.place = spec, place
        self.convs = 2 if spec.block == "basic" else 3

    def act(self, number: int, channels: int) -> Op:
        path = f"{self.place.name}.relu"  # the name stays when the activation is another: nothing is stored under it
        return ops.act(self.spec, f"{path}{number}", channels, path)

    def conv(self, number: int) -> Op:
        """Convolution number 1.. of the branch: the table of a block, in one place."""
        spec, place = self.spec, self.place
        c_in, c_out, inner = place.c_in, place.c_out(spec), self._inner()
        if spec.block == "basic":
            shape = {1: (c_in, c_out, 3), 2: (c_out, c_out, 3)}[number]
            strided, rate, groups = number == 1, place.rates.branch[number - 1], spec.groups
        else:
            shape = {1: (c_in, inner, 1), 2: (inner, inner, 3), 3: (inner, c_out, 1)}[number]
            strided = number == (1 if spec.stride_in == "1x1" else 2)
            rate, groups = (place.rates.branch[0], spec.groups) if number == 2 else (1, 1)
        stride = place.stride if strided else 1
        padded = not (spec.padding == "valid" and stride == 2 and shape[2] == 3)
        path = f"{place.name}.conv{number}"
        bias = spec.norm == "none"
        return ops.conv(path, *shape, bias=bias, stride=stride, dilation=rate, groups=groups, padded=padded)

    def _inner(self) -> int:
        """Inner width of a bottleneck (torchvision resnet.py Bottleneck: int(planes * base_width / 64) * groups)."""
        per_group = self.place.width * self.spec.width_per_group // 64
        if self.spec.block == "bottleneck" and per_group == 0:
            lowest = -(-64 // self.place.width)
            raise SpecError(
                f"width_per_group={self.spec.width_per_group} leaves no channel in {self.place.name} "
                f"(width {self.place.width}); write {lowest} or more"
            )
        return per_group * self.spec.groups

    def post(self) -> tuple[Op, ...]:
        spec, place = self.spec, self.place
        found: list[Op] = []
        for number in range(1, self.convs + 1):
            conv = self.conv(number)
            if number == self.convs:
                found += ops.dropout("dropout", f"{place.name}.dropout", conv.c_in, spec.block_dropout)
            found += [conv, *ops.norm(spec, f"{place.name}.bn{number}", conv.c_out)]
            if number < self.convs:
                found.append(self.act(number, conv.c_out))
        return (*found, *self._end())

    def pre(self) -> tuple[Op, ...]:
        spec, place = self.spec, self.place
        found: list[Op] = []
        for number in range(1, self.convs + 1):
            conv = self.conv(number)
            found += [*ops.norm(spec, f"{place.name}.bn{number}", conv.c_in), self.act(number, conv.c_in)]
            if number == self.convs:
                found += ops.dropout("dropout", f"{place.name}.dropout", conv.c_in, spec.block_dropout)
            found.append(conv)
        return (*found, *self._end())

    def _end(self) -> tuple[Op, ...]:
        name, c = self.place.name, self.place.c_out(self.spec)
        gate = ops.gate(self.spec, f"{name}.se", c, self.place.rates.gate)
        return gate + ops.dropout("drop_path", f"{name}.drop_path", c, self.place.drop_path)


def _shortcut(spec: ResNetSpec, place: Place) -> tuple[Op, ...]:
    c_in, c_out = place.c_in, place.c_out(spec)
    turned = place.first and place.stage.replaced
    changes = place.stride != 1 or c_in != c_out or turned
    forced = spec.shortcut == "C" or (spec.first_shortcut == "project" and place.first and place.first_stage)
    if spec.shortcut == "none" or not (changes or forced):
        return ()
    if spec.shortcut == "A":
        return _zero_pad(spec, place, c_in, c_out)
    pool = _pool(spec, place, turned) if spec.shortcut == "D" else ()
    kernel = 3 if place.first and place.stage.wide_shortcut else 1
    stride = 1 if spec.shortcut == "D" else place.stride
    rate = place.rates.shortcut if kernel == 3 else 1
    index = 1 if spec.shortcut == "D" else 0
    path = f"{place.name}.downsample"
    has_norm = spec.order == "post" and spec.norm != "none"
    padded = not (spec.padding == "valid" and stride == 2 and kernel == 3)
    conv = ops.conv(
        f"{path}.{index}", c_in, c_out, kernel, bias=spec.norm == "none", stride=stride, dilation=rate, padded=padded
    )
    return (*pool, conv, *(ops.norm(spec, f"{path}.{index + 1}", c_out) if has_norm else ()))


def _zero_pad(spec: ResNetSpec, place: Place, c_in: int, c_out: int) -> tuple[Op, ...]:
    if c_out < c_in:
        raise SpecError(
            f"shortcut=A fills channels and cannot drop any: {place.name} goes from {c_in} to {c_out}; write shortcut=B"
        )
    front = (c_out - c_in) // 2 if spec.shortcut_align == "centre" else 0
    if place.stride == 1 and c_in == c_out:
        return ()
    name = f"{place.name}.shortcut"
    return (Op(name, f"{place.name}.downsample", "zero_pad", c_in, c_out, stride=place.stride, padding=front),)


def _pool(spec: ResNetSpec, place: Place, turned: bool) -> tuple[Op, ...]:
    """The 2x2 average of a D shortcut, and what each policy makes of it when its stride has become a rate."""
    path, c = f"{place.name}.downsample.0", place.c_in
    if place.stride != 1:
        return (Op(path, path, "avg_pool", c, c, 2, place.stride, ceil=True),)
    if not place.first or not turned:
        same = spec.dilate == "previous" and place.first and place.stage.after > 1
        return (Op(path, path, "same_avg_pool", c, c, 2),) if same else ()
    if spec.dilate == "exact":
        return (Op(path, path, "dilated_avg_pool", c, c, 2, dilation=place.stage.before),)
    return (Op(path, path, "same_avg_pool", c, c, 2),) if spec.dilate == "previous" else ()
