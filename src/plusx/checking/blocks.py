"""From a chain to stem, residual blocks and head, each with the user's own ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from plusx.checking.chains import Chain, Item, Region, flat, role
from plusx.checking.record import ReadOp

LIGHT = ("norm", "act", "dropout", "scale", "shift", "gate", "doubled")
"""Roles of ops that may stand between blocks."""


@dataclass(frozen=True)
class ReadBlock:
    """A block as it was found. `join` is None where no paths meet.

    `stray` are convolutions before the value at which the shortcut starts, or behind the join. `early`: they are behind.
    """

    before: Chain
    branch: Chain
    shortcut: Chain
    join: ReadOp | None
    after: Chain
    stray: Chain = ()
    early: bool = False
    tangled: bool = False
    others: tuple[Chain, ...] = ()

    @property
    def convs(self) -> list[ReadOp]:
        return [op for op in flat(self.branch) if op.kind == "conv"]

    @property
    def ops(self) -> list[ReadOp]:
        joined = () if self.join is None else (self.join,)
        return list(flat((*self.before, *self.stray, *self.branch, *self.shortcut, *joined, *self.after)))

    @property
    def place(self) -> str:
        """The module that holds the block."""
        names = [op.module for op in (self.convs or self.ops) if op.module]
        inner = [op.module for op in flat(self.branch) if op.module]
        names = inner or names
        if not names:
            return self.join.place if self.join is not None else "?"
        parts = _common([name.split(".") for name in names])
        if self.join is not None and self.join.module and (not parts or len(set(names)) == 1):
            return self.join.module
        return ".".join(parts) or names[0].rpartition(".")[0] or names[0]

    @property
    def c_out(self) -> int:
        return self.convs[-1].attrs["c_out"] if self.convs else 0

    @property
    def stride(self) -> int:
        strides = [op.attrs["stride"] for op in self.convs]
        return max((each for each in strides if isinstance(each, int)), default=1)


def _common(paths: list[list[str]]) -> list[str]:
    """The parts with which all paths begin."""
    return [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]


@dataclass(frozen=True)
class Structure:
    """The parts of a network in the order of computation."""

    stem: Chain
    blocks: tuple[ReadBlock, ...]
    head: Chain
    pre: bool

    @property
    def ops(self) -> list[ReadOp]:
        """All ops of the parts; those inside gates are not among them."""
        return [*flat(self.stem), *(op for block in self.blocks for op in block.ops), *flat(self.head)]

    @property
    def residual(self) -> bool:
        return any(block.join is not None for block in self.blocks)


def structure_of(chain: Chain) -> Structure:
    """The structure of a network's chain. A network without regions has plain blocks."""
    items = [item for item in chain if isinstance(item, Region) or item.kind not in ("slice",)]
    regions = [place for place, item in enumerate(items) if isinstance(item, Region) and _has_conv(item)]
    head = _head_start(items)
    regions = [place for place in regions if place < head]
    if not regions:
        return _plain(items, head)
    pre = _is_pre(items, regions)
    stem, rest = _stem(items[: regions[0]], pre)
    blocks: list[ReadBlock] = []
    between: list[Item] = rest
    for number, place in enumerate(regions):
        region = items[place]
        assert isinstance(region, Region)
        stray, before = _parted(between, pre)
        if pre and blocks:
            after, before = _own(blocks[-1], before)
            blocks[-1] = replace(blocks[-1], after=after)
        if stray and blocks and not pre:
            after, stray = _leading(stray)
            blocks[-1] = replace(blocks[-1], after=after)
        elif not pre and blocks:
            blocks[-1] = replace(blocks[-1], after=tuple(before))
            before = []
        if stray:
            blocks.append(ReadBlock((), tuple(stray), (), None, ()))
        blocks.append(_block(region, tuple(before)))
        end = regions[number + 1] if number + 1 < len(regions) else head
        between = items[place + 1 : end]
    stray, before = _parted(between, pre)
    if pre and not stray:
        after, before = _own(blocks[-1], before)
        blocks[-1] = replace(blocks[-1], after=after)
    tail: list[Item] = list(before)
    if not pre:
        after, stray = _leading([*stray, *before]) if stray else (tuple(before), ())
        blocks[-1] = replace(blocks[-1], after=after)
        tail = []
    if stray:
        blocks.append(ReadBlock((), tuple(stray), (), None, ()))
    return Structure(tuple(stem), tuple(_merged(blocks)), (*tail, *items[head:]), pre)


def _has_conv(region: Region) -> bool:
    return any(op.kind == "conv" for op in flat((region,)))


def _head_start(items: Sequence[Item]) -> int:
    """The place of the first op after the last convolution that ends the map: a pool, a reshape, a mean, a linear layer."""
    last = max((i for i, item in enumerate(items) if any(op.kind == "conv" for op in flat((item,)))), default=-1)
    for place in range(last + 1, len(items)):
        item = items[place]
        if isinstance(item, Region) or role(item) in (
            "pool",
            "reshape",
            "linear",
            "mean",
            "amax",
            "softmax",
            "log_softmax",
        ):
            return place
    return len(items)


def _is_pre(items: Sequence[Item], regions: Sequence[int]) -> bool:
    """Whether most blocks have a norm or an activation in front of their first convolution."""
    votes = 0
    for number, place in enumerate(regions):
        region = items[place]
        assert isinstance(region, Region)
        longest = max(region.paths, key=_conv_count)
        kinds = [role(op) for op in flat(longest)]
        if () in region.paths:
            votes += 1 if kinds[0] in ("norm", "act") else -1
        else:  # a projection: norm and activation are shared, and the branch ends in a convolution
            gap = [role(op) for op in flat(items[regions[number - 1] + 1 if number else 0 : place])]
            votes += 1 if "norm" in gap[-2:] and kinds[-1] == "conv" and number else 0
    return votes > 0


def _stem(items: Sequence[Item], pre: bool) -> tuple[list[Item], list[Item]]:
    """The stem, and what stands between it and the first region."""
    pools = [i for i, item in enumerate(items) if not isinstance(item, Region) and role(item) == "pool"]
    convs = [i for i, item in enumerate(items) if not isinstance(item, Region) and item.kind == "conv"]
    if pools:
        end = pools[0] + 1
        while end < len(items) and not pre and _light(items[end]) and not any(i >= end for i in convs):
            end += 1
    elif len(convs) <= 1:
        end = len(items)
        if pre:
            end = convs[0] + 1 if convs else 0
    else:
        end = convs[1]
    return list(items[:end]), list(items[end:])


def _light(item: Item) -> bool:
    return not isinstance(item, Region) and role(item) in LIGHT


def _parted(items: Sequence[Item], pre: bool) -> tuple[list[Item], list[Item]]:
    """What stands between two regions: up to its last convolution, and behind it. In a post-activation network all of it."""
    convs = [i for i, item in enumerate(items) if any(op.kind == "conv" for op in flat((item,)))]
    if not convs:
        return [], list(items)
    if not pre:
        return list(items), []
    return list(items[: convs[-1] + 1]), list(items[convs[-1] + 1 :])


def _leading(items: Sequence[Item]) -> tuple[Chain, list[Item]]:
    """The light ops at the beginning, and the rest."""
    count = 0
    while count < len(items) and _light(items[count]):
        count += 1
    return tuple(items[:count]), list(items[count:])


def _own(block: ReadBlock, items: list[Item]) -> tuple[Chain, list[Item]]:
    """What stands behind the join of a pre-activation block by its module, and the rest, which belongs to the next block."""
    count = 0
    for item in items:
        module = "" if isinstance(item, Region) or block.join is None else block.join.module
        if not module or isinstance(item, Region) or f"{item.module}.".startswith(f"{module}.") is False:
            break
        count += 1
    return tuple(items[:count]), items[count:]


def _block(region: Region, before: Chain) -> ReadBlock:
    paths = sorted(region.paths, key=lambda path: -sum(op.kind == "conv" for op in flat(path)))
    if len(paths) > 1 and _conv_count(paths[0]) == _conv_count(paths[1]) and len(region.paths) == 2:
        # one convolution on each path: the branch is the operand whose kernels are larger
        paths.sort(key=_largest, reverse=True)
    return ReadBlock(
        before,
        paths[0],
        paths[1] if len(paths) > 1 else (),
        region.join,
        (),
        tangled=region.tangled,
        others=tuple(paths[2:]),
    )


def _conv_count(path: Chain) -> int:
    return sum(op.kind == "conv" for op in flat(path))


def _largest(path: Chain) -> int:
    return max(
        (op.attrs["kernel"] for op in flat(path) if op.kind == "conv" and isinstance(op.attrs["kernel"], int)),
        default=0,
    )


def _merged(blocks: list[ReadBlock]) -> Iterator[ReadBlock]:
    """Stray convolutions go with the region beside them where they complete its branch."""
    usual = _usual(blocks)
    skip = False
    for number, block in enumerate(blocks):
        if skip:
            skip = False
            continue
        after = blocks[number + 1] if number + 1 < len(blocks) else None
        if block.join is None and after is not None and after.join is not None:
            if len(after.convs) < usual and len(block.convs) + len(after.convs) == usual:
                yield replace(after, stray=block.branch)
                skip = True
                continue
        if block.join is not None and after is not None and after.join is None:
            if len(block.convs) < usual and len(block.convs) + len(after.convs) == usual:
                yield replace(block, stray=after.branch, early=True)
                skip = True
                continue
        if block.join is None and len(block.convs) > usual and len(block.convs) % usual == 0:
            yield from _plain_blocks(block.branch, usual)
            continue
        if block.join is None:
            yield next(iter(_plain_blocks(block.branch, len(block.convs))))
            continue
        yield block


def _usual(blocks: list[ReadBlock]) -> int:
    """How many convolutions a branch has, whether or not they are all between the shortcut's ends."""
    counts = [len(block.convs) for block in blocks if block.join is not None]
    pairs = [
        len(a.convs) + len(b.convs)
        for a, b in pairwise(blocks)
        if a.join is None and b.join is not None and len(b.convs) < 3
    ]
    if len(pairs) * 2 >= len(counts) and max(set(pairs), key=pairs.count) in (2, 3):
        return max(set(pairs), key=pairs.count)
    several = [count for count in counts if count > 1] or [2]
    return max(set(several), key=several.count)


# ---- networks without shortcuts ----


def _plain(items: Sequence[Item], head: int) -> Structure:
    stem, rest = _stem(items[:head], pre=False)
    convs = [op for op in flat(rest) if op.kind == "conv"]
    kernels = [op.attrs["kernel"] for op in convs]
    per_block = 3 if kernels[:3] == [1, 3, 1] else 2
    return Structure(tuple(stem), tuple(_plain_blocks(rest, per_block)), tuple(items[head:]), False)


def _plain_blocks(items: Sequence[Item], per_block: int) -> Iterator[ReadBlock]:
    """Every `per_block` convolutions with what follows them; the last activation stands behind the block."""
    part: list[Item] = []
    count = 0
    for item in items:
        if not isinstance(item, Region) and item.kind == "conv":
            if count == per_block:
                yield _without_join(part)
                part, count = [], 0
            count += 1
        part.append(item)
    if part:
        yield _without_join(part)


def _without_join(items: list[Item]) -> ReadBlock:
    end = len(items)
    last = items[-1]
    if not isinstance(last, Region) and role(last) == "act":
        end -= 1
    return ReadBlock((), tuple(items[:end]), (), None, tuple(items[end:]))
