"""What paddle.save writes (.pdparams): a pickle of numpy arrays, with its own forms for a tensor and for large ones.

Forms (python/paddle/framework/io.py and io_utils.py): a tensor is (name, array), or the call eval("data", {"data": array}),
which is recognised and not made; an array above 2^30 bytes is cut into flat slices described in UnpackBigParamInfor@@.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.pickles import PickledArray
from plusx.weights.containers.mapped_file import shown
from plusx.weights.stored import StoredTensor

NAMES, SLICES = "StructuredToParameterName@@", "UnpackBigParamInfor@@"


def tensor_of_eval(args: tuple[Any, ...]) -> Any:
    """The array of paddle's eval("data", {"data": array}). Raises TypeError for every other call of eval."""
    text, given = args
    if text != "data" or not isinstance(given, dict) or not isinstance(given.get("data"), PickledArray):
        raise TypeError
    return given["data"]


PADDLE: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "builtins.eval": tensor_of_eval,
    "__builtin__.eval": tensor_of_eval,
}


def is_paddle(tree: Any) -> bool:
    """Whether a pickle's tree has the marks of paddle: its table of names, or tensors with their names."""
    if not isinstance(tree, dict):
        return False
    return NAMES in tree or SLICES in tree or any(_named(value) for value in tree.values())


def plain(tree: dict[Any, Any], file: str) -> dict[Any, Any]:
    """The tree with tensors in the place of (name, tensor) and of slices. Raises WeightsError."""
    slices = tree.get(SLICES)
    out = {key: value[1] if _named(value) else value for key, value in tree.items() if key not in (NAMES, SLICES)}
    for key, facts in slices.items() if isinstance(slices, dict) else ():
        shape = facts.get("OriginShape") if isinstance(facts, dict) else None
        names = facts.get("slices") if isinstance(facts, dict) else None
        parts = [out.pop(name, None) for name in names] if isinstance(names, list) and len(names) <= 10_000 else []
        out[key] = _joined(parts, shape, _("{file} holds {name} in slices", file=file, name=shown(str(key))))
    return out


def _named(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], StoredTensor)
    )


def _joined(parts: list[Any], shape: Any, what: Message) -> StoredTensor:
    parts = [part[1] if _named(part) else part for part in parts]
    sides = tuple(shape) if isinstance(shape, list | tuple) else ()
    if (
        not parts
        or not all(isinstance(part, StoredTensor) for part in parts)
        or not all(type(side) is int for side in sides)
    ):
        raise WeightsError(_("{what}, and one is missing. Fetch it again.", what=what))
    count = sum(math.prod(part.shape) for part in parts)
    if (
        min(sides, default=1) < 0
        or math.prod(sides) != count
        or len({part.dtype for part in parts}) != 1
        or len(sides) > 32
    ):
        raise WeightsError(
            _("{what} of {count} values, which do not fill its shape. Fetch it again.", what=what, count=count)
        )
    return StoredTensor(
        sides, parts[0].dtype, lambda: np.concatenate([part.array().ravel() for part in parts]).reshape(sides)
    )
