"""The spec that is nearest to a structure: fields that most blocks agree on, and variants of them; the best score wins.

The score of a candidate is the number of places that deviate from it. Of equal scores, the one with fewer words wins. Words
that are unusual for a ResNet (a 3x3 shortcut, a stage without its stride) are only tried where a preset has them, so that
they are deviations unless --network asks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import Any

from plusx.checking.blocks import ReadBlock, Structure
from plusx.checking.chains import flat, role
from plusx.checking.record import ReadOp
from plusx.errors import PlusxError
from plusx.graph import lower
from plusx.specs import PRESETS, ResNetSpec, parse
from plusx.specs.keys import GATES

KNOWN = {
    ("basic", 4): ((2, 2, 2, 2), (3, 4, 6, 3), (1, 1, 1, 1)),
    ("bottleneck", 4): ((3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3), (3, 24, 36, 3), (2, 2, 2, 2), (1, 1, 1, 1)),
}
"""Blocks per stage of networks with a name; with three stages, as on CIFAR, all stages have the same number."""
NOT_MEANT = ("resnet18_paddle", "resnet34_paddle")
"""Presets that are rather a mistake: their projection in stage 1 of a basic network."""


def most(values: Iterable[Any], default: Any) -> Any:
    """The most frequent value, the first of equally frequent ones."""
    counted = Counter(values)
    return counted.most_common(1)[0][0] if counted else default


def stages_of(blocks: Iterable[ReadBlock]) -> list[list[ReadBlock]]:
    """The blocks by stage: a stage begins where the channels change."""
    return [list(each) for _width, each in groupby(blocks, key=lambda block: block.c_out)]


def candidates(found: Structure, in_channels: int) -> Iterator[ResNetSpec]:
    """Specs that could be meant, all of them valid."""
    seen: set[ResNetSpec] = set()
    base = _fields(found, in_channels)
    for changes in _variants(found, base):
        try:
            spec = ResNetSpec.from_dict({**base, **changes})
        except PlusxError:
            continue
        if spec not in seen:
            seen.add(spec)
            yield spec
    for name in PRESETS:
        spec = _same_ends(parse(name), base)
        if spec is not None and name not in NOT_MEANT and spec not in seen and _kept(spec) == base["depths"]:
            seen.add(spec)
            yield spec


def _kept(spec: ResNetSpec) -> tuple[int, ...]:
    """The blocks of the stages that a network with `until` still has."""
    return tuple(len(stage.blocks) for stage in lower(spec).stages)


def _same_ends(spec: ResNetSpec, base: dict[str, Any]) -> ResNetSpec | None:
    """A preset with the network's own input and output."""
    ends = {key: base[key] for key in ("in_channels", "classes", "head_dropout") if key in base}
    if base.get("until"):
        ends = {"in_channels": base["in_channels"], "until": base["until"]}
    elif spec.until is not None:
        return None
    try:
        return spec.replace(**ends)
    except PlusxError:
        return None


def _fields(found: Structure, in_channels: int) -> dict[str, Any]:
    """The fields on which most of the network agrees."""
    blocks = found.blocks
    convs = most(
        (
            len(block.convs) + sum(op.kind == "conv" for op in flat(block.stray))
            for block in blocks
            if block.join is not None or not found.residual
        ),
        2,
    )
    block = "bottleneck" if convs == 3 else "basic"
    stages = stages_of(blocks)
    expansion = 4 if block == "bottleneck" else 1
    body = [op for each in blocks for op in each.ops]
    fields: dict[str, Any] = {
        "block": block,
        "depths": tuple(len(stage) for stage in stages),
        "widths": tuple(max(stage[0].c_out // expansion, 1) for stage in stages),
        "strides": _natural(len(stages)),
        "dilations": (1,) * len(stages),
        "order": "pre" if found.pre else "post",
        "norm": _norm(body),
        "act": most((op.kind for each in blocks for op in flat(each.branch) if role(op) == "act"), "relu"),
        "in_channels": in_channels,
        **_branch(blocks, block, expansion),
        **_shortcut(found, block),
        **_stem(found, in_channels),
        **_head(found, len(stages)),
        **_gate(blocks),
    }
    rates = [op.attrs["rate"] for op in flat(found.head) if op.kind == "dropout" and op.attrs["rate"]]
    if rates:
        fields["head_dropout"] = float(rates[0])
    return fields


def _natural(stages: int) -> tuple[int, ...]:
    return (1, *(2,) * (stages - 1))


def _norm(body: list[ReadOp]) -> str:
    norms = [op for op in body if role(op) == "norm"]
    convs = sum(op.kind == "conv" for op in body)
    if len(norms) * 4 < convs:
        return "none"
    kind = most((op.kind for op in norms), "batch_norm")
    if kind == "group_norm":
        groups = most((op.attrs["groups"] for op in norms if op.kind == kind), 32)
        return "group" if groups == 32 else f"group{groups}"
    return "frozen" if kind == "frozen_norm" else "batch"


def _branch(blocks: Iterable[ReadBlock], block: str, expansion: int) -> dict[str, Any]:
    """groups, width_per_group and the place of a bottleneck's stride."""
    pairs: list[tuple[int, int]] = []
    places: list[str] = []
    for each in blocks:
        convs = each.convs
        if block == "bottleneck" and len(convs) == 3:
            groups, width = convs[1].attrs["groups"], max(each.c_out // expansion, 1)
            inner = convs[1].attrs["c_out"]
            pairs.append((groups, inner * 64 // (width * groups) if inner * 64 % (width * groups) == 0 else 64))
            places += [place for place, conv in (("1x1", convs[0]), ("3x3", convs[1])) if conv.attrs["stride"] != 1]
        elif block == "basic":
            pairs += [(conv.attrs["groups"], 64) for conv in convs]
    groups, per_group = most(pairs, (1, 64))
    found: dict[str, Any] = {"groups": groups}
    if block == "bottleneck":
        found |= {"width_per_group": max(per_group, 1), "stride_in": most(places, "3x3")}
    rates = [op.attrs["rate"] for each in blocks for op in _before_last(each) if op.kind == "dropout"]
    if rates and len(rates) * 2 > sum(1 for _each in blocks):
        found["block_dropout"] = float(most(rates, 0.0))
    return found


def _before_last(block: ReadBlock) -> list[ReadOp]:
    """What stands in front of the last convolution of a branch, behind the one before."""
    ops = list(flat(block.branch))
    places = [i for i, op in enumerate(ops) if op.kind == "conv"]
    return ops[places[-2] + 1 : places[-1]] if len(places) > 1 else []


def _shortcut(found: Structure, block: str) -> dict[str, Any]:
    if not found.residual:
        return {"shortcut": "none"}
    kinds = Counter(kind for each in found.blocks if (kind := shortcut_kind(each)) != "identity")
    joined = [each for each in found.blocks if each.join is not None]
    if not kinds:
        return {"shortcut": "B"}
    if kinds["zeros"] * 2 > sum(kinds.values()):
        fronts = [zero_front(each.shortcut) for each in joined if shortcut_kind(each) == "zeros"]
        return {"shortcut": "A", "shortcut_align": "centre" if any(front for front in fronts) else "front"}
    if kinds["pooled"] > 1 or kinds["pooled"] * 2 > sum(kinds.values()):
        return {"shortcut": "D"}
    if kinds["projection"] == len(joined) and any(a.c_out == b.c_out for a, b in pairwise(joined)):
        return {"shortcut": "C"}
    return {"shortcut": "B"}


def shortcut_kind(block: ReadBlock) -> str:
    """identity, projection, pooled, max_pooled, zeros or other."""
    ops = [op for op in flat(block.shortcut) if role(op) not in ("norm", "act")]
    kinds = [op.kind for op in ops]
    if not kinds:
        return "identity"
    if "conv" in kinds:
        if "max_pool" in kinds:
            return "max_pooled"
        return "pooled" if "avg_pool" in kinds[: kinds.index("conv")] else "projection"
    return "zeros" if "pad" in kinds or "cat" in kinds else "other"


def zero_front(shortcut: Iterable[Any]) -> int:
    """How many channels of zeros stand before the input's."""
    for op in flat(tuple(shortcut)):
        if op.kind == "pad" and len(op.attrs["pad"]) >= 6:
            return op.attrs["pad"][4]
        if op.kind == "cat":
            return int(bool(op.attrs["zeros"] and op.attrs["zeros"][0]))
    return 0


def _stem(found: Structure, in_channels: int) -> dict[str, Any]:
    convs = [op for op in flat(found.stem) if op.kind == "conv"]
    if not convs:
        return {}
    width = convs[-1].attrs["c_out"]
    pools = [op for op in flat(found.stem) if op.kind == "max_pool"]
    caffe = any(op.attrs["padding"] == 0 and op.attrs["ceil"] for op in pools)
    if len(convs) == 3:
        stem = "deep" if convs[0].attrs["c_out"] == convs[1].attrs["c_out"] else "tiered"
    elif len(convs) == 2:
        stem = "deep2"
    else:
        small = convs[0].attrs["kernel"] == 3 or (convs[0].attrs["stride"] == 1 and not pools)
        stem = "3x3" if small and convs[0].attrs["stride"] == 1 else "7x7"
    pool = "caffe" if caffe else "max" if pools or stem != "3x3" else "none"
    return {"stem": stem, "stem_width": width, "stem_pool": pool, "stem_bias": caffe and bool(convs[0].attrs["bias"])}


def _head(found: Structure, stages: int) -> dict[str, Any]:
    linears = [op for op in flat(found.head) if op.kind == "linear"]
    if linears:
        return {"classes": linears[-1].attrs["c_out"]}
    if any(role(op) == "pool" for op in flat(found.head)):
        return {"classes": 0}
    return {"classes": 0, "until": f"layer{stages}"} if stages else {"classes": 0, "until": "stem"}


def _gate(blocks: Iterable[ReadBlock]) -> dict[str, Any]:
    gates = [op for each in blocks for op in flat(each.branch) if op.kind in GATES]
    total = sum(1 for _each in blocks)
    if len(gates) * 2 <= total:
        return {"gate": "none"}
    kind = most((op.kind for op in gates), "se")
    return {"gate": kind}


def _variants(found: Structure, base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Changes of the base that are tried."""
    for depths in _depths(base):
        for dilated in _dilations(found, base):
            for ratio in _ratios(base):
                yield {**depths, **dilated, **ratio}


def _depths(base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The blocks per stage as they are, unless one block more or less gives a network with a name."""
    near = [] if base.get("until") else neighbours(base["block"], base["depths"])
    yield from ({"depths": each} for each in near)
    if not near:
        yield {}


def neighbours(block: str, depths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Depths of networks with a name that have one block more or less; none where the depths have a name themselves.

    >>> neighbours("basic", (2, 3, 2, 2)), neighbours("basic", (3, 3, 4)), neighbours("bottleneck", (3, 4, 6, 3))
    ([(2, 2, 2, 2)], [(3, 3, 3)], [])
    """
    if len(depths) == 4:
        known = KNOWN[block, 4]
    elif len(depths) == 3:
        known = tuple((n,) * 3 for n in sorted({*depths}))
    else:
        return []
    if depths in known:
        return []
    return [each for each in known if sum(abs(a - b) for a, b in zip(each, depths, strict=True)) == 1]


def _dilations(found: Structure, base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {}
    dilated = [op for block in found.blocks for op in block.convs if op.attrs["dilation"] != 1]
    strides = {block.stride for stage in stages_of(found.blocks)[1:] for block in stage[:1]}
    if dilated and 1 in strides:
        for output_stride in (8, 16):
            for policy in ("exact", "previous", "full", "mmdet", "contract"):
                yield {"output_stride": output_stride, "dilate": policy}


def _ratios(base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {}
    if base["gate"] in ("se", "cbam"):
        for ratio in ("1/2", "1/4", "1/8", "1/32"):
            yield {"gate_ratio": ratio}
