"""The options of an export, and what each target allows."""

from __future__ import annotations

from dataclasses import dataclass

from plusx.bundles import Bundle
from plusx.deploy.proof import LEAST_AGREEMENT
from plusx.errors import SpecError, unknown
from plusx.i18n import Message, _
from plusx.runtime.engines import PRECISIONS

Size = tuple[int, int] | None
"""(height, width) of the input, None for any."""
LAYOUTS = ("plain", "triton", "ovms", "kserve")


@dataclass(frozen=True)
class TargetRules:
    """Which precisions and layouts a target allows; `why_not` explains the precisions that it lacks."""

    precisions: tuple[str, ...]
    layouts: tuple[str, ...]
    why_not: Message | None = None


RULES: dict[str, TargetRules] = {
    "openvino": TargetRules(PRECISIONS, LAYOUTS),
    "onnx": TargetRules(("fp32", "int8"), LAYOUTS, _("ONNX Runtime has no bf16 convolutions on CPUs.")),
    "torch-export": TargetRules(("fp32", "bf16"), ("plain",), _("torch has no int8 networks of its own any more.")),
}


@dataclass(frozen=True)
class ExportConfig:
    """What to export. `to` openvino, onnx or torch-export; `size` (h, w) of the input, None the bundle's crop.

    `dynamic` leaves height and width open. `data` and `calibrate` name real images; None: those of the training run.
    `accept_drop` is the share of fp32's top-1 that bf16 or int8 may lose. Raises SpecError.
    """

    to: str
    precision: str = "fp32"
    layout: str = "plain"
    size: Size = None
    dynamic: bool = False
    data: str | None = None
    calibrate: str | None = None
    accept_drop: float = round(1 - LEAST_AGREEMENT, 6)
    most_images: int = 512
    most_calibration: int = 300

    def __post_init__(self) -> None:
        for what, word, allowed in (
            (_("target"), self.to, tuple(RULES)),
            (_("precision"), self.precision, PRECISIONS),
            (_("layout"), self.layout, LAYOUTS),
        ):
            if word not in allowed:
                raise SpecError(unknown(what, word, allowed))
        rules = RULES[self.to]
        if self.precision not in rules.precisions:
            raise SpecError(
                _(
                    "--precision {precision} is not available for --to {to}. {why} Write one of {allowed}.",
                    precision=self.precision, to=self.to, why=rules.why_not or "", allowed=", ".join(rules.precisions),
                )
            )  # fmt: skip
        if self.layout not in rules.layouts:
            raise SpecError(
                _(
                    "--layout {layout} does not take a {to} network. Write one of {allowed}.",
                    layout=self.layout,
                    to=self.to,
                    allowed=", ".join(rules.layouts),
                )
            )
        if not 0 <= self.accept_drop < 1:
            raise SpecError(
                _("--accept-drop {drop} is not a share. Write a number from 0 to below 1.", drop=self.accept_drop)
            )


@dataclass(frozen=True)
class ExportSource:
    """The input of a writer: the bundle, the size of the network's input, and the precision."""

    bundle: Bundle
    size: Size
    precision: str
