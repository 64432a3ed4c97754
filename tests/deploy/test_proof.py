"""The gate itself, on made-up answers."""

from __future__ import annotations

import numpy as np
import pytest

from plusx.deploy.proof import check_proof, compare_logits, compare_networks
from plusx.deploy.proof_images import ProofImages
from plusx.errors import GateError

pytest.importorskip("openvino")

N, K = 200, 5


def scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, K)).astype(np.float32)


def images(labels: np.ndarray | None = None) -> ProofImages:
    return ProofImages("made up", np.zeros((N, 2, 2, 1), np.uint8), labels)


def flipped(want: np.ndarray, n: int) -> np.ndarray:
    """The same answers, but the first `n` name the class that was least likely."""
    got = want.copy()
    for row in range(n):
        got[row, want[row].argmin()] = want[row].max() + 1
    return got


def test_a_perfect_copy_passes() -> None:
    for precision in ("fp32", "bf16", "int8"):
        proof = compare_logits(scores(), scores(), images(), precision)
        assert (proof.difference, proof.agreement, proof.widest_flip, proof.kept) == (0, 1, 0, 1)
        check_proof(proof)


@pytest.mark.parametrize(("share", "passes"), [(0.5e-4, True), (2e-4, False)])
def test_fp32_is_judged_by_the_largest_difference(share: float, passes: bool) -> None:
    got = scores()
    got[7, 3] += share * np.abs(got).max()
    proof = compare_logits(scores(), got, images(), "fp32")
    assert proof.difference == pytest.approx(share, rel=0.05)
    if passes:
        return check_proof(proof)
    with pytest.raises(GateError, match=r"differs by 2\.0e-04 of the largest logit, but at most 1e-04 is allowed"):
        check_proof(proof)


def test_without_labels_agreement_counts() -> None:
    check_proof(compare_logits(scores(), flipped(scores(), 2), images(), "int8"))  # 198 of 200 are 99 %
    with pytest.raises(
        GateError,
        match=r"int8 keeps 98\.50% of fp32's predicted classes on 200 images, but 99\.00% is required.*--accept-drop 0\.015",
    ):
        check_proof(compare_logits(scores(), flipped(scores(), 3), images(), "int8"))
    check_proof(compare_logits(scores(), flipped(scores(), 3), images(), "int8"), accept_drop=0.015)


def test_with_labels_top1_counts() -> None:
    """Flips of answers that were wrong cost nothing; top-1 is relative to fp32's."""
    want = scores()
    labels = want.argmax(axis=1)
    labels[:20] = want[:20].argmin(axis=1)
    lucky = compare_logits(want, flipped(want, 10), images(labels), "int8")
    assert (lucky.reference_top1, lucky.top1, lucky.agreement) == (0.9, 0.95, 0.95)
    check_proof(lucky)
    unlucky = compare_logits(want, flipped(want, 24), images(np.roll(labels, 0)), "int8")
    assert unlucky.top1 == pytest.approx(0.9 + 0.1 - 4 / N)
    honest = compare_logits(want, flipped(want, 4), images(want.argmax(axis=1)), "bf16")
    with pytest.raises(GateError, match=r"bf16 keeps 98\.00% of fp32's top-1"):
        check_proof(honest)


def test_margins_say_how_sure_the_flipped_ones_were() -> None:
    want = np.array([[4.0, 0], [0.1, 0]], np.float32).repeat(100, axis=0)
    got = want.copy()
    got[-1] = [0, 0.1]
    proof = compare_logits(want, got, images(), "bf16")
    assert proof.widest_flip == pytest.approx(np.tanh(0.05), rel=1e-3)


@pytest.mark.parametrize(
    "dead",
    [
        np.zeros((N, K), np.float32),
        np.ones((N, 1), np.float32) * np.arange(K, dtype=np.float32),
        np.full((N, K), np.nan, np.float32),
    ],
)
def test_a_dead_reference_proves_nothing(dead: np.ndarray) -> None:
    with pytest.raises(GateError, match="nothing can be proven"):
        check_proof(compare_logits(dead, dead, images(), "bf16"))


def test_nan_answers_do_not_pass() -> None:
    with pytest.raises(GateError, match="differs by inf"):
        check_proof(compare_logits(scores(), np.full((N, K), np.nan, np.float32), images(), "fp32"))


def test_another_shape_is_refused() -> None:
    with pytest.raises(GateError, match="report this"):
        compare_logits(scores(), scores()[:, :3], images(), "fp32")


def test_batches_of_two_sizes_are_run() -> None:
    sizes = []

    def network(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return np.random.default_rng(len(sizes)).standard_normal((len(batch), K)).astype(np.float32)

    compare_networks(network, network, images(), "fp32")
    assert len(set(sizes)) == 2
