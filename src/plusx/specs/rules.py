"""From written keys to complete fields: defaults of the preset, then implied values, then written values; then the checks.

The rules here concern the keys alone. Rules that need arithmetic on channels (divisibility) stand in graph/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from plusx.errors import SpecError
from plusx.i18n import Message, _
from plusx.specs.checks import contradictions
from plusx.specs.fields import SpecFields
from plusx.specs.keys import GATES
from plusx.specs.language import show_value
from plusx.specs.strides import default_of, natural_output_stride, natural_strides, stage_geometry

Spec = TypeVar("Spec", bound=SpecFields)


def resolve(base: Spec, written: Mapping[str, Any]) -> Spec:
    """The spec that `written` asks for on top of `base`. Raises SpecError."""
    draft = replace(base, **{**implied(base, written), **written})
    for reason in contradictions(draft):
        raise SpecError(reason)
    if draft.output_stride == natural_output_stride(draft):
        draft = replace(draft, output_stride=None)
    defaults: dict[str, Any] = {}
    for name, reason in unread(draft):
        defaults[name] = default = default_of(name, draft)
        if name in written and written[name] != default:
            raise SpecError(
                _("{key}={value} has no effect here, because {reason}. Leave it out.",
                  key=name, value=show_value(written[name]), reason=reason)
            )  # fmt: skip
    return replace(draft, **defaults)


def implied(base: SpecFields, written: Mapping[str, Any]) -> dict[str, Any]:
    """Values that follow from the written ones. Written values take precedence over them."""
    follows: dict[str, Any] = {}
    stages = len(written.get("depths", base.depths))
    if stages != len(base.depths):
        first = written.get("widths", base.widths)[0]
        follows["widths"] = tuple(first * 2**i for i in range(stages))
        follows["strides"] = natural_strides(stages)
        follows["dilations"] = (1,) * stages
    if "stem" in written and (written["stem"] == "3x3") != (base.stem == "3x3"):
        follows["stem_pool"] = "none" if written["stem"] == "3x3" else "max"
    if written.get("until"):
        follows["classes"] = 0
    if str(written.get("dilate", "")).startswith("grid") and not base.multi_grid:
        follows["multi_grid"] = (1, 2, 4)  # detectron2 projects/DeepLab, configs
    return follows


def projects_anyway(spec: SpecFields) -> bool:
    """Whether stage 1 changes the shape, so that its first block has a projection without being asked for one."""
    out = spec.widths[0] * (4 if spec.block == "bottleneck" else 1)
    return spec.strides[0] != 1 or out != spec.stem_width


def unread(spec: SpecFields) -> Iterator[tuple[str, Message]]:
    """The fields that have no effect on this network, each with the reason."""
    if spec.block == "basic":
        yield "stride_in", _("a basic block has only one convolution that can stride")
        yield "width_per_group", _("the inner width of a basic block is set by widths")
    if spec.shortcut not in ("B", "C"):
        yield "shortcut_kernel", _("the kernel of shortcut={shortcut} is fixed", shortcut=spec.shortcut)
    if spec.shortcut != "A":
        yield "shortcut_align", _("only shortcut=A pads channels with zeros")
    if spec.shortcut not in ("B", "D"):
        yield "first_shortcut", _("shortcut={shortcut} decides the shortcut of stage 1", shortcut=spec.shortcut)
    elif projects_anyway(spec):
        yield "first_shortcut", _("stage 1 changes the shape and has a projection anyway")
    if not GATES[spec.gate]:
        yield "gate_ratio", _("gate={gate} squeezes no channels", gate=spec.gate)
    if spec.norm == "none":
        yield "stem_bias", _("every convolution has a bias with norm=none")
    dilated = any(dilation > 1 for _stride, dilation in stage_geometry(spec))
    if not dilated:
        yield "dilate", _("no stage is dilated (output_stride and dilations dilate stages)")
    if not spec.dilate.startswith("grid") or not dilated:
        yield "multi_grid", _("only dilate=grid and dilate=grid_mmseg read it, in a network with dilated stages")
    if spec.until is not None or spec.classes == 0:
        yield "head_dropout", _("the network has no fc")
