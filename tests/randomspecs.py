"""Random networks over the whole language, small enough to run: a hypothesis strategy and a count of what it drew."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import strategies as st

from plusx.errors import SpecError
from plusx.specs import KEYS, ResNetSpec
from plusx.specs.keys import ACTIVATIONS, GATES, JOINS, POLICIES, SHORTCUTS, STEMS
from plusx.specs.language import show_value

PAIRED = ("block", "order", "shortcut", "stem", "gate", "norm")


@st.composite
def wishes(draw):
    """Keys and values of a network that is meant to be possible; `lower` may still refuse a few."""
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    stages = pick(2, 3, 4)
    keys = {
        "depths": tuple(pick(1, 2) for _ in range(stages)),
        "block": pick("bottleneck", "basic"),
        "order": pick("post", "pre"),
        "shortcut": pick(*SHORTCUTS),
        "stem": pick(*STEMS),
        "norm": pick("batch", "group", "group4", "frozen", "none"),
        "act": pick(*ACTIVATIONS),
        "in_channels": pick(1, 3),
    }
    plain, basic = keys["shortcut"] == "none", keys["block"] == "basic"
    width = 32 if keys["norm"] == "group" else pick(8, 16)
    keys["widths"] = tuple(width * 2**i if keys["shortcut"] != "B" else width * pick(1, 2, 4) for i in range(stages))
    keys["stem_width"] = 256 if keys["norm"] == "group" and keys["stem"] == "tiered" else width * 2
    if keys["shortcut"] == "A":
        keys["stem_width"] = min(keys["stem_width"], keys["widths"][0] * (1 if basic else 4))
    if keys["norm"] == "group" and keys["stem_width"] < 64 and keys["stem"] in ("deep", "deep2", "tiered"):
        keys["stem"] = pick("7x7", "3x3")
    if keys["norm"] == "group4" and keys["stem"] == "tiered":
        keys["stem_width"] = 64
    keys["stem_pool"] = pick("max", "none") if keys["stem"] == "3x3" else pick("max", "caffe", "none")
    keys["strides"] = pick((1,) + (2,) * (stages - 1), *([tuple(pick(1, 2) for _ in range(stages))] * 2))
    if not basic:
        keys["stride_in"] = pick("3x3", "1x1")
        keys["width_per_group"] = pick(64, 128)
    keys["groups"] = pick(1, 1, 4)
    if keys["norm"] != "none":
        keys["stem_bias"] = pick(False, True)
    if not plain:
        keys["join"], keys["gate"] = pick(*JOINS), pick(*GATES)
        if keys["gate"] in ("se", "cbam"):
            keys["gate_ratio"] = pick("1/16", "1/4")
        if keys["join"] != "mul":
            keys["drop_path"] = pick(0.0, 0.2)
            keys["zero_init"] = keys["norm"] != "frozen" and pick(False, True)
    if keys["shortcut"] in ("B", "C"):
        keys["shortcut_kernel"] = pick("1x1", "3x3")
    if keys["shortcut"] == "A":
        keys["shortcut_align"] = pick("front", "centre")
    if keys["shortcut"] in ("B", "D") and basic and keys["widths"][0] == keys["stem_width"] and keys["strides"][0] == 1:
        keys["first_shortcut"] = pick("auto", "project")
    keys["block_dropout"] = pick(0.0, 0.1)
    keys.update(_rates(pick, keys, stages))
    keys.update(_end(pick, keys, stages))
    return keys


def _rates(pick, keys, stages):
    how = pick("natural", "natural", "output_stride", "dilations", "valid")
    grouped, basic = keys["norm"].startswith("group"), keys["block"] == "basic"
    if how == "valid" and keys["stem"] == "7x7" and keys["shortcut"] in ("none", "B", "C"):
        found = {"padding": "valid"}
        if keys.get("stride_in") == "1x1":
            found["stride_in"] = "3x3"
        if keys["shortcut"] != "none":
            found["shortcut_kernel"] = "3x3"
        return found
    policies = [p for p in POLICIES if not (p == "exact" and grouped) and not (p == "grid" and basic)]
    if keys["shortcut"] == "D":
        policies = [p for p in policies if p not in ("full", "grid", "grid_mmseg")]
    if how == "output_stride":
        keys["strides"] = (1,) + (2,) * (stages - 1)
        stem = (1 if keys["stem"] == "3x3" else 2) * (1 if keys["stem_pool"] == "none" else 2)
        natural = stem * 2 ** (stages - 1)
        targets = [s for s in (8, 16, 32) if stem <= s < natural]
        if not targets:
            return {}
        found = {"output_stride": pick(*targets), "dilate": pick(*policies)}
    elif how == "dilations":
        rates = pick((1,) * (stages - 1) + (2,), tuple(2**i for i in range(stages)))
        keys["strides"] = tuple(1 if rate > 1 else stride for rate, stride in zip(rates, keys["strides"], strict=True))
        found = {"dilations": rates, "dilate": pick(*policies)}
    else:
        return {}
    if found["dilate"].startswith("grid"):
        found["multi_grid"] = tuple(pick(1, 2, 3) for _ in range(keys["depths"][-1]))
    return found


def _end(pick, keys, stages):
    how = pick("classes", "classes", "pooled", "cut", "cut block")
    if how == "classes":
        return {"classes": pick(5, 10), "head_dropout": pick(0.0, 0.2)}
    if how == "pooled":
        return {"classes": 0}
    stage = pick(*range(1, stages + 1))
    if how == "cut":
        return {"until": pick("stem", f"layer{stage}", f"layer{stage}")}
    return {"until": f"layer{stage}.{pick(*range(keys['depths'][stage - 1]))}"}


class Count:
    """How often each value and each pair of values was built, and how many wishes were refused."""

    def __init__(self) -> None:
        self.values: Counter[tuple[str, str]] = Counter()
        self.pairs: Counter[tuple[str, str, str, str]] = Counter()
        self.built = self.refused = 0

    def spec(self, keys) -> ResNetSpec | None:
        """The spec of a wish, counted; None when it is refused."""
        try:
            return ResNetSpec().replace(**keys)
        except SpecError:
            self.refused += 1
            return None

    def add(self, spec: ResNetSpec) -> None:
        self.built += 1
        for name in KEYS:
            self.values[name, show_value(getattr(spec, name))] += 1
        for a, b in combinations(PAIRED, 2):
            self.pairs[a, show_value(getattr(spec, a)), b, show_value(getattr(spec, b))] += 1
