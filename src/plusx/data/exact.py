"""Data whose JPEGs are decoded at full size, whoever reads them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from plusx.data.dataset import Data, Mode


class ExactData(Data):
    """Reads as `Data` does, but never scaled."""

    def read(self, i: int, mode: Mode | None = None, at_least_px: int | None = None) -> NDArray[np.uint8]:
        return super().read(i, mode, None)


def exact(data: Data) -> ExactData:
    """The same pictures, read at full size."""
    return ExactData(**{field.name: getattr(data, field.name) for field in fields(data)})
