"""Copies of modules that share their tensors."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from plusx.errors import SpecError
from plusx.i18n import _

Module = TypeVar("Module", bound=nn.Module)


def shared_copy(module: Module) -> Module:
    """A copy of a module that holds the same tensors. Raises SpecError for a module that cannot be copied."""
    tensors = [*module.parameters(), *module.buffers()]
    try:
        return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    except (RuntimeError, TypeError) as error:
        raise SpecError(
            _("{kind} cannot be copied. Give a module that copy.deepcopy can copy.", kind=type(module).__name__)
        ) from error
