"""`residualise`: shortcuts for an existing plain network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from plusx.errors import RunError, SpecError, unknown
from plusx.i18n import Message, _, _n, joined
from plusx.nn.residual import Residual, make_projection, probe
from plusx.nn.sharing import shared_copy

Module = TypeVar("Module", bound=nn.Module)

MAX_LAYERS = 2
"""The most weighted layers under one shortcut, as in a basic block."""
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (
    nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.modules.instancenorm._InstanceNorm,
)  # fmt: skip
DROPS = (nn.modules.dropout._DropoutNd, nn.Identity)
ACTS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Softplus, nn.Tanh, nn.Sigmoid,
)  # fmt: skip


class AddedShortcut(NamedTuple):
    """A new shortcut: its path, the old paths of the weighted layers under it, and shapes without the batch axis."""

    path: str
    layers: tuple[str, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    projection: bool


class SkippedLayer(NamedTuple):
    """A weighted layer, or a module with such layers, that has no shortcut, and the reason."""

    path: str
    reason: Message


@dataclass(frozen=True)
class ResidualiseReport:
    """The shortcuts that were added, and the layers that were skipped."""

    shortcuts: tuple[AddedShortcut, ...]
    skipped: tuple[SkippedLayer, ...]
    start: str

    def describe(self) -> Message:
        """The report as lines, with a translation."""
        head = _n("{n} shortcut, start={start}", "{n} shortcuts, start={start}", len(self.shortcuts), start=self.start)
        added = [_shortcut_line(shortcut) for shortcut in self.shortcuts]
        skipped = [_("  skipped {path}: {reason}", path=path, reason=reason) for path, reason in self.skipped]
        return joined("\n", [head, *added, *skipped])

    def __str__(self) -> str:
        return str(self.describe())


def _shortcut_line(shortcut: AddedShortcut) -> Message:
    layers, before, after = " + ".join(shortcut.layers), _size(shortcut.before), _size(shortcut.after)
    if shortcut.projection:
        return _("  {path}: around {layers} ({before} → {after}, projected)",
                 path=shortcut.path, layers=layers, before=before, after=after)  # fmt: skip
    return _("  {path}: around {layers} ({before})", path=shortcut.path, layers=layers, before=before)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


class Residualised(NamedTuple):
    """The new network and the report: `net, report = residualise(model, example)`."""

    net: nn.Module
    report: ResidualiseReport


def residualise(model: nn.Module, example: Tensor, start: str = "same", changes: bool = False) -> Residualised:
    """A copy of `model` that holds its tensors, with a shortcut around each one or two weighted layers that keep their shape.

    Every nn.Sequential of the module tree is changed; nested ones are flattened. The norm of a layer is under the shortcut, and
    the last activation is outside. start="same" computes exactly what the model did (each shortcut has a trained scalar that
    starts at zero), and the example proves it. start="identity" starts each wrapped part as the identity (the scalar is on the
    branch). With `changes`, convolutions that change the shape get a shortcut with a projection. Linear layers never do, since
    the projection would be the same layer again. Raises SpecError with the reasons when nothing can be wrapped.
    """
    if start not in ("same", "identity"):
        raise SpecError(unknown("start", start, ("same", "identity")))
    new = shared_copy(model)
    calls = _record(new, example)
    shortcuts: list[AddedShortcut] = []
    skipped: list[SkippedLayer] = []
    new = _walk(new, "", _Context(calls, start, changes, shortcuts, skipped))
    if not shortcuts:
        raise SpecError(
            _("{kind} has no layers that can have a shortcut ({reasons}). "
              "Put layers that keep their shape into an nn.Sequential, or wrap them with Residual.",
              kind=type(model).__name__, reasons=_reasons(skipped))
        )  # fmt: skip
    _prove(model, new, example, exactly=start == "same")
    return Residualised(new, ResidualiseReport(tuple(shortcuts), tuple(skipped), start))


def _reasons(skipped: list[SkippedLayer]) -> Message:
    """Why nothing was wrapped, each reason once with the first layer that it concerns."""
    paths: dict[Message, list[str]] = {}
    for path, reason in skipped:
        paths.setdefault(reason, []).append(path)
    found = [_reason(reason, own[0], len(own) - 1) for reason, own in paths.items()]
    return joined("; ", found) if found else _("it has no layers with weights")


def _reason(reason: Message, path: str, more: int) -> Message:
    where = path or _("the whole model")
    if more:
        return _("{path} and {more} more: {reason}", path=where, more=more, reason=reason)
    return _("{path}: {reason}", path=where, reason=reason)


class _CallRecord(NamedTuple):
    """How a module was called with the example: how often, and the last shapes (None where they are not single tensors)."""

    times: int
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None


class _Context(NamedTuple):
    calls: dict[int, _CallRecord]
    start: str
    changes: bool
    shortcuts: list[AddedShortcut]
    skipped: list[SkippedLayer]


def _record(model: nn.Module, example: Tensor) -> dict[int, _CallRecord]:
    calls: dict[int, _CallRecord] = {}

    def record(module: nn.Module, inputs: tuple[object, ...], out: object) -> None:
        x = inputs[0] if len(inputs) == 1 else None
        before = tuple(x.shape) if isinstance(x, Tensor) else None
        after = tuple(out.shape) if isinstance(out, Tensor) else None
        calls[id(module)] = _CallRecord(calls[id(module)].times + 1 if id(module) in calls else 1, before, after)

    hooks = [module.register_forward_hook(record) for module in model.modules()]
    try:
        probe(model, example)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _walk(module: Module, path: str, context: _Context) -> Module:
    """`module` with shortcuts in all its Sequentials; it is changed in place unless it is a Sequential itself."""
    if type(module) is nn.Sequential:
        called = context.calls.get(id(module))
        if called is None:
            context.skipped.append(SkippedLayer(path, _("its layers are not called as one Sequential")))
            return module
        if called.times == 1:
            return _rebuild(module, path, context)
        context.skipped.append(
            SkippedLayer(path, _("it is called {times} times in one forward pass", times=called.times))
        )
        return module
    for name, child in list(module.named_children()):
        inner = f"{path}.{name}".lstrip(".")
        if isinstance(child, WEIGHTED):
            context.skipped.append(
                SkippedLayer(inner, _("{kind}.forward calls it, not an nn.Sequential", kind=type(module).__name__))
            )
        setattr(module, name, _walk(child, inner, context))
    return module


class _Layer(NamedTuple):
    path: str
    module: nn.Module


def _flat(sequence: nn.Sequential, path: str) -> list[_Layer]:
    found: list[_Layer] = []
    for name, child in sequence.named_children():
        inner = f"{path}.{name}".lstrip(".")
        found += _flat(child, inner) if type(child) is nn.Sequential and len(child) else [_Layer(inner, child)]
    return found


class _Unit(NamedTuple):
    """`body`: a weighted layer and the norms and dropouts after it. `tail`: its activation and the dropouts after that."""

    body: list[_Layer]
    tail: list[_Layer]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def layer(self) -> _Layer:
        return self.body[0]


def _rebuild(sequence: nn.Sequential, path: str, context: _Context) -> nn.Sequential:
    """The flattened Sequential with its units under shortcuts; other modules keep their position and are walked too."""
    out: list[nn.Module] = []
    units: list[_Unit] = []
    done = len(context.shortcuts)
    layers = _flat(sequence, path)
    while layers:
        unit = _take_unit(layers, context)
        if unit is not None:
            units.append(unit)
            continue
        _flush(units, out, path, context)
        layer = layers.pop(0)
        out.append(_walk(layer.module, layer.path, context))
    _flush(units, out, path, context)
    if len(context.shortcuts) == done:
        return sequence
    return nn.Sequential(*out).train(sequence.training)


def _take_unit(layers: list[_Layer], context: _Context) -> _Unit | None:
    """The unit at the start of the list, which is removed from it, or None where there is no such layer."""
    first = layers[0]
    called = context.calls.get(id(first.module))
    if not isinstance(first.module, WEIGHTED) or called is None or called.before is None or called.after is None:
        return None
    if called.times != 1:
        context.skipped.append(
            SkippedLayer(first.path, _("it is called {times} times in one forward pass", times=called.times))
        )
        return None
    body, tail = [layers.pop(0)], []
    while layers and isinstance(layers[0].module, NORMS + DROPS):
        body.append(layers.pop(0))
    if layers and isinstance(layers[0].module, ACTS):
        tail.append(layers.pop(0))
        while layers and isinstance(layers[0].module, DROPS):
            tail.append(layers.pop(0))
    return _Unit(body, tail, called.before, called.after)


def _flush(units: list[_Unit], out: list[nn.Module], path: str, context: _Context) -> None:
    """Wraps consecutive units, one or two at a time, and appends the results to `out`."""
    while units:
        group = [units.pop(0)]
        reason = _why_not(group[0], context)
        if reason:
            context.skipped.append(SkippedLayer(group[0].layer.path, reason))
            out += [layer.module for layer in group[0].body + group[0].tail]
            continue
        while units and len(group) < MAX_LAYERS and not _why_not(units[0], context):
            group.append(units.pop(0))
        inside = [layer.module for unit in group[:-1] for layer in unit.body + unit.tail]
        inside += [layer.module for layer in group[-1].body]
        before, after = group[0].before, group[-1].after
        residual = Residual(inside[0] if len(inside) == 1 else nn.Sequential(*inside), start=context.start)
        residual.projection = make_projection(before, after, next(inside[0].parameters()))
        residual.train(inside[0].training)
        target = f"{path}.{len(out)}".lstrip(".")
        names = tuple(unit.layer.path for unit in group)
        context.shortcuts.append(AddedShortcut(target, names, before[1:], after[1:], residual.projection is not None))
        out += [residual, *(layer.module for layer in group[-1].tail)]


def _why_not(unit: _Unit, context: _Context) -> Message | None:
    if unit.before == unit.after:
        return None
    sizes = {"before": _size(unit.before[1:]), "after": _size(unit.after[1:])}
    if isinstance(unit.layer.module, nn.Linear):
        return _("it changes {before} to {after}, and a projection would be the same layer again", **sizes)
    if not context.changes:
        return _("it changes {before} to {after}; changes=True adds a projected shortcut", **sizes)
    try:
        with torch.device("meta"):
            make_projection(unit.before, unit.after)
    except ValueError:
        return _("it changes {before} to {after}, which a 1x1 projection cannot", **sizes)
    return None


def _prove(model: nn.Module, new: nn.Module, example: Tensor, exactly: bool) -> None:
    """Raises RunError when the new model fails on the example, or, if `exactly`, has another output."""
    name = type(model).__name__
    before = probe(model, example)
    try:
        after = probe(new, example)
    except Exception as error:  # any forward may raise any exception when a layer has another path
        raise RunError(
            _("{kind} does not run with shortcuts ({error}), because it uses its layers in other ways than in sequence. "
              "Wrap parts of it with Residual.", kind=name, error=type(error).__name__)
        ) from error  # fmt: skip
    if exactly and isinstance(before, Tensor) and isinstance(after, Tensor) and not torch.equal(before, after):
        raise RunError(
            _("The output of {kind} differs by {worst:.3g} with shortcuts, because it uses its layers in other ways than in "
              "sequence. Wrap parts of it with Residual.", kind=name, worst=float((before - after).abs().max()))
        )  # fmt: skip
