"""What stands between stored tensors and plusx's: missing parts that mean zero or one, biases to fold, axes to turn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from plusx.weights.candidates import Candidate
from plusx.weights.families import Family
from plusx.weights.flattening import FlatFile, number_kind

Shape = tuple[int, ...]


@dataclass
class Plan:
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
    notes: list[str] = field(default_factory=list)
    refuses: str | None = None


def make_plan(flat: FlatFile, candidate: Candidate, family: Family) -> Plan:
    """The plan for a candidate; `refuses` says why there is none, where something in it has no place in plusx."""
    plan = Plan(dict(candidate.keys), candidate.shapes(flat))
    if any(len(shape) == 5 for shape in plan.shapes.values()):
        plan.refuses = "its kernels are 3-D (a network for video or volumes), and plusx's are 2-D"
        return plan
    quantised = [
        name for key, name in plan.keys.items() if key.endswith("weight") and number_kind(flat.tensors[name]) != "float"
    ]
    if quantised:
        plan.refuses = f"{quantised[0]} holds {flat.tensors[quantised[0]].dtype} numbers (quantised), and plusx reads floating ones"
        return plan
    if family.settles.get("shortcut", ("",))[0] == "D":
        _shift_shortcuts(plan)
    for key in [key for key in plan.keys if key.endswith(".factor")]:
        plan.factors[key.removesuffix(".factor")] = plan.keys.pop(key)
        if np.prod(plan.shapes.pop(key), dtype=np.int64) != 1:
            plan.refuses = f"{plan.factors[key.removesuffix('.factor')]} is no single factor"
            return plan
    _head(plan)
    _affine_alone(plan)
    _biases(flat, plan, drops_zeros=candidate.naming.name == "MSRA's")
    return plan


def _shift_shortcuts(plan: Plan) -> None:
    """Number convolutions of shortcuts as behind a pool, where names leave it open and the family says there is one."""

    def shifted(key: str) -> str:
        return re.sub(r"downsample\.([01])\.", lambda found: f"downsample.{int(found[1]) + 1}.", key)

    if any(key.endswith("downsample.0.weight") for key in plan.keys):
        plan.keys = {shifted(key): name for key, name in plan.keys.items()}
        plan.shapes = {shifted(key): shape for key, shape in plan.shapes.items()}


def _head(plan: Plan) -> None:
    shape = plan.shapes.get("fc.weight")
    if shape is None:
        return
    if len(shape) == 4 and shape[2:] == (1, 1):
        plan.shapes["fc.weight"] = shape[:2]
    if "fc.bias" not in plan.shapes:
        plan.filled["fc.bias"] = 0.0
        plan.shapes["fc.bias"] = shape[:1]
        plan.notes.append("fc has no bias in the file; it becomes zeros")


def _affine_alone(plan: Plan) -> None:
    """Detectron1 multiplied statistics into scale and offset: mean 0, and a variance that makes 1 with eps."""
    if not any(name.endswith("_bn_s") for name in plan.keys.values()):
        return
    for key in [key for key, name in plan.keys.items() if name.endswith("_bn_s")]:
        path, shape = key.rpartition(".")[0], plan.shapes[key]
        for name, value in (("running_mean", 0.0), ("running_var", 1 - 1e-5)):
            plan.filled[f"{path}.{name}"] = value
            plan.shapes[f"{path}.{name}"] = shape
    plan.notes.append("norms hold a scale and an offset alone; mean 0 and variance 1 compute the same")


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


def _biases(flat: FlatFile, plan: Plan, *, drops_zeros: bool) -> None:
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
        plan.refuses = (
            f"{plan.keys[f'{normed[0]}.bias']} is a bias before a norm without statistics, which has no place in plusx"
        )
        return
    if "bn1.weight" not in plan.shapes:
        plan.refuses = f"{plan.keys[f'{normed[0]}.bias']} is a bias in a pre-activation net with norms, which has no place in plusx"
        return
    for conv in normed:
        if plan.shapes[f"{conv}.bias"] != plan.shapes[f"{conv}.weight"][:1]:
            plan.refuses = (
                f"{plan.keys[f'{conv}.bias']} has shape {list(plan.shapes[f'{conv}.bias'])}, and its kernels another"
            )
            return
        plan.folded.append(conv)
        del plan.shapes[f"{conv}.bias"]
    plan.notes.append(f"biases of {len(normed)} convolutions go into the means of the norms behind them, exactly")


def _drop(plan: Plan, conv: str) -> None:
    plan.dropped.append(plan.keys.pop(f"{conv}.bias"))
    del plan.shapes[f"{conv}.bias"]
    plan.notes.append(f"{plan.dropped[-1]} is zero and left out")
