"""Operators that change how a map is seen or stored: transposes, casts, reshapes, pads, slices, orders of channels."""

from __future__ import annotations

import numpy as np

from plusx.i18n import _
from plusx.weights.containers.onnx import OnnxNode
from plusx.weights.onnx_graphs.steps import NCHW, NO_PADS, Steps, View, reached


def transpose(steps: Steps, node: OnnxNode) -> None:
    view, perm = steps.view(node), node.attributes.get("perm")
    if view.form == "pooled":
        return steps.alias(node, view._replace(form="rows" if perm and len(perm) == 3 else "pooled"))
    if view.form != "map" or perm is None or sorted(perm) != [0, 1, 2, 3]:
        raise steps.fail(node, _("reorders something other than the axes of a map"))
    steps.alias(node, view._replace(axes=tuple(view.axes[axis] for axis in perm)))


def same(steps: Steps, node: OnnxNode) -> None:
    if node.kind == "Dropout" and len(node.inputs) > 2 and node.inputs[2] in steps.constants:
        if bool(steps.constants[node.inputs[2]].any()):
            raise steps.fail(node, _("drops values at random, so export the model in eval mode"))
    steps.alias(node, steps.view(node))


def cast(steps: Steps, node: OnnxNode) -> None:
    if node.kind == "Cast" and node.attributes.get("to") not in (1, 10, 11, 16):
        raise steps.fail(node, _("turns a map into whole numbers"))
    if node.inputs[0] in steps.constants:  # a constant in the type of the images, which are floats
        return steps.constants.same(node.outputs[0], node.inputs[0])
    steps.alias(node, steps.view(node))


def reshape(steps: Steps, node: OnnxNode) -> None:
    """Flattening behind the pool changes nothing; `(n, groups, -1)` is the start of a group norm, the next one its end."""
    view = steps.view(node)
    if view.form in ("pooled", "rows"):
        return steps.alias(node, view._replace(form="pooled"))
    if view.form == "groups":
        return steps.alias(node, View(view.base))
    if node.kind == "Reshape" and view.form == "map" and view.axes == NCHW and view.pads == NO_PADS:
        if len(node.inputs) > 1 and node.inputs[1] in steps.constants:
            target = [int(n) for n in steps.constants[node.inputs[1]].reshape(-1)]
            if len(target) == 3 and target[2] == -1 and target[1] > 0:
                return steps.alias(node, View(view.base, form="groups", groups=target[1]))
    raise steps.fail(node, _("flattens a map that is not pooled to one cell"))


def expand(steps: Steps, node: OnnxNode) -> None:
    """A gate's one value a channel, repeated over the map that it multiplies."""
    view = steps.view(node)
    if view.form not in ("pooled", "rows"):
        raise steps.fail(node, _("repeats a map"))
    steps.alias(node, view._replace(form="pooled"))


def pad(steps: Steps, node: OnnxNode) -> None:
    given, value, axes = steps.constant(node, 1), steps.constant(node, 2), steps.constant(node, 3)
    amounts = [int(n) for n in given] if given is not None else list(node.attributes.get("pads") or ())
    fill = float(value.reshape(-1)[0]) if value is not None and value.size else float(node.attributes.get("value") or 0)
    view = steps.view(node)
    if (node.attributes.get("mode") or "constant") != "constant" or fill != 0 or view.form != "map":
        raise steps.fail(node, _("pads with something other than zeros"))
    places = [int(n) for n in axes] if axes is not None else list(range(len(amounts) // 2))
    before, after = [0] * 4, [0] * 4
    for number, place in enumerate(places):
        axis = view.axes[place]
        before[axis], after[axis] = amounts[number], amounts[number + len(places)]
    if before[0] or after[0] or min(*before, *after) < 0:
        raise steps.fail(node, _("cuts a map, or pads the batch"))
    if before[1] or after[1]:
        if any((*before[2:], *after[2:], *view.pads)):
            raise steps.fail(node, _("pads channels and borders at once"))
        return steps.emit(node, "channel_pad", view, front=before[1], back=after[1])
    top, left, bottom, right = view.pads
    pads = (top + before[2], left + before[3], bottom + after[2], right + after[3])
    steps.alias(node, view._replace(pads=pads))


def slices(steps: Steps, node: OnnxNode) -> None:
    """`x[..., ::s, ::s]` of a zero-padded shortcut; the same on one axis is half of it."""
    parts = [steps.constant(node, at) for at in range(1, 5)]
    starts = [int(n) for n in (parts[0] if parts[0] is not None else node.attributes["starts"])]
    ends = [int(n) for n in (parts[1] if parts[1] is not None else node.attributes["ends"])]
    named = parts[2] if parts[2] is not None else node.attributes.get("axes") or range(len(starts))
    strides = [int(n) for n in parts[3]] if parts[3] is not None else [1] * len(starts)
    view = steps.map(node)
    found = [1, 1, 1, 1]
    for start, end, axis, stride in zip(starts, ends, named, strides, strict=True):
        size = (None, None, *(steps.sizes.get(view.base) or (None, None)))[int(axis)]
        if start == end + 1 and stride == -1:
            raise steps.fail(node, _("turns an axis round"))
        if start != 0 or end < (size or 1 << 30) or stride < 1 or (int(axis) < 2 and stride > 1):
            raise steps.fail(node, _("cuts a part out of a map"))
        found[int(axis)] = stride
    if found == [1, 1, 1, 1]:
        return steps.alias(node, view)
    before = steps.sizes.get(view.base)
    size = reached(before, NO_PADS, (1, 1), found[2:], (1, 1))
    steps.emit(node, "subsample", view, size=size, stride=(found[2], found[3]))


def gather(steps: Steps, node: OnnxNode) -> None:
    """The channels of the input in another order; or pooled features taken one by one in theirs (torch's `as_strided`)."""
    view = steps.view(node)
    if view.form in ("pooled", "rows"):
        places = steps.places(node.inputs[1])
        if places is None or not np.array_equal(places.reshape(-1), np.arange(places.size)):
            raise steps.fail(node, _("takes pooled features in another order"))
        return steps.alias(node, view._replace(form="pooled"))
    order = steps.constant(node, 1)
    axis = node.attributes.get("axis") or 0
    if order is None or view.form != "map" or view.axes[axis] != 1 or sorted(order.reshape(-1).tolist()) != list(range(order.size)):  # fmt: skip
        raise steps.fail(node, _("takes a part out of a map"))
    steps.emit(node, "channels", view, order=tuple(int(n) for n in order.reshape(-1)))
