"""F(x) + x around any module."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from plusx.errors import GeometryError, SpecError, unknown
from plusx.graph import kinds
from plusx.nn.blocks import JOINS

STARTS = ("plain", "same", "identity")
CAN_START = {"same": ("add",), "identity": ("add", "modulate")}
WHY_NOT = {
    "same": "only a sum gives F(x) back when its shortcut is zero",
    "identity": "with F(x) = 0 it does not return x (mul: 0, for ever; attend: 1.5 x)",
}
PROJECTIONS: dict[int, type[nn.Module]] = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
"""By the number of axes of the tensor, (n, c, …)."""


class Residual(nn.Module):
    """`join(f(x), x)` for any module `f` from one tensor to one: (n, c, …) to what f returns.

    join: add F+x; mul F·x; modulate x·2σ(F); attend x·(1+σ(F)). Nothing follows the join: put an activation behind.
    start: `plain` as written; `same` computes f(x) at first (a learned scalar, zero, on the shortcut; add);
    `identity` computes x at first (a learned scalar, zero, on the branch; add, modulate).
    example: an input, from which a 1x1 projection is made where f changes shapes. Without it such an f is refused when it
    is called, for parameters that appear later would be unknown to an optimiser.
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
                f"start={start} with join={join}: {WHY_NOT[start]}; allowed: join={allowed}, or start=plain"
            )
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
                f"F turns {list(x.shape)} into {list(out.shape)}, which x cannot join; "
                "write Residual(f, example=x), so that a projection exists before an optimiser takes the parameters"
            )
        if self.scale is not None:
            out, shortcut = (out, shortcut * self.scale) if self.start == "same" else (out * self.scale, shortcut)
        return JOINS[self.kind](out, shortcut)

    def extra_repr(self) -> str:
        return f"join={self.kind}, start={self.start}"


IN_PLACE = "F writes into its own input, which the shortcut reads too; write its first activation with inplace=False"


def _version(x: Tensor) -> int:
    """How often x was written to; always 0 where torch does not count."""
    return 0 if torch.compiler.is_compiling() or x.is_inference() else x._version


def _zero_like(f: nn.Module) -> Tensor:
    like = next(f.parameters(), None)
    return torch.zeros(()) if like is None else torch.zeros((), dtype=like.dtype, device=like.device)


def projection_for(f: nn.Module, example: Tensor) -> nn.Module | None:
    """The projection that takes x to the shape of f(x), None where it is the shape of x. Raises GeometryError, SpecError."""
    version = _version(example)
    out = probe(f, example)
    if _version(example) != version:
        raise SpecError(IN_PLACE)
    if not isinstance(out, Tensor):
        raise SpecError(
            f"F returns a {type(out).__name__}, and a join needs one tensor; wrap the part that returns one"
        )
    return make_projection(tuple(example.shape), tuple(out.shape), out)


@torch.no_grad()
def probe(f: nn.Module, example: Tensor) -> object:
    """f(example) in eval mode, which changes no statistics; every part's mode is then as it was. Raises GeometryError."""
    modes = [(module, module.training) for module in f.modules()]
    f.eval()
    try:
        return f(example)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise GeometryError(
            f"{type(f).__name__} does not take the example {list(example.shape)} ({reason}); give one that it takes"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode


def make_projection(before: tuple[int, ...], after: tuple[int, ...], like: Tensor | None = None) -> nn.Module | None:
    """A 1x1 convolution (a linear layer for (n, c)) without bias from one shape to the other; None for the same shape.

    Raises GeometryError when no stride leads from one size to the other.
    """
    if before[1:] == after[1:]:
        return None
    kind = PROJECTIONS.get(len(before))
    if kind is None or len(after) != len(before):
        raise GeometryError(f"F turns {list(before)} into {list(after)}; a projection keeps the number of axes, 2 to 5")
    c_in, c_out = before[1], after[1]
    if kind is nn.Linear:
        return cast(nn.Module, nn.Linear(c_in, c_out, bias=False)).to(like)
    strides = tuple(_stride(a, b) for a, b in zip(before[2:], after[2:], strict=True))
    if None in strides:
        raise GeometryError(
            f"F turns {list(before)} into {list(after)}, and no stride of a 1x1 projection does; pad F so that sizes stay or halve"
        )
    made = kind(c_in, c_out, 1, strides, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
    return made.to(like)


def _stride(before: int, after: int) -> int | None:
    """The smallest stride s with (before - 1) // s + 1 == after, or None."""
    return next((s for s in range(1, before + 1) if (before - 1) // s + 1 == after), None)
