"""Do two files compute the same? Their networks' outputs on seeded inputs, by torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plusx.bundles import open_bundle
from plusx.errors import MissingExtra, WeightsError
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec
from plusx.weights.conversion.translate import load_file

TOLERANCE = 1e-5
SEED, IMAGES = 0, 4


@dataclass(frozen=True)
class Verification:
    """How far two networks' outputs are apart, over the largest output; `alive` is false where outputs hardly vary.

    `turned` is true where they differ and compute the same when the second takes the channels of its input in the other order.
    """

    first: str
    second: str
    largest: float
    relative: float
    alive: bool
    images: int
    size_px: int
    tolerance: float
    turned: bool = False

    @property
    def same(self) -> bool:
        return self.alive and self.relative <= self.tolerance

    @property
    def text(self) -> Message:
        """One line: which files were compared, and how far apart they are."""
        if not self.alive:
            return _(
                "{first} and {second}: outputs hardly vary with the input, so this proves nothing",
                first=self.first,
                second=self.second,
            )
        verdict = _("compute the same") if self.same else _("differ")
        where = _("{images} seeded inputs of {size_px} px", images=self.images, size_px=self.size_px)
        line = _(
            "{first} and {second} {verdict}: largest difference {largest:.3g} ({relative:.3g} of the largest output) on {where}",
            first=self.first,
            second=self.second,
            verdict=verdict,
            largest=self.largest,
            relative=self.relative,
            where=where,
        )
        if not self.turned:
            return line
        return _(
            "{line}. They compute the same where {second} takes its channels in the other order (RGB, BGR)",
            line=line,
            second=self.second,
        )

    def __str__(self) -> str:
        return self.text


def verify(
    a: str | Path, b: str | Path, *, spec: str | ResNetSpec | None = None, other_spec: str | ResNetSpec | None = None,
    key: str | None = None, other_key: str | None = None, size_px: int | None = None, tolerance: float = TOLERANCE,
) -> Verification:  # fmt: skip
    """Compare two files or bundles. Both take RGB inputs: a network for BGR images is turned first.

    `spec` and `key` are the first's, `other_spec` and `other_key` the second's. Raises WeightsError, SpecError, MissingExtra.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtra(_("plusx weights verify computes with torch. Install plusx[train].")) from None
    one, two = _network(Path(a), spec, key), _network(Path(b), other_spec, other_key)
    if one.spec.in_channels != two.spec.in_channels:
        raise WeightsError(
            _(
                "{a} takes {channels_a} channels and {b} takes {channels_b}. Compare networks of one input.",
                a=a,
                channels_a=one.spec.in_channels,
                b=b,
                channels_b=two.spec.in_channels,
            )
        )
    size = size_px or (32 if one.spec.stem == "3x3" else 224)
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(IMAGES, one.spec.in_channels, size, size, generator=generator)
    with torch.inference_mode():
        left, right = one(x), two(x)
    if left.shape != right.shape:
        raise WeightsError(
            _(
                "{a} gives {shape_a} and {b} gives {shape_b}. Compare networks of one output.",
                a=a,
                shape_a=tuple(left.shape[1:]),
                b=b,
                shape_b=tuple(right.shape[1:]),
            )
        )
    largest, scale = float((left - right).abs().max()), float(left.abs().max())
    alive = bool(torch.isfinite(left).all()) and float((left[0] - left[1]).abs().max()) > 1e-4 * scale
    found = Verification(
        str(a), str(b), largest, largest / scale if scale else float("inf"), alive, IMAGES, size, tolerance
    )
    if found.same or not alive or one.spec.in_channels != 3:
        return found
    with torch.inference_mode():
        turned = float((left - two(x.flip(1))).abs().max()) <= tolerance * scale
    return replace(found, turned=turned)


def _network(path: Path, spec: str | ResNetSpec | None, key: str | None) -> Any:
    from plusx.nn import build

    if path.is_dir() and (path / "model.safetensors").is_file():
        path = path / "model.safetensors"
    if path.is_dir():
        bundle = open_bundle(path)
        return build(bundle.spec, bundle.weights()).eval()
    made = load_file(path, spec=spec, key=key, colour="RGB")
    return build(made.spec, made.tensors).eval()
