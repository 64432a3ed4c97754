"""Which spec weights belong to, from their names and shapes, and how they differ from the one that was asked for.

What no tensor shows stays at its default: where a bottleneck strides, dilation, the stem's pool, activation, join, the
number of a group norm's groups, and whether a net without projections pads (A) or is plain.
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
from plusx.specs import ResNetSpec

Shapes = Mapping[str, tuple[int, ...]]
COUNTER = "num_batches_tracked"


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def suggest(shapes: Shapes) -> ResNetSpec | None:
    """The spec whose network has exactly these tensors (batch counters aside), or None. Names are torchvision's.

    >>> print(suggest({key: tensor.shape for key, tensor in lower("resnet50 classes=7").tensors()}))
    resnet50 classes=7
    """
    try:
        spec = ResNetSpec.from_dict(read_fields(shapes))
        wanted = {key: tensor.shape for key, tensor in lower(spec).tensors() if not tensor.name.endswith(COUNTER)}
    except (KeyError, IndexError, ZeroDivisionError, ValueError):  # a part that plusx's nets have is not there
        return None
    return spec if wanted == {key: shape for key, shape in shapes.items() if not key.endswith(COUNTER)} else None


def explain(shapes: Shapes, graph: Graph, missing: list[str], differing: list[str], strangers: list[str]) -> str:
    """The line for weights that do not fit: which tensors differ, and which spec would fit."""
    wanted = dict(graph.tensors())
    parts: list[str] = []
    if differing:
        key = differing[0]
        more = f" (and {len(differing) - 1} more differ)" if differing[1:] else ""
        parts.append(f"{key} is {list(shapes[key])} in the weights and {list(wanted[key].shape)} in {graph.spec}{more}")
    if missing:
        parts.append(f"weights lack {some(missing)}, which {graph.spec} needs")
    if strangers:
        parts.append(f"{graph.spec} has no place for {some(strangers)}")
    return f"{', and '.join(parts)}; {_way_out(shapes, graph.spec)}"


def some(keys: list[str]) -> str:
    shown = ", ".join(keys[:4])
    return f"{shown} and {len(keys) - 4} more" if len(keys) > 4 else shown


def _way_out(shapes: Shapes, asked: ResNetSpec) -> str:
    found = suggest(shapes)
    if found is None:
        return "no spec of plusx was found that fits; plusx weights identify tells what they are"
    bends = {"classes": "new_head", "in_channels": "adapt_input", "gate": "add_gates"}
    for field, bend in bends.items():
        if getattr(found, field) != getattr(asked, field) and _same_but(found, asked, field):
            return f"these weights fit {str(found)!r}: build that, then plusx.{bend}"
    return f"these weights fit {str(found)!r}"


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
