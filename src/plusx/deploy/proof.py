"""The proof that an exported network computes the same as the trained one, on real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.deploy.proof_images import ProofImages
from plusx.errors import GateError
from plusx.i18n import Message, _, joined
from plusx.runtime.predicting import softmax

Logits = NDArray[np.float32]
LogitsFunction = Callable[[NDArray[np.uint8]], Logits]
"""uint8 (n, h, w, c) to logits (n, k), for any n."""

MOST_DIFFERENCE = 1e-4
"""For fp32, relative to the largest logit: fp32 kernels of different libraries differ by 1e-6 to 1e-5 in a ResNet-50."""
LEAST_AGREEMENT = 0.99
"""For bf16 and int8: MLPerf Inference's rule for ResNet-50, applied to predicted classes and to top-1."""
_BATCH = 16


@dataclass(frozen=True)
class Proof:
    """What was compared, and how much it differs. A margin is the difference of the two largest probabilities of an image.

    `difference`: the largest, relative to the largest logit. `agreement`: share of images with the same predicted class.
    `reference_top1` and `top1` are None without labels. `widest_flip`: the largest margin of the reference where the
    predicted class changed. `alive`: the reference's logits are finite and differ between images.
    """

    images: str
    n: int
    precision: str
    difference: float
    agreement: float
    median_margin: float
    widest_flip: float
    reference_top1: float | None
    top1: float | None
    alive: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def kept(self) -> float:
        """The share of the reference's top-1 that is kept; without labels, of its predicted classes."""
        if self.top1 is None or not self.reference_top1:
            return self.agreement
        return self.top1 / self.reference_top1

    def text(self) -> Message:
        about = {"n": self.n, "images": self.images, "difference": self.difference, "agreement": self.agreement}
        if self.precision == "fp32":
            return _(
                "{n} images of {images}: logits differ by {difference:.1e} of the largest, "
                "{agreement:.2%} of predicted classes agree",
                **about,
            )
        first = _(
            "{n} images of {images}: {agreement:.2%} of predicted classes agree, logits differ by {difference:.1e}",
            **about,
        )
        last = _("median margin {median:.2f}, widest flip {flip:.2f}", median=self.median_margin, flip=self.widest_flip)
        if self.top1 is None or self.reference_top1 is None:
            return joined(", ", [first, last])
        top1 = _("top-1 {top1:.2%} (fp32 {reference:.2%})", top1=self.top1, reference=self.reference_top1)
        return joined(", ", [first, top1, last])


def compare_networks(reference: LogitsFunction, other: LogitsFunction, images: ProofImages, precision: str) -> Proof:
    """The Proof of two networks that are run over the images."""
    return compare_logits(all_logits(reference, images), all_logits(other, images), images, precision)


def all_logits(network: LogitsFunction, images: ProofImages) -> Logits:
    """Logits of every image, in batches. The last one is smaller, which finds a batch size that is fixed."""
    starts = range(0, len(images), _BATCH)
    return np.concatenate([np.asarray(network(images.pixels[at : at + _BATCH])) for at in starts])


def compare_logits(want: Logits, got: Logits, images: ProofImages, precision: str) -> Proof:
    """The Proof of logits of the trained network (`want`) and of the exported one. Raises GateError for another shape."""
    if want.shape != got.shape:
        raise GateError(
            _(
                "The exported network gives an output of shape {got}, but the trained one {want}. Please report this.",
                got=got.shape,
                want=want.shape,
            )
        )
    flat_want, flat_got = want.reshape(len(want), -1), got.reshape(len(got), -1)
    scale = float(np.abs(flat_want).max()) or 1.0
    difference = float(np.abs(flat_got.astype(np.float64) - flat_want).max() / scale)
    first, second = flat_want.argmax(axis=1), flat_got.argmax(axis=1)
    margins = _margins(flat_want)
    flips = margins[first != second]
    labels = images.labels
    return Proof(
        images.name, len(want), precision, difference if difference == difference else float("inf"),
        float((first == second).mean()), float(np.median(margins)), float(flips.max()) if len(flips) else 0.0,
        None if labels is None else float((first == labels).mean()),
        None if labels is None else float((second == labels).mean()),
        bool(np.isfinite(flat_want).all() and flat_want.std(axis=0).max() > 1e-6 * scale),
    )  # fmt: skip


def check_proof(proof: Proof, accept_drop: float = 1 - LEAST_AGREEMENT) -> None:
    """Raise GateError with the difference when a proof fails."""
    if not proof.alive:
        raise GateError(
            _(
                "The trained network's output is the same for every image, or not finite, so nothing can be proven. "
                "Train it first."
            )
        )
    if proof.precision == "fp32":
        if proof.difference > MOST_DIFFERENCE:
            raise GateError(
                _(
                    "The fp32 export differs by {difference:.1e} of the largest logit, but at most {most:.0e} is "
                    "allowed. Please report this network.",
                    difference=proof.difference,
                    most=MOST_DIFFERENCE,
                )
            )
        return
    if proof.kept < 1 - accept_drop - 1e-9:
        raise GateError(
            _(
                "{precision} keeps {kept:.2%} of fp32's {what} on {n} images, but {least:.2%} is required. "
                "Use {others}, or allow it with --accept-drop {drop}.",
                precision=proof.precision, kept=proof.kept, n=proof.n, least=1 - accept_drop,
                what="top-1" if proof.top1 is not None else _("predicted classes"),
                others=_("fp32 or bf16") if proof.precision == "int8" else "fp32", drop=_up(1 - proof.kept),
            )
        )  # fmt: skip


def _up(share: float) -> str:
    """Rounded up to a thousandth, so that the suggested value is large enough."""
    return f"{np.ceil(share * 1000 - 1e-9) / 1000:.3f}"


def _margins(logits: Logits) -> NDArray[np.float64]:
    if logits.shape[1] < 2:
        return np.ones(len(logits))
    probabilities = np.sort(softmax(logits), axis=1)
    return probabilities[:, -1] - probabilities[:, -2]
