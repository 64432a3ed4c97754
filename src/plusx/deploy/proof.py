"""Whether an exported network computes what the trained one does, on real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.deploy.proof_images import Images
from plusx.errors import GateError
from plusx.runtime.predicting import softmax

Logits = NDArray[np.float32]
Network = Callable[[NDArray[np.uint8]], Logits]
"""uint8 (n, h, w, c) to answers (n, k), for any n."""

MOST_DIFFERENCE = 1e-4
"""Of fp32, relative to the largest answer: fp32 kernels of different libraries differ by 1e-6 to 1e-5 in a ResNet-50."""
LEAST_AGREEMENT = 0.99
"""Of bf16 and int8: MLPerf Inference's rule for ResNet-50, applied to answers and to top-1."""
_BATCH = 16


@dataclass(frozen=True)
class Proof:
    """What was compared and found. Shares are of 1; margins are differences of the two likeliest classes' probabilities.

    `difference`: largest, relative to the largest answer. `agreement`: share with the same first class. `reference_top1`
    and `top1` are of labelled images only. `widest_flip`: the largest margin of the reference where the answer changed.
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
        """What share of the reference's top-1 is kept; without labels, of its answers."""
        if self.top1 is None or not self.reference_top1:
            return self.agreement
        return self.top1 / self.reference_top1

    def __str__(self) -> str:
        if self.precision == "fp32":
            return f"{self.n} images of {self.images}: largest difference {self.difference:.1e} of the largest answer, {self.agreement:.2%} agree"
        text = f"{self.n} images of {self.images}: {self.agreement:.2%} agree, difference {self.difference:.1e}"
        if self.top1 is not None and self.reference_top1 is not None:
            text += f", top-1 {self.top1:.2%} (fp32 {self.reference_top1:.2%})"
        return f"{text}, median margin {self.median_margin:.2f}, widest flip {self.widest_flip:.2f}"


def compare(reference: Network, other: Network, images: Images, precision: str) -> Proof:
    """Run both over the images and say how they differ."""
    return judge(answers(reference, images), answers(other, images), images, precision)


def answers(network: Network, images: Images) -> Logits:
    """Answers to every image, in batches; the last is smaller, so a batch that is not dynamic shows."""
    starts = range(0, len(images), _BATCH)
    return np.concatenate([np.asarray(network(images.pixels[at : at + _BATCH])) for at in starts])


def judge(want: Logits, got: Logits, images: Images, precision: str) -> Proof:
    if want.shape != got.shape:
        raise GateError(
            f"the exported network answers {got.shape} where the trained one answers {want.shape}; report this"
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


def check(proof: Proof, accept_drop: float = 1 - LEAST_AGREEMENT) -> None:
    """Raise GateError, saying by how much, when a proof does not hold."""
    if not proof.alive:
        raise GateError(
            "the trained network says the same of every image (or nothing finite), so nothing can be proven; train it first"
        )
    if proof.precision == "fp32":
        if proof.difference > MOST_DIFFERENCE:
            raise GateError(
                f"fp32 export differs by {proof.difference:.1e} of the largest answer, at most {MOST_DIFFERENCE:.0e} is allowed; report this network"
            )
        return
    if proof.kept < 1 - accept_drop - 1e-9:
        what = "top-1" if proof.top1 is not None else "answers"
        raise GateError(
            f"{proof.precision} keeps {proof.kept:.2%} of fp32's {what} on {proof.n} images, {1 - accept_drop:.2%} is required; "
            f"use fp32{' or bf16' if proof.precision == 'int8' else ''}, or allow it with --accept-drop {_up(1 - proof.kept)}"
        )


def _up(share: float) -> str:
    """Rounded up to a thousandth, so that what is suggested suffices."""
    return f"{np.ceil(share * 1000 - 1e-9) / 1000:.3f}"


def _margins(scores: Logits) -> NDArray[np.float64]:
    if scores.shape[1] < 2:
        return np.ones(len(scores))
    shares = np.sort(softmax(scores), axis=1)
    return shares[:, -1] - shares[:, -2]
