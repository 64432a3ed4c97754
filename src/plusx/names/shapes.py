"""The spec that weights belong to, by their names and shapes, and how it differs from the one that was asked for.

Some fields are visible in no tensor and stay at their defaults: the stride of a bottleneck, dilation, the pool of the stem,
activation, join, the number of groups of a group norm, and whether a network without projections pads (A) or is plain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import gcd
from typing import Any

from plusx.errors import SpecError
from plusx.graph import Graph, lower
from plusx.graph.blocks import EXPANSION
from plusx.graph.kinds import GATES
from plusx.i18n import Message, _, _n
from plusx.specs import ResNetSpec

Shapes = Mapping[str, tuple[int, ...]]
COUNTER = "num_batches_tracked"


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor by its key."""
    return {key: tuple(value.shape) for key, value in state.items()}


def suggest(shapes: Shapes) -> ResNetSpec | None:
    """The spec whose network has exactly these tensors (batch counters aside), or None. Names are torchvision's.

    >>> print(suggest({key: tensor.shape for key, tensor in lower("resnet50 classes=7").tensors()}))
    resnet50 classes=7
    """
    try:
        spec = ResNetSpec.from_dict(read_fields(shapes))
        wanted = {key: tensor.shape for key, tensor in lower(spec).tensors() if not tensor.name.endswith(COUNTER)}
    except (KeyError, IndexError, ZeroDivisionError, ValueError):  # a part is missing that all networks of plusx have
        return None
    return spec if wanted == {key: shape for key, shape in shapes.items() if not key.endswith(COUNTER)} else None


def explain(shapes: Shapes, graph: Graph, missing: list[str], differing: list[str], unexpected: list[str]) -> Message:
    """The message for weights that do not match a network: a difference, and the spec that does match."""
    spec, solution = str(graph.spec), _solution(shapes, graph.spec)
    if differing:
        key = differing[0]
        ours = dict(graph.tensors())[key].shape
        return _n(
            "{key} is {theirs} in the weights and {ours} in {spec}. {solution}",
            "{key} is {theirs} in the weights and {ours} in {spec}, and {n} tensors differ in all. {solution}",
            len(differing), key=key, theirs=list(shapes[key]), ours=list(ours), spec=spec, solution=solution,
        )  # fmt: skip
    if missing and unexpected:
        return _(
            "The weights lack {missing} of {spec}, and they hold {unexpected}, which it does not have. {solution}",
            missing=shortened(missing), unexpected=shortened(unexpected), spec=spec, solution=solution,
        )  # fmt: skip
    if missing:
        return _(
            "The weights lack {missing} of {spec}. {solution}", missing=shortened(missing), spec=spec, solution=solution
        )
    return _(
        "The weights hold {unexpected}, which {spec} does not have. {solution}",
        unexpected=shortened(unexpected), spec=spec, solution=solution,
    )  # fmt: skip


def shortened(keys: list[str]) -> Message | str:
    """The first keys, and how many more there are."""
    shown = ", ".join(keys[:4])
    return _("{keys} and {more} more", keys=shown, more=len(keys) - 4) if len(keys) > 4 else shown


def _solution(shapes: Shapes, asked: ResNetSpec) -> Message:
    found = suggest(shapes)
    if found is None:
        return _("No spec matches them. Run plusx weights identify on the file.")
    functions = {"classes": "new_head", "in_channels": "adapt_input", "gate": "add_gates"}
    for field, function in functions.items():
        if getattr(found, field) != getattr(asked, field) and _same_but(found, asked, field):
            return _(
                "They match {found!r}. Build that, then use plusx.{function}.", found=str(found), function=function
            )
    return _("They match {found!r}. Build that.", found=str(found))


def _same_but(found: ResNetSpec, asked: ResNetSpec, field: str) -> bool:
    """Whether changing one field of `found` gives a network with the tensors of `asked`."""
    try:
        return list(lower(found.replace(**{field: getattr(asked, field)})).tensors()) == list(lower(asked).tensors())
    except SpecError:
        return False


def read_fields(shapes: Shapes) -> dict[str, Any]:
    """The fields that shapes under plusx's own names show. Raises KeyError, IndexError, ValueError where a part is missing."""
    depths = _depths(shapes)
    bottleneck = "layer1.0.conv3.weight" in shapes
    last, times = ("conv3", EXPANSION) if bottleneck else ("conv2", 1)
    widths = [shapes[f"layer{i + 1}.0.{last}.weight"][0] // times for i in range(len(depths))]
    fields: dict[str, Any] = {"depths": depths, "widths": widths, "block": "bottleneck" if bottleneck else "basic"}
    fields |= _stem(shapes) | _norm(shapes) | _groups(shapes, widths[0], bottleneck)
    if "layer1.0.bn1.weight" in shapes and "bn1.weight" not in shapes:
        fields["order"] = "pre"
    fields |= _shortcut(shapes, len(depths), widths[0] * times, fields["stem_width"])
    fields |= _gate(shapes, len(depths), widths[-1] * times)
    fields["classes"] = shapes["fc.weight"][0] if "fc.weight" in shapes else 0
    return fields


def _depths(shapes: Shapes) -> list[int]:
    found: dict[int, int] = {}
    for key in shapes:
        if match := re.match(r"layer(\d)\.(\d+)\.", key):
            stage, block = int(match[1]), int(match[2])
            found[stage] = max(found.get(stage, 0), block + 1)
    return [found[stage] for stage in range(1, len(found) + 1)]


def _stem(shapes: Shapes) -> dict[str, Any]:
    bias = "bn1.weight" in shapes and ("conv1.bias" in shapes or "conv1.0.bias" in shapes)
    fields: dict[str, Any] = {"stem_bias": bias}
    if "conv1.weight" in shapes:
        width, channels, kernel, _ = shapes["conv1.weight"]
        fields |= {"stem": "3x3", "stem_pool": "none"} if kernel == 3 else {"stem": "7x7"}
        return {**fields, "stem_width": width, "in_channels": channels}
    widths = [shapes[key][0] for key in ("conv1.0.weight", "conv1.3.weight", "conv1.6.weight") if key in shapes]
    stem = "deep2" if len(widths) == 2 else "deep" if widths[0] == widths[1] else "tiered"
    return {**fields, "stem": stem, "stem_width": widths[-1], "in_channels": shapes["conv1.0.weight"][1]}


def _norm(shapes: Shapes) -> dict[str, str]:
    if "layer1.0.bn1.weight" not in shapes:
        return {"norm": "none"}
    if "layer1.0.bn1.running_mean" in shapes:
        return {"norm": "batch"}
    common = gcd(
        *(
            shape[0]
            for key, shape in shapes.items()
            if re.search(r"(bn\d|norm|downsample\.[12])\.weight$", key) and len(shape) == 1
        )
    )
    return {"norm": f"group{gcd(common, 32)}"}


def _groups(shapes: Shapes, width: int, bottleneck: bool) -> dict[str, int]:
    inner, per_group = shapes["layer1.0.conv2.weight"][:2]
    groups = inner // per_group
    return {"groups": groups, **({"width_per_group": inner // groups * 64 // width} if bottleneck else {})}


def _shortcut(shapes: Shapes, stages: int, c_out: int, stem_width: int) -> dict[str, str]:
    pooled = any(re.search(r"downsample\.1\.weight$", key) and len(shape) == 4 for key, shape in shapes.items())
    firsts = [key for key, shape in shapes.items() if re.search(r"downsample\.[01]\.weight$", key) and len(shape) == 4]
    if not firsts:
        return {"shortcut": "A"} if stages > 1 or c_out != stem_width else {}
    everywhere = any(not re.match(r"layer\d\.0\.", key) for key in firsts)
    fields = {"shortcut": "D" if pooled else "C" if everywhere else "B"}
    if any(shapes[key][-1] == 3 for key in firsts):
        fields["shortcut_kernel"] = "3x3"
    if fields["shortcut"] != "C" and c_out == stem_width and any(key.startswith("layer1.") for key in firsts):
        fields["first_shortcut"] = "project"
    return fields


def _gate(shapes: Shapes, last: int, channels: int) -> dict[str, str]:
    """The gate; its ratio is read in the last stage, where the rounding of squeezed widths matters least."""
    for name, gate in GATES.items():
        if shape := shapes.get(f"layer{last}.0.se.{gate.first}"):
            ratio = {"gate_ratio": f"1/{channels // shape[0]}"} if gate.squeezes else {}
            return {"gate": name, **ratio}
    return {}
