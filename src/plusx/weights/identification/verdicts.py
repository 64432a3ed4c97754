"""Of every field of a spec: is its value known from the file, its family's convention, or unknown, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd
from typing import Any, Literal

from plusx.i18n import Message, _
from plusx.specs import KEYS, ResNetSpec
from plusx.specs.language import show_value
from plusx.weights.families import Family

How = Literal["known", "convention", "unknown"]
HOW_WORDS: dict[How, Message] = {"known": _("known"), "convention": _("convention"), "unknown": _("unknown")}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A field's value, how it is known, and why."""

    value: Any
    how: How
    why: Message

    def __str__(self) -> str:
        return f"{show_value(self.value)} ({self.how}: {self.why})"


SHAPES: dict[str, Message] = {
    "depths": _("blocks counted"), "widths": _("the last convolution of each stage"), "block": _("convolutions of a block"),
    "stem": _("the first kernels"), "stem_width": _("the first kernels"), "stem_bias": _("whether the stem has biases"),
    "shortcut": _("which blocks have projections, and how they are named"), "shortcut_kernel": _("the projections' kernels"),
    "first_shortcut": _("whether stage 1 projects"), "gate": _("the gates' tensors"), "gate_ratio": _("the gates' squeezed widths"),
    "order": _("where norms stand"), "groups": _("input channels of the 3x3 kernels"), "width_per_group": _("inner widths"),
    "norm": _("the norms' tensors"), "in_channels": _("the first kernels"), "classes": _("fc, or its absence"),
}  # fmt: skip
UNTOLD = ("stride_in", "stem_pool", "strides", "dilations", "dilate", "padding", "act", "join")
TRAINING = ("drop_path", "block_dropout", "head_dropout", "zero_init")
"""Fields that change nothing in evaluation and have no verdict."""


def decide_fields(
    spec: ResNetSpec, shapes: Mapping[str, tuple[int, ...]], family: Family, stated: Mapping[str, tuple[Any, Message]],
    written: ResNetSpec | None, *, old: bool, dense: str | None = None,
) -> tuple[ResNetSpec, dict[str, Verdict], dict[str, tuple[str, ...]]]:  # fmt: skip
    """(spec, verdicts, fields that must be given with their possible words).

    `spec` is what shapes give; `stated` what the file's own layers or config state; `written` the spec that plusx wrote into the file.
    `old` files have no batch counters: torch before 0.4.1 wrote them, and so did converters of Caffe's nets. `dense` names a tensor of a
    segmentation head beside the network: those often stand on dilated stages.
    """
    if written is not None:
        return written, {name: Verdict(getattr(written, name), "known", _("plusx wrote it")) for name in _decided()}, {}
    verdicts = {name: Verdict(getattr(spec, name), "known", why) for name, why in SHAPES.items()}
    needs: dict[str, tuple[str, ...]] = {}
    settled = dict(family.settles)
    if spec.stem == "3x3":
        settled["stem_pool"] = ("none", _("nothing pools after a 3x3 stem"))
    for name in UNTOLD:
        value, why = settled.get(name, (None, _("names and shapes do not show it")))
        value = getattr(spec, name) if value is None else value
        value = value[: len(spec.depths)] if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownVariableType]
        verdicts[name] = Verdict(value, "convention" if name in settled else "unknown", why)
    _norm(spec, shapes, settled, verdicts, needs)
    _shortcut(spec, shapes, settled, verdicts, needs)
    _doubt(spec, family, verdicts, old=old)
    for name in ("strides", "dilations") if dense and family.settles.get("strides", (None,))[0] is None else ():
        why = _("{name} is beside it, and segmentation networks often dilate their last stages", name=dense)
        verdicts[name] = replace(verdicts[name], how="unknown", why=why)
    for name, (value, why) in stated.items():
        verdicts[name] = Verdict(value, "known", why)
        needs.pop(name, None)
    if "norm" in stated and stated["norm"][0] == "group32":
        verdicts["norm"] = replace(verdicts["norm"], value="group")
    verdicts["until"] = Verdict(None, "known", _("it has an fc")) if spec.classes else Verdict(
        None, "unknown", _("without fc, it may be a part of a longer network")
    )  # fmt: skip
    return _spec(spec, verdicts, needs)


def _decided() -> list[str]:
    return [name for name in KEYS if name not in TRAINING]


def _spec(
    spec: ResNetSpec, verdicts: dict[str, Verdict], needs: dict[str, tuple[str, ...]]
) -> tuple[ResNetSpec, dict[str, Verdict], dict[str, tuple[str, ...]]]:
    """The spec with the verdicts' values, and each verdict with the value that the spec really has."""
    from plusx.specs.rules import resolve, unread

    changed = {name: verdict.value for name, verdict in verdicts.items() if verdict.value != getattr(spec, name)}
    changed = {
        name: value
        for name, value in changed.items()
        if name not in {field for field, _reason in unread(replace(spec, **changed))}
    }
    settled = resolve(spec, changed) if changed else spec
    moot = {name for name, _reason in unread(settled)}
    shown: dict[str, Verdict] = {}
    for name in _decided():
        verdict = verdicts.get(name)
        if name in moot and verdict is not None and name not in SHAPES:
            how = shown["dilations"].how if name == "dilate" else "known"
            shown[name] = Verdict(getattr(settled, name), how, _why_unread(name, settled))
        elif verdict is not None:
            shown[name] = replace(verdict, value=getattr(settled, name))
    return settled, shown, needs


def _why_unread(name: str, spec: ResNetSpec) -> Message:
    """Why nothing would read a field for this network (specs.rules.unread decides that)."""
    if name in ("stride_in", "width_per_group"):
        return _("basic blocks have one 3x3 stride and no inner width")
    reasons = {
        "shortcut_kernel": _("shortcut={shortcut} has no projection of its own size", shortcut=spec.shortcut),
        "shortcut_align": _("only shortcut=A fills channels with zeros"),
        "first_shortcut": _("shortcut={shortcut} leaves no choice in stage 1", shortcut=spec.shortcut),
        "gate_ratio": _("gate={gate} squeezes nothing", gate=spec.gate),
        "stem_bias": _("with norm=none every convolution has a bias"),
        "dilate": _("no stage is dilated"),
        "multi_grid": _("dilate={dilate} has one rate a stage", dilate=spec.dilate),
        "head_dropout": _("there is no fc"),
    }
    return reasons.get(name, _("nothing reads it in this network"))


def _norm(
    spec: ResNetSpec, shapes: Mapping[str, tuple[int, ...]], settled: Mapping[str, tuple[Any, Message]],
    verdicts: dict[str, Verdict], needs: dict[str, tuple[str, ...]],
) -> None:  # fmt: skip
    if spec.norm == "batch":
        verdicts["norm"] = Verdict("batch", "known", _("norms have running statistics (frozen ones compute the same)"))
    if not spec.norm.startswith("group"):
        return
    if "norm" in settled and spec.norm.startswith("group"):
        verdicts["norm"] = Verdict(
            "group" if settled["norm"][0] == "group32" else settled["norm"][0], "convention", settled["norm"][1]
        )
        return
    why = _(
        "norms have no statistics, as in group norms of any number of groups, instance norms and batch norms of each batch"
    )
    verdicts["norm"] = Verdict(spec.norm, "unknown", why)
    channels = [
        shape[0]
        for key, shape in shapes.items()
        if re.search(r"(bn\d|norm|downsample\.[12])\.weight$", key) and len(shape) == 1
    ]
    common = gcd(*channels)
    counts = [count for count in range(common, 0, -1) if common % count == 0]
    needs["norm"] = tuple("group" if count == 32 else f"group{count}" for count in counts)


def _shortcut(
    spec: ResNetSpec, shapes: Mapping[str, tuple[int, ...]], settled: Mapping[str, tuple[Any, Message]],
    verdicts: dict[str, Verdict], needs: dict[str, tuple[str, ...]],
) -> None:  # fmt: skip
    projects = any(re.search(r"downsample\.[01]\.weight$", key) and len(shape) == 4 for key, shape in shapes.items())
    if projects:
        verdicts["shortcut_align"] = Verdict("front", "known", _("only shortcut=A fills channels with zeros"))
        if "shortcut" in settled and settled["shortcut"][0] in ("B", "D") and spec.shortcut in ("B", "D"):
            verdicts["shortcut"] = Verdict(spec.shortcut, "convention", settled["shortcut"][1])
        return
    if settled.get("shortcut", ("",))[0] == "A":
        verdicts["shortcut"] = Verdict("A", "convention", settled["shortcut"][1])
        verdicts["shortcut_align"] = Verdict(settled["shortcut_align"][0], "convention", settled["shortcut_align"][1])
        return
    why = _(
        "no block has a projection, as in plain networks and in those whose shortcuts fill channels with zeros, in front or centred"
    )
    verdicts["shortcut"] = Verdict(spec.shortcut, "unknown", why)
    verdicts["shortcut_align"] = Verdict("front", "unknown", why)
    needs["shortcut"] = ("shortcut=A", "shortcut=A shortcut_align=centre", "shortcut=none")


def _doubt(spec: ResNetSpec, family: Family, verdicts: dict[str, Verdict], *, old: bool) -> None:
    """Under torchvision's names, files without batch counters may come from Caffe: their stride and pool are unknown."""
    if not (old and family.naming == "torchvision" and spec.norm == "batch" and spec.block == "bottleneck"):
        return
    why = _("no batch counters, as in files of torch before 0.4.1 and of converters of Caffe's networks (1x1, caffe)")
    for name in ("stride_in", "stem_pool"):
        if verdicts[name].how == "convention" and not (name == "stem_pool" and spec.stem != "7x7"):
            verdicts[name] = replace(verdicts[name], how="unknown", why=why)
