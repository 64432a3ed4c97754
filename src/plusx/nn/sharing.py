"""Copies of structure that hold the same tensors."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from plusx.errors import SpecError

Module = TypeVar("Module", bound=nn.Module)


def shared_copy(module: Module) -> Module:
    """The same modules anew, holding the same tensors. Raises SpecError for a module that cannot be copied."""
    tensors = [*module.parameters(), *module.buffers()]
    try:
        return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError(
            f"{type(module).__name__} cannot be copied ({reason}); hand over a module that copy.deepcopy takes"
        ) from error
