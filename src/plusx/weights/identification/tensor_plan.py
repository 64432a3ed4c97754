"""How stored tensors become plusx's: which are renamed, filled with zeros or ones, folded into norms, or skipped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from plusx.i18n import Message, _
from plusx.weights.families import Family
from plusx.weights.identification.candidates import Candidate
from plusx.weights.identification.flat_file import FlatFile, number_kind

Shape = tuple[int, ...]


@dataclass
class TensorPlan:
    """How a candidate becomes plusx's tensors. `keys`: plusx's key to whole path; `shapes`: after what is done below."""

    keys: dict[str, str]
    shapes: dict[str, Shape]
    folded: list[str] = field(default_factory=list)
    """Convolutions whose bias goes into the mean of the norm behind them."""
    filled: dict[str, float] = field(default_factory=dict)
    """Tensors that the file leaves out, and the value that all their numbers have."""
    factors: dict[str, str] = field(default_factory=dict)
    """Norms whose statistics are to be divided by a stored factor (Caffe), and where it lies."""
    dropped: list[str] = field(default_factory=list)
    notes: list[Message] = field(default_factory=list)
    refuses: Message | None = None


def make_plan(flat: FlatFile, candidate: Candidate, family: Family) -> TensorPlan:
    """The plan for a candidate; `refuses` says why there is none, where something in it has no place in plusx."""
    plan = TensorPlan(dict(candidate.keys), candidate.shapes(flat))
    if any(len(shape) == 5 for shape in plan.shapes.values()):
        plan.refuses = _("its kernels are 3-D (a network for video or volumes), where plusx has 2-D ones")
        return plan
    quantised = [
        name for key, name in plan.keys.items() if key.endswith("weight") and number_kind(flat.tensors[name]) != "float"
    ]
    if quantised:
        plan.refuses = _(
            "{name} holds quantised numbers ({dtype}), where floating-point ones are needed",
            name=quantised[0],
            dtype=flat.tensors[quantised[0]].dtype,
        )
        return plan
    if family.settles.get("shortcut", ("",))[0] == "D":
        _shift_shortcuts(plan)
    for key in [key for key in plan.keys if key.endswith(".factor")]:
        plan.factors[key.removesuffix(".factor")] = plan.keys.pop(key)
        if np.prod(plan.shapes.pop(key), dtype=np.int64) != 1:
            plan.refuses = _("{name} is no single factor", name=plan.factors[key.removesuffix(".factor")])
            return plan
    _head(plan)
    if family.affine_norms:
        _affine_alone(plan)
    _biases(flat, plan, drops_zeros=family.zero_biases)
    return plan


def _shift_shortcuts(plan: TensorPlan) -> None:
    """Number convolutions of shortcuts as behind a pool, where names leave it open and the family says there is one."""

    def shifted(key: str) -> str:
        return re.sub(r"downsample\.([01])\.", lambda found: f"downsample.{int(found[1]) + 1}.", key)

    if any(key.endswith("downsample.0.weight") for key in plan.keys):
        plan.keys = {shifted(key): name for key, name in plan.keys.items()}
        plan.shapes = {shifted(key): shape for key, shape in plan.shapes.items()}


def _head(plan: TensorPlan) -> None:
    shape = plan.shapes.get("fc.weight")
    if shape is None:
        return
    if len(shape) == 4 and shape[2:] == (1, 1):
        plan.shapes["fc.weight"] = shape[:2]
    if "fc.bias" not in plan.shapes:
        plan.filled["fc.bias"] = 0.0
        plan.shapes["fc.bias"] = shape[:1]
        plan.notes.append(_("fc has no bias in the file, so it becomes zeros"))


def _affine_alone(plan: TensorPlan) -> None:
    """Detectron1 multiplied statistics into scale and offset: mean 0, and a variance that makes 1 with eps."""
    for key in [key for key, name in plan.keys.items() if name.endswith("_bn_s")]:
        path, shape = key.rpartition(".")[0], plan.shapes[key]
        for name, value in (("running_mean", 0.0), ("running_var", 1 - 1e-5)):
            plan.filled[f"{path}.{name}"] = value
            plan.shapes[f"{path}.{name}"] = shape
    plan.notes.append(_("norms hold a scale and an offset alone, which mean 0 and variance 1 reproduce"))


def norm_behind(conv: str) -> str:
    """The norm that follows a convolution in a post-activation net.

    >>> norm_behind("layer1.0.conv2"), norm_behind("layer1.0.downsample.0"), norm_behind("conv1.3"), norm_behind("conv1")
    ('layer1.0.bn2', 'layer1.0.downsample.1', 'conv1.4', 'bn1')
    """
    if conv == "conv1":
        return "bn1"
    if ".conv" in conv:
        return re.sub(r"\.conv(\d)$", r".bn\1", conv)
    head, _, number = conv.rpartition(".")
    return f"{head}.{int(number) + 1}"


def norm_of(conv: str, shapes: Mapping[str, Shape]) -> str:
    """The norm behind a convolution in a net of these tensors: of a deep stem's last one it is bn1."""
    norm = norm_behind(conv)
    return norm if f"{norm}.weight" in shapes or not conv.startswith("conv1.") else "bn1"


def _biases(flat: FlatFile, plan: TensorPlan, *, drops_zeros: bool) -> None:
    """Biases of convolutions before norms: the stem's stays where it is alone, the others go into the running means."""
    convs = [
        key.removesuffix(".bias") for key in plan.shapes if re.search(r"(conv\d(\.\d)?|downsample\.\d)\.bias$", key)
    ]
    convs = [conv for conv in convs if len(plan.shapes.get(f"{conv}.weight", ())) == 4]
    normed = [conv for conv in convs if f"{norm_of(conv, plan.shapes)}.weight" in plan.shapes]
    if drops_zeros:
        for conv in [conv for conv in normed if not np.any(flat.tensors[plan.keys[f"{conv}.bias"]].array())]:
            _drop(plan, conv)
            normed.remove(conv)
    if not normed or all(conv.startswith("conv1") for conv in normed):
        return
    if "layer1.0.bn1.running_mean" not in plan.shapes:
        plan.refuses = _(
            "{name} is a bias in front of a norm without statistics, which plusx cannot express",
            name=plan.keys[f"{normed[0]}.bias"],
        )
        return
    if "bn1.weight" not in plan.shapes:
        plan.refuses = _(
            "{name} is a bias in a pre-activation network with norms, which plusx cannot express",
            name=plan.keys[f"{normed[0]}.bias"],
        )
        return
    for conv in normed:
        if plan.shapes[f"{conv}.bias"] != plan.shapes[f"{conv}.weight"][:1]:
            plan.refuses = _(
                "{name} has shape {shape}, which its kernels do not have",
                name=plan.keys[f"{conv}.bias"],
                shape=list(plan.shapes[f"{conv}.bias"]),
            )
            return
        plan.folded.append(conv)
        del plan.shapes[f"{conv}.bias"]
    plan.notes.append(
        _("biases of {count} convolutions go into the means of the norms behind them, exactly", count=len(normed))
    )


def _drop(plan: TensorPlan, conv: str) -> None:
    plan.dropped.append(plan.keys.pop(f"{conv}.bias"))
    del plan.shapes[f"{conv}.bias"]
    plan.notes.append(_("{name} is zero and is skipped", name=plan.dropped[-1]))
