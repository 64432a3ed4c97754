"""From the parts of an ONNX network to the specs that it may be, most likely first; `onnx_align` decides."""

from __future__ import annotations

from collections import Counter
from typing import Any

from plusx.errors import SpecError
from plusx.graph.blocks import EXPANSION
from plusx.graph.kinds import gate_width
from plusx.i18n import _
from plusx.specs import ResNetSpec
from plusx.specs.keys import ACTIVATIONS, POLICIES
from plusx.weights.onnx_graphs.network_sections import BlockSteps, Sections, Walk
from plusx.weights.onnx_graphs.steps import Step

Stages = list[list[BlockSteps]]


def candidates(walk: Walk, parts: Sections) -> list[ResNetSpec]:
    """The specs to try. Raises WeightsError where a number of the graph cannot be one of a ResNet's."""
    fields = _fields(walk, parts)
    found: list[ResNetSpec] = []
    reasons: list[str] = []
    for more in _dilations(parts):
        try:
            spec = ResNetSpec.from_dict({k: v for k, v in {**fields, **more}.items() if v is not None})
        except SpecError as error:
            reasons.append(error.message)
            continue
        if spec not in found:
            found.append(spec)
    if not found:
        raise walk.fail(_("its parts are those of a ResNet, but not together ({error})", error=reasons[0]))
    return found


def _fields(walk: Walk, parts: Sections) -> dict[str, Any]:
    stages = stages_of(parts)
    convs = {len(convs_of(block.branch)) for block in parts.blocks}
    if convs not in ({2}, {3}):
        raise walk.fail(
            _(
                "its blocks have {numbers} convolutions on their branch, not two or three each",
                numbers=" / ".join(map(str, sorted(convs))),
            )
        )
    basic = convs == {2}
    fields: dict[str, Any] = {
        "depths": tuple(len(stage) for stage in stages), "block": "basic" if basic else "bottleneck", "order": parts.order,
        "strides": tuple(_stride(stage[0]) for stage in stages), **_widths(walk, stages, basic=basic), **_stem(walk, parts),
        **_shortcut(stages), **_norm(walk, parts), **_gate(walk, parts), **_head(walk, parts), "act": _act(walk, parts),
    }  # fmt: skip
    if not basic:
        fields["stride_in"] = _stride_in(stages)
    bias = convs_of(parts.stem)[-1].data["bias"]
    if parts.order == "pre" and fields["norm"] != "none" and bias is not None and bias.any():
        fields["stem_bias"] = True
    return fields


def convs_of(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.kind == "conv"]


def every_step(parts: Sections) -> list[Step]:
    found = [*parts.stem, *parts.head]
    for block in parts.blocks:
        found += [*block.before, *block.branch, *block.shortcut, *block.after]
    return found


def stages_of(parts: Sections) -> Stages:
    """Blocks in stages: a new one begins where the width or the size of the map changes."""
    stages: Stages = []
    width = None
    for block in parts.blocks:
        c_out = convs_of(block.branch)[-1].data["shape"][0] if convs_of(block.branch) else None
        if not stages or c_out != width or _stride(block) > 1:
            stages.append([])
        stages[-1].append(block)
        width = c_out
    return stages


def _stride(block: BlockSteps) -> int:
    stride = 1
    for step in convs_of(block.branch):
        stride *= step.data["stride"][0]
    return stride


def _stride_in(stages: Stages) -> str:
    strided = [convs_of(stage[0].branch) for stage in stages if _stride(stage[0]) > 1]
    return "1x1" if strided and strided[0][0].data["stride"][0] > 1 else "3x3"


def _widths(walk: Walk, stages: Stages, *, basic: bool) -> dict[str, Any]:
    outs = [convs_of(stage[0].branch)[-1].data["shape"][0] for stage in stages]
    groups = convs_of(stages[0][0].branch)[0 if basic else 1].data["groups"]
    if basic:
        return {"widths": tuple(outs), "groups": groups}
    if any(out % EXPANSION for out in outs):
        raise walk.fail(
            _(
                "its blocks end with {outs} channels, where a bottleneck's are a multiple of {expansion}",
                outs=outs,
                expansion=EXPANSION,
            )
        )
    width = outs[0] // EXPANSION
    inner = convs_of(stages[0][0].branch)[0].data["shape"][0]
    per_group, rest = divmod(inner * 64, groups * width)
    if rest:
        per_group += 1  # plusx rounds down, as torchvision does
    return {"widths": tuple(out // EXPANSION for out in outs), "groups": groups, "width_per_group": per_group}


def _stem(walk: Walk, parts: Sections) -> dict[str, Any]:
    convs = convs_of(parts.stem)
    if not 1 <= len(convs) <= 3:
        raise walk.fail(_("its stem has {count} convolutions, where plusx's have one to three", count=len(convs)))
    widths = [step.data["shape"][0] for step in convs]
    kernel, last = convs[0].data["kernel"][0], widths[-1]
    if len(convs) == 1:
        stem = "7x7" if kernel == 7 else "3x3"
    elif len(convs) == 2:
        stem = "deep2"
    else:
        stem = "deep" if widths[0] == widths[1] else "tiered"
    fields: dict[str, Any] = {
        "stem": stem, "stem_width": last, "in_channels": convs[0].data["shape"][1] * convs[0].data["groups"]
    }  # fmt: skip
    pools = [step for step in parts.stem if step.kind == "max_pool"]
    fields["stem_pool"] = "none" if not pools else "caffe" if caffe_pool(pools[0]) else "max"
    if stem == "7x7" and convs[0].data["pads"] == (0, 0, 0, 0):
        fields["padding"] = "valid"
    return fields


def caffe_pool(step: Step) -> bool:
    """Whether a pool of 3, stride 2 covers the map from its first cell to its last, as Caffe's does.

    Rounding up without padding and one row of padding below give the same windows: ceil((h - 3) / 2) = floor((h - 2) / 2).
    """
    data = step.data
    if data["kernel"] != (3, 3) or data["stride"] != (2, 2):
        return False
    odd = data["before"] is not None and all(size % 2 for size in data["before"])
    return (data["pads"] == (0, 0, 0, 0) and (data["ceil"] or odd)) or (
        data["pads"] == (0, 0, 1, 1) and not data["ceil"]
    )


def _shortcut(stages: Stages) -> dict[str, Any]:
    blocks = [block for stage in stages for block in stage]
    if all(block.join is None for block in blocks):
        return {"shortcut": "none"}
    convs = [convs_of(block.shortcut) for block in blocks]
    if not any(convs) and any(block.shortcut for block in blocks):
        pads = [step for block in blocks for step in block.shortcut if step.kind == "channel_pad"]
        centre = any(step.data["front"] for step in pads)
        return {"shortcut": "A", **({"shortcut_align": "centre"} if centre else {})}
    found: dict[str, Any] = {"shortcut": "B"}
    kernels = {step.data["kernel"] for steps in convs for step in steps}
    if len(blocks) > len(stages) and all(convs):
        found["shortcut"] = "C"
    elif any(step.kind == "avg_pool" for block in blocks for step in block.shortcut):
        found["shortcut"] = "D"
    first = stages[0][0]
    changes = (
        _stride(first) != 1 or convs_of(first.branch)[0].data["shape"][1] != convs_of(first.branch)[-1].data["shape"][0]
    )
    if found["shortcut"] != "C" and convs[0] and not changes:
        found["first_shortcut"] = "project"
    if (3, 3) in kernels:
        found["shortcut_kernel"] = "3x3"
    return found


def _norm(walk: Walk, parts: Sections) -> dict[str, Any]:
    norms = [step.data for step in every_step(parts) if step.kind == "norm"]
    if not norms:
        return {"norm": "none"}
    kinds = {(data["norm"], data.get("groups")) for data in norms}
    if len(kinds) > 1:
        raise walk.fail(_("it mixes norms of different kinds"))
    ((kind, groups),) = kinds
    return {"norm": kind if kind == "batch" else f"group{groups}"}


def _act(walk: Walk, parts: Sections) -> str:
    kinds = Counter(step.data["act"] for step in every_step(parts) if step.kind == "act")
    if not kinds:
        raise walk.fail(_("it has no activation"))
    (name, _count), *others = kinds.most_common()
    if others or name not in ACTIVATIONS:
        raise walk.fail(
            _(
                "its activations are {found}, where plusx's networks have one of {allowed}",
                found=", ".join(kinds),
                allowed=", ".join(ACTIVATIONS),
            )
        )
    return name


def _gate(walk: Walk, parts: Sections) -> dict[str, Any]:
    gates = [(block, step) for block in parts.blocks for step in block.branch if step.kind == "gate"]
    if not gates:
        return {}
    kinds = {"eca" if any(inner.kind == "eca_conv" for inner in step.data["steps"]) else "se" for _, step in gates}
    if kinds == {"eca"}:
        return {"gate": "eca"}
    widths: set[tuple[int, int]] = set()
    for _block, step in gates:
        linear = [inner for inner in step.data["steps"] if inner.kind == "linear"]
        if len(linear) != 2:
            raise walk.fail(
                _(
                    "the gate at node {node!r} has {count} layers where squeeze and excitation has two",
                    node=step.node,
                    count=len(linear),
                )
            )
        squeezed, channels = linear[0].data["shape"]
        widths.add((squeezed, channels))
    for ratio in range(1, 257):
        spec = ResNetSpec(gate="se", gate_ratio=f"1/{ratio}")
        if ratio == round(max(channels / squeezed for squeezed, channels in widths)) or ratio in (16, 8, 4, 2):
            if all(gate_width(spec, channels) == squeezed for squeezed, channels in widths):
                return {"gate": "se", "gate_ratio": f"1/{ratio}"}
    raise walk.fail(_("its gates squeeze to widths that follow no ratio: {widths}", widths=sorted(widths)[:6]))


def _head(walk: Walk, parts: Sections) -> dict[str, Any]:
    kinds = [step.kind for step in parts.head]
    linear = [step for step in parts.head if step.kind == "linear"]
    if len(linear) > 1:
        raise walk.fail(_("its head has {count} fully connected layers, where a ResNet has one", count=len(linear)))
    if linear:
        return {"classes": linear[0].data["shape"][0]}
    if "gap" in kinds:
        return {"classes": 0}
    return {"classes": 0, "until": f"layer{len(stages_of(parts))}"} if parts.blocks else {"classes": 0, "until": "stem"}


def _dilations(parts: Sections) -> list[dict[str, Any]]:
    """Ways to say the rates that the 3x3 convolutions have, those of common systems first."""
    stages = stages_of(parts)
    rates = [[step.data["dilation"][0] for block in stage for step in convs_of(block.branch)] for stage in stages]
    most = tuple(max(stage) for stage in rates)
    if max(most) == 1:
        return [{}]
    said: list[dict[str, Any]] = [
        {"output_stride": "8", "strides": None},
        {"output_stride": "16", "strides": None},
        {"dilations": most},
    ]
    later = tuple(max((s.data["dilation"][0] for s in convs_of(stage[-1].branch)), default=1) for stage in stages)
    if later != most:
        said.append({"dilations": later})
    return [{**words, "dilate": policy} for words in said for policy in POLICIES if not policy.startswith("grid")]
