"""Shortcuts put into somebody's plain network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from plusx.errors import RunError, SpecError, unknown
from plusx.nn.residual import Residual, make_projection, probe
from plusx.nn.sharing import shared_copy

Module = TypeVar("Module", bound=nn.Module)

MOST = 2
"""Weighted layers under one shortcut, as in a basic block."""
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (
    nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.modules.instancenorm._InstanceNorm,
)  # fmt: skip
DROPS = (nn.modules.dropout._DropoutNd, nn.Identity)
ACTS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Softplus, nn.Tanh, nn.Sigmoid,
)  # fmt: skip


class Wrapped(NamedTuple):
    """One shortcut: where it now stands, the weighted layers under it by their old names, shapes without the batch axis."""

    path: str
    layers: tuple[str, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    projection: bool


class Left(NamedTuple):
    """A weighted layer, or a part with such layers, that got no shortcut, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Report:
    wrapped: tuple[Wrapped, ...]
    left: tuple[Left, ...]
    start: str

    def __str__(self) -> str:
        lines = [f"{len(self.wrapped)} shortcut{'' if len(self.wrapped) == 1 else 's'}, start={self.start}"]
        for w in self.wrapped:
            shapes = "x".join(map(str, w.before)) + (
                " → " + "x".join(map(str, w.after)) + ", projected" if w.projection else ""
            )
            lines.append(f"  {w.path}: around {' and '.join(w.layers)} ({shapes})")
        return "\n".join([*lines, *(f"  left {path}: {reason}" for path, reason in self.left)])


class Residualised(NamedTuple):
    """The new network, and what was done: `net, report = residualise(model, example)`."""

    net: nn.Module
    report: Report


def residualise(model: nn.Module, example: Tensor, start: str = "same", changes: bool = False) -> Residualised:
    """A copy of `model`, holding its tensors, with a shortcut around each one or two weighted layers that keep their shape.

    It works on every nn.Sequential in the tree (those inside it are laid flat). A layer's norm goes under the shortcut with it;
    the last activation stays outside. start="same" computes exactly what the model did (each shortcut has a learned scalar,
    zero at first), and the example proves it; "identity" starts each shortcut's part as x (the scalar is on the branch).
    With `changes`, convolutions that change shape get a projected shortcut; linear ones never, since it would be the layer again.
    Raises SpecError when nothing can be wrapped, with the reasons.
    """
    if start not in ("same", "identity"):
        raise SpecError(unknown("start", start, ("same", "identity")))
    new = shared_copy(model)
    shapes = _record(new, example)
    wrapped: list[Wrapped] = []
    left: list[Left] = []
    new = _walk(new, "", _Context(shapes, start, changes, wrapped, left))
    if not wrapped:
        raise SpecError(
            f"{type(model).__name__} cannot be residualised ({_reasons(left)}); "
            "put layers that keep their shape into an nn.Sequential, or wrap them with Residual"
        )
    _prove(model, new, example, exactly=start == "same")
    return Residualised(new, Report(tuple(wrapped), tuple(left), start))


def _reasons(left: list[Left]) -> str:
    """Why nothing was wrapped, each reason once."""
    paths: dict[str, list[str]] = {}
    for path, reason in left:
        paths.setdefault(reason, []).append(path or "the whole")
    found = [f"{own[0]}{f' and {len(own) - 1} more' if own[1:] else ''}: {reason}" for reason, own in paths.items()]
    return "; ".join(found) or "it has no layers with weights"


class _Calls(NamedTuple):
    """How a module was called with the example: how often, and the shapes of the last time (None: no single tensors)."""

    times: int
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None


class _Context(NamedTuple):
    calls: dict[int, _Calls]
    start: str
    changes: bool
    wrapped: list[Wrapped]
    left: list[Left]


def _record(model: nn.Module, example: Tensor) -> dict[int, _Calls]:
    calls: dict[int, _Calls] = {}

    def note(module: nn.Module, inputs: tuple[object, ...], out: object) -> None:
        x = inputs[0] if len(inputs) == 1 else None
        before = tuple(x.shape) if isinstance(x, Tensor) else None
        after = tuple(out.shape) if isinstance(out, Tensor) else None
        calls[id(module)] = _Calls(calls[id(module)].times + 1 if id(module) in calls else 1, before, after)

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        probe(model, example)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _walk(module: Module, path: str, context: _Context) -> Module:
    """`module` with shortcuts in all its Sequentials, in place where it is no Sequential itself."""
    if type(module) is nn.Sequential:
        called = context.calls.get(id(module))
        if called is None:
            context.left.append(Left(path, "its layers are called one by one or not at all, not as a Sequential"))
            return module
        if called.times == 1:
            return _rebuild(module, path, context)
        context.left.append(Left(path, f"it is called {called.times} times in one pass"))
        return module
    for name, child in list(module.named_children()):
        inner = f"{path}.{name}".lstrip(".")
        if isinstance(child, WEIGHTED):
            context.left.append(
                Left(inner, f"its place is decided in {type(module).__name__}.forward, not by an nn.Sequential")
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
    """A weighted layer with the norms and dropouts behind it, then its activation and what follows that."""

    body: list[_Layer]
    tail: list[_Layer]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def layer(self) -> _Layer:
        return self.body[0]


def _rebuild(sequence: nn.Sequential, path: str, context: _Context) -> nn.Sequential:
    """The Sequential laid flat, its units under shortcuts; other modules stay where they are, walked in turn."""
    out: list[nn.Module] = []
    units: list[_Unit] = []
    done = len(context.wrapped)
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
    if len(context.wrapped) == done:
        return sequence
    return nn.Sequential(*out).train(sequence.training)


def _take_unit(layers: list[_Layer], context: _Context) -> _Unit | None:
    """The unit that starts the list, taken off it, or None where no plain weighted layer does."""
    first = layers[0]
    called = context.calls.get(id(first.module))
    if not isinstance(first.module, WEIGHTED) or called is None or called.before is None or called.after is None:
        return None
    if called.times != 1:
        context.left.append(Left(first.path, f"it is called {called.times} times in one pass"))
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
    """Wrap the units of one run, one or two at a time, and append what comes of them to `out`."""
    while units:
        group = [units.pop(0)]
        reason = _why_not(group[0], context)
        if reason:
            context.left.append(Left(group[0].layer.path, reason))
            out += [layer.module for layer in group[0].body + group[0].tail]
            continue
        while units and len(group) < MOST and not _why_not(units[0], context):
            group.append(units.pop(0))
        inside = [layer.module for unit in group[:-1] for layer in unit.body + unit.tail]
        inside += [layer.module for layer in group[-1].body]
        before, after = group[0].before, group[-1].after
        residual = Residual(inside[0] if len(inside) == 1 else nn.Sequential(*inside), start=context.start)
        residual.projection = make_projection(before, after, next(inside[0].parameters()))
        residual.train(inside[0].training)
        place = f"{path}.{len(out)}".lstrip(".")
        names = tuple(unit.layer.path for unit in group)
        context.wrapped.append(Wrapped(place, names, before[1:], after[1:], residual.projection is not None))
        out += [residual, *(layer.module for layer in group[-1].tail)]


def _why_not(unit: _Unit, context: _Context) -> str | None:
    if unit.before == unit.after:
        return None
    shapes = f"it turns {'x'.join(map(str, unit.before[1:]))} into {'x'.join(map(str, unit.after[1:]))}"
    if isinstance(unit.layer.module, nn.Linear):
        return f"{shapes}, and a projection would be the same layer again"
    if not context.changes:
        return f"{shapes} (changes=True gives it a projected shortcut)"
    try:
        with torch.device("meta"):
            make_projection(unit.before, unit.after)
    except ValueError:
        return f"{shapes}, which no stride of a 1x1 projection does"
    return None


def _prove(model: nn.Module, new: nn.Module, example: Tensor, exactly: bool) -> None:
    """Raises RunError when the example comes out differently, or not at all: a forward that is more than its tree."""
    name = type(model).__name__
    way_out = "it uses its layers in other ways than their order tells; wrap parts of it with Residual"
    before = probe(model, example)
    try:
        after = probe(new, example)
    except Exception as error:  # somebody's forward may fail in any way when a layer it asks for is elsewhere
        raise RunError(f"{name} does not run with shortcuts ({type(error).__name__}: {error}): {way_out}") from error
    if exactly and isinstance(before, Tensor) and isinstance(after, Tensor) and not torch.equal(before, after):
        worst = float((before - after).abs().max())
        raise RunError(f"{name} computes something else with shortcuts (by {worst:.3g}): {way_out}")
