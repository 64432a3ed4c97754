"""What `identify` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec
from plusx.weights.families import Naming
from plusx.weights.identification.set_aside import TensorGroup
from plusx.weights.identification.tensor_plan import TensorPlan
from plusx.weights.identification.verdicts import Verdict

IN_FILE = _("the file itself")
"""The source of a preprocessing that the file or its bundle states."""


@dataclass(frozen=True, eq=False)
class Identification:
    """What a file is. `spec` is None where plusx has no such network, and `refuses` then says why.

    Fields of `spec` whose verdict is unknown stand at the value that is taken unless another is given; those in `needs`
    change the network so much that `translate` wants them given.
    """

    path: Path
    container: str
    family: Message
    family_why: Message
    spec: ResNetSpec | None
    fields: Mapping[str, Verdict]
    needs: Mapping[str, tuple[str, ...]]
    """Fields that must be given, and the words that are possible."""
    wrapper: str
    prefix: str
    others: tuple[str, ...]
    """Paths of further networks in the file that hold the same values."""
    set_aside: tuple[TensorGroup, ...]
    classes: tuple[str, ...] | None
    """Names of the classes, where the file has them."""
    dtypes: Mapping[str, int]
    suspicious: tuple[Message, ...]
    notes: tuple[Message, ...]
    sha256: str | None
    colour: Verdict
    """The order of the input's channels: RGB or BGR."""
    preprocessing: Preprocessing | None
    """Of the family's convention, its means in RGB order whatever `colour` is."""
    preprocessing_source: str
    """Where it stands: the file, the family's convention, or what is known of this very file."""
    preprocessing_is_known: bool = False
    """Whether it is that of this very file, rather than its family's convention."""
    refuses: Message | None = None
    hub_name: str = ""
    """The name of a hub by which the file was asked for, or empty."""
    eps: Mapping[str, float] = field(default_factory=dict)
    """Eps of norms (plusx's path) that is not plusx's 1e-5; under "" that of all others."""
    plan: TensorPlan = field(default_factory=lambda: TensorPlan({}, {}))
    naming: Naming | None = None
    tensors: Mapping[str, Any] | None = None
    """Arrays under plusx's names, where a graph was read and no names are to translate."""

    @property
    def settled(self) -> bool:
        return self.refuses is None and not self.needs

    @property
    def key(self) -> str:
        return f"{self.wrapper}.{self.prefix}".strip("./")
