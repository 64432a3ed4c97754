"""`Residual`: a shortcut around any module."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from plusx.errors import GeometryError, SpecError, unknown
from plusx.graph import kinds
from plusx.i18n import _
from plusx.nn.blocks import JOINS

STARTS = ("plain", "same", "identity")
CAN_START = {"same": ("add",), "identity": ("add", "modulate")}
WHY_NOT = {
    "same": _("only join=add gives F(x) when the shortcut is zero"),
    "identity": _("the join does not give x when F(x) is zero (mul: 0; attend: 1.5 x)"),
}
PROJECTIONS: dict[int, type[nn.Module]] = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
"""The 1x1 projection by the number of axes of the tensor (n, c, …)."""


class Residual(nn.Module):
    """`join(f(x), x)` for any module `f` that maps one tensor (n, c, …) to one tensor.

    join: add F+x; mul F·x; modulate x·2σ(F); attend x·(1+σ(F)). No activation follows the join.
    start: `plain` changes nothing; `same` computes f(x) at first (a trained scalar on the shortcut starts at zero; add only);
    `identity` computes x at first (a trained scalar on the branch starts at zero; add and modulate).
    example: an input from which a 1x1 projection is made where f changes the shape. Without it, such an f raises an error in
    the forward pass, because an optimiser would not know parameters that are created there.
    Raises SpecError, GeometryError.

    >>> x = torch.ones(1, 4, 8, 8)
    >>> bool((Residual(nn.Conv2d(4, 4, 3, padding=1), start="identity")(x) == x).all())
    True
    """

    def __init__(self, f: nn.Module, join: str = "add", start: str = "plain", example: Tensor | None = None) -> None:
        super().__init__()
        if join not in kinds.JOINS:
            raise SpecError(unknown("join", join, kinds.JOINS))
        if start not in STARTS:
            raise SpecError(unknown("start", start, STARTS))
        if start in CAN_START and join not in CAN_START[start]:
            allowed = ", ".join(CAN_START[start])
            raise SpecError(
                _("start={start} is impossible with join={join}, because {reason}. Allowed: join={allowed}, or start=plain.",
                  start=start, join=join, reason=WHY_NOT[start], allowed=allowed)
            )  # fmt: skip
        self.f, self.kind, self.start = f, join, start
        self.projection = None if example is None else projection_for(f, example)
        self.scale = None if start == "plain" else nn.Parameter(_zero_like(f))

    def forward(self, x: Tensor) -> Tensor:
        version = _version(x)
        out = self.f(x)
        if _version(x) != version:
            raise SpecError(IN_PLACE)
        shortcut = x if self.projection is None else self.projection(x)
        if out.shape != shortcut.shape:
            raise GeometryError(
                _("F changes the shape {before} to {after}, which cannot join x without a projection. "
                  "Write Residual(f, example=x) to create one.", before=tuple(x.shape), after=tuple(out.shape))
            )  # fmt: skip
        if self.scale is not None:
            out, shortcut = (out, shortcut * self.scale) if self.start == "same" else (out * self.scale, shortcut)
        return JOINS[self.kind](out, shortcut)

    def extra_repr(self) -> str:
        return f"join={self.kind}, start={self.start}"


IN_PLACE = _(
    "F changes its input in place, and the shortcut reads the same input. Use inplace=False in its first activation."
)


def _version(x: Tensor) -> int:
    """How often x was changed in place; always 0 where torch does not count it."""
    return 0 if torch.compiler.is_compiling() or x.is_inference() else x._version


def _zero_like(f: nn.Module) -> Tensor:
    like = next(f.parameters(), None)
    return torch.zeros(()) if like is None else torch.zeros((), dtype=like.dtype, device=like.device)


def projection_for(f: nn.Module, example: Tensor) -> nn.Module | None:
    """The projection from x to the shape of f(x), or None where x has that shape. Raises GeometryError, SpecError."""
    version = _version(example)
    out = probe(f, example)
    if _version(example) != version:
        raise SpecError(IN_PLACE)
    if not isinstance(out, Tensor):
        raise SpecError(
            _(
                "F returns {kind}, and a join needs a tensor. Wrap the part of F that returns one.",
                kind=type(out).__name__,
            )
        )
    return make_projection(tuple(example.shape), tuple(out.shape), out)


@torch.no_grad()
def probe(f: nn.Module, example: Tensor) -> object:
    """f(example) in eval mode, which changes no statistics. The mode of every module is restored. Raises GeometryError."""
    modes = [(module, module.training) for module in f.modules()]
    f.eval()
    try:
        return f(example)
    except RuntimeError as error:
        raise GeometryError(
            _("{kind} does not accept the example of shape {shape}. Give an example that it accepts.",
              kind=type(f).__name__, shape=tuple(example.shape))
        ) from error  # fmt: skip
    finally:
        for module, mode in modes:
            module.training = mode


def make_projection(before: tuple[int, ...], after: tuple[int, ...], like: Tensor | None = None) -> nn.Module | None:
    """A 1x1 convolution (a linear layer for (n, c)) without bias between two shapes, or None where they are equal.

    Raises GeometryError when no stride gives the second size.
    """
    if before[1:] == after[1:]:
        return None
    kind = PROJECTIONS.get(len(before))
    if kind is None or len(after) != len(before):
        raise GeometryError(
            _("F changes the shape {before} to {after}, and a projection keeps the number of axes, 2 to 5. Reshape outside F.",
              before=before, after=after)
        )  # fmt: skip
    c_in, c_out = before[1], after[1]
    if kind is nn.Linear:
        return cast(nn.Module, nn.Linear(c_in, c_out, bias=False)).to(like)
    strides = tuple(_stride(a, b) for a, b in zip(before[2:], after[2:], strict=True))
    if None in strides:
        raise GeometryError(
            _("F changes the shape {before} to {after}, which a 1x1 projection cannot. Pad F so that sizes stay or halve.",
              before=before, after=after)
        )  # fmt: skip
    made = kind(c_in, c_out, 1, strides, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
    return made.to(like)


def _stride(before: int, after: int) -> int | None:
    """The smallest stride s with (before - 1) // s + 1 == after, or None."""
    return next((s for s in range(1, before + 1) if (before - 1) // s + 1 == after), None)
