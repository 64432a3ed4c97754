"""Steps of an ONNX graph as a ResNet's parts: input, stem, blocks with branch and shortcut, head. Topology alone decides."""

from __future__ import annotations

from dataclasses import dataclass, field

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.weights.onnx_graphs.steps import Step

MOST_IN_A_ROW = 100_000


@dataclass
class BlockSteps:
    """A residual block as found; `join` is None in a plain network."""

    before: list[Step]
    branch: list[Step]
    shortcut: list[Step]
    join: Step | None
    after: list[Step]


@dataclass
class Sections:
    inputs: list[Step]
    stem: list[Step]
    blocks: list[BlockSteps]
    head: list[Step]
    order: str = "post"
    taps: list[str] = field(default_factory=list)
    """Places on the way that the graph returns too."""


class Walk:
    """Follows the images from the input to the end of the graph."""

    def __init__(self, name: str, steps: list[Step], outputs: list[str]) -> None:
        self.name, self.outputs = name, outputs
        self.consumers: dict[str, list[Step]] = {}
        for step in steps:
            for value in dict.fromkeys(step.inputs):
                self.consumers.setdefault(value, []).append(step)
        self.steps = steps

    def fail(self, why: Message) -> WeightsError:
        return WeightsError(_("{file} is no ResNet that plusx can write: {why}.", file=self.name, why=why))

    def sections(self, start: str) -> Sections:
        """The parts of the network that starts at the value `start`. Raises WeightsError where it is no chain of blocks."""
        chains: list[list[Step]] = []
        joins: list[tuple[list[Step], list[Step], Step]] = []
        at = start
        while True:
            chain, at = self._chain(at)
            chains.append(chain)
            if not self.consumers.get(at):
                break
            branch, shortcut, join = self._fork(at)
            joins.append((branch, shortcut, join))
            at = join.output
        walked = sum(map(len, chains)) + sum(len(b) + len(s) + 1 for b, s, _ in joins)
        walked += sum(len(step.data["steps"]) - 1 for b, *_ in joins for step in b if step.kind == "gate")
        if walked != len(self.steps):
            raise self.fail(
                _(
                    "{count} of its {total} steps do not lie on the path of the images",
                    count=len(self.steps) - walked,
                    total=len(self.steps),
                )
            )
        return _parted(self, chains, joins)

    def _chain(self, at: str) -> tuple[list[Step], str]:
        """Steps one after the other, up to a fork or the end."""
        found: list[Step] = []
        while len(nexts := self.consumers.get(at, [])) == 1:
            (step,) = nexts
            if len(step.inputs) > 1:
                raise self.fail(_("node {node!r} joins paths that never parted, or a map with itself", node=step.node))
            found.append(step)
            at = step.output
        return found, at

    def _fork(self, at: str) -> tuple[list[Step], list[Step], Step]:
        starts = self.consumers[at]
        if len(starts) != 2:
            nodes = ", ".join(repr(step.node) for step in starts[:4])
            raise self.fail(
                _(
                    "{count} paths leave one map (to {nodes}), where a block has a branch and a shortcut",
                    count=len(starts),
                    nodes=nodes,
                )
            )
        arms = [self._arm(at, step) for step in starts]
        (one, join), (other, joined) = arms
        if join is not joined:
            raise self.fail(
                _(
                    "the paths after {node!r} and {node2!r} end in different places",
                    node=starts[0].node,
                    node2=starts[1].node,
                )
            )
        weight = [sum(step.kind == "conv" for step in arm) for arm, _ in arms]
        branch, shortcut = (one, other) if weight[0] >= weight[1] else (other, one)
        return branch, shortcut, join

    def _arm(self, at: str, step: Step) -> tuple[list[Step], Step]:
        """One path from a fork to its join; a gate on the way becomes one step."""
        found: list[Step] = []
        for _number in range(MOST_IN_A_ROW):
            if step.kind == "add":
                return found, step
            if len(step.inputs) > 1:
                raise self.fail(
                    _(
                        "node {node!r} joins two paths by {kind}, where only sums are read",
                        node=step.node,
                        kind=step.kind,
                    )
                )
            found.append(step)
            at = step.output
            nexts = self.consumers.get(at, [])
            gate = self._gate(at, nexts)
            if gate is not None:
                found.append(gate)
                nexts = self.consumers.get(gate.output, [])
            if len(nexts) != 1:
                what = _("ends") if not nexts else _("parts again")
                raise self.fail(
                    _(
                        "a path {what} after node {node!r}, before it is added to its block's other path",
                        what=what,
                        node=step.node,
                    )
                )
            step = nexts[0]
        raise self.fail(_("one of its paths does not end"))

    def _gate(self, at: str, nexts: list[Step]) -> Step | None:
        """Squeeze and excitation: pooled, weighed, and multiplied with the map itself."""
        if len(nexts) != 2 or {"mul", "gap"} != {step.kind for step in nexts}:
            return None
        join, step = sorted(nexts, key=lambda step: step.kind != "mul")
        found = [step]
        while len(after := self.consumers.get(step.output, [])) == 1 and after[0] is not join:
            step = after[0]
            found.append(step)
        if join.inputs != (at, step.output):
            raise self.fail(
                _("node {node!r} multiplies a map by something other than a gate of that map", node=join.node)
            )
        return Step("gate", join.node, (at,), join.output, {"steps": [*found, join]}, join.size)


def _parted(walk: Walk, chains: list[list[Step]], joins: list[tuple[list[Step], list[Step], Step]]) -> Sections:
    """Chains between the joins handed to the stem, to the blocks that they end or begin, and to the head."""
    first, inputs = list(chains[0]), []
    while first and first[0].kind in ("affine", "channels"):
        inputs.append(first.pop(0))
    if not joins:
        return _plain(walk, inputs, first)
    between = chains[1:-1]
    order = "pre" if any(not chain or chain[0].kind == "norm" for chain in between) else "post"
    if not between and chains[-1] and chains[-1][0].kind == "norm":
        order = "pre"
    last = list(chains[-1])
    blocks: list[BlockSteps] = []
    if order == "post":
        after = [*between, last[:1] if last and last[0].kind == "act" else []]
        head = last[len(after[-1]) :]
        blocks = [BlockSteps([], b, s, j, a) for (b, s, j), a in zip(joins, after, strict=True)]
        return Sections(inputs, first, blocks, head)
    end = max((k for k, step in enumerate(first) if step.kind in ("conv", "max_pool")), default=-1) + 1
    before = [first[end:], *between]
    blocks = [BlockSteps(e, b, s, j, []) for (b, s, j), e in zip(joins, before, strict=True)]
    return Sections(inputs, first[:end], blocks, last, "pre")


def _plain(walk: Walk, inputs: list[Step], chain: list[Step]) -> Sections:
    """A network without any join, cut into blocks of two or three convolutions by their kernels."""
    ends = [k for k, step in enumerate(chain) if step.kind == "max_pool"]
    convs = [k for k, step in enumerate(chain) if step.kind == "conv"]
    if not convs:
        raise walk.fail(_("it has no convolution"))
    start = (
        ends[0] + 1
        if ends
        else next((k for k in range(convs[0] + 1, len(chain)) if chain[k].kind == "conv"), len(chain))
    )
    stop = next((k for k, step in enumerate(chain) if step.kind in ("gap", "linear")), len(chain))
    body = chain[start:stop]
    kernels = [step.data["kernel"] for step in body if step.kind == "conv"]
    length = 3 if kernels[:3] == [(1, 1), (3, 3), (1, 1)] else 2
    starts = [k for k, step in enumerate(body) if step.kind == "conv"][::length]
    if not starts or len(kernels) % length or starts[0] != 0:
        raise walk.fail(_("it has no sum of two paths, and its convolutions are no plain ResNet's either"))
    blocks: list[BlockSteps] = []
    for at, end in zip(starts, [*starts[1:], len(body)], strict=True):
        part = body[at:end]
        after = part[-1:] if part[-1].kind == "act" else []
        blocks.append(BlockSteps([], part[: len(part) - len(after)], [], None, after))
    return Sections(inputs, chain[:start], blocks, chain[stop:])
