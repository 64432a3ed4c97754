"""Multinomial logistic regression with scikit-learn: one problem after another, each begun at the solution before."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plusx.errors import missing
from plusx.runtime import processor

Floats = NDArray[np.floating]
_SHARED = 1 << 22
"""Numbers in x from which several threads compute: with fewer they wait for each other, on a busy machine for seconds."""


@dataclass(frozen=True, eq=False)
class Standardisation:
    """x → (x - mean) / scale, float64 (d,) each; a feature that never changes has scale 1."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> Standardisation:
        mean, scale = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
        flat = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
        return cls(mean, np.where(flat, 1.0, scale))

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        return (vectors - self.mean) / self.scale

    def undo(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> tuple[Floats, Floats]:
        """A classifier of raw vectors: weight (k, d) and bias (k,) for which the logits are the same."""
        raw = weight / self.scale
        return raw, bias - raw @ self.mean


@dataclass(frozen=True, eq=False)
class Span:
    """Vectors in coordinates of the space that they span: `inner` (n, r) with r ≤ min(n, d), basis (d, r) orthonormal.

    With an L2 penalty the solution for any of the vectors lies in their span (the representer theorem), and a rotation
    changes neither the penalty nor the logits. So with fewer vectors than features the problem in r numbers has the same
    solution as in d: weight = inner weight @ basis.T.
    """

    inner: Floats
    basis: NDArray[np.float64] | None

    @classmethod
    def of(cls, vectors: NDArray[np.float64]) -> Span:
        """The span of (n, d); with n ≥ d nothing is gained and the coordinates stay."""
        if vectors.shape[0] >= vectors.shape[1]:
            return cls(vectors, None)
        basis, triangle = np.linalg.qr(vectors.T)
        return cls(np.ascontiguousarray(triangle.T), basis)

    def project(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Any vectors (m, d) in these coordinates, (m, r)."""
        return vectors if self.basis is None else vectors @ self.basis

    def outer(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """A weight (k, r) of these coordinates as one (k, d) of the vectors."""
        return weight if self.basis is None else weight @ self.basis.T


@contextmanager
def computing_threads(numbers: int, threads: int | None = None) -> Iterator[None]:
    """Inside, numpy and scikit-learn compute on `threads` (None: all that plusx may use) where x has many numbers, else on one."""
    try:
        from threadpoolctl import threadpool_limits  # scikit-learn needs it
    except ModuleNotFoundError as error:
        raise missing("sklearn") from error
    with threadpool_limits(processor.threads(threads) if numbers >= _SHARED else 1):
        yield


class Classifier:
    """A logistic regression of `classes` classes whose fits begin at the last solution."""

    def __init__(self, classes: int, *, tolerance: float, steps: int) -> None:
        """`tolerance`: of the largest gradient; `steps` of L-BFGS at most. Raises MissingExtra."""
        self.classes = classes
        try:
            from sklearn.linear_model import LogisticRegression
        except ModuleNotFoundError as error:
            raise missing("sklearn") from error
        self._model = LogisticRegression(warm_start=True, tol=tolerance, max_iter=steps)

    def fit(self, x: Floats, labels: NDArray[np.int64], c: float, weights: Floats | None = None) -> None:
        """Minimises C · Σ weight · loss + ‖w‖² / 2; every class occurs in `labels`."""
        self._model.C = c
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the steps did not suffice: early stopping regularises too
            self._model.fit(x, labels, sample_weight=weights)

    @property
    def weight(self) -> NDArray[np.float64]:
        """float64 (classes, r)"""
        return self._both(np.asarray(self._model.coef_, dtype=np.float64))

    @property
    def bias(self) -> NDArray[np.float64]:
        """float64 (classes,)"""
        return self._both(np.asarray(self._model.intercept_, dtype=np.float64))

    def logits(self, x: Floats) -> NDArray[np.float64]:
        return x @ self.weight.T + self.bias

    def _both(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """scikit-learn has one row for two classes, the difference of their logits."""
        return found if self.classes > 2 else np.concatenate([-found / 2, found / 2])


def log_likelihoods(logits: Floats) -> NDArray[np.float64]:
    """log softmax along the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def mean_nll(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The mean negative log-likelihood in nats."""
    return float(-log_likelihoods(logits)[np.arange(len(labels)), labels].mean())


def temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The T for which logits / T have the least negative log-likelihood (Guo et al. 2017, arXiv 1706.04599, section 4.2).

    One image more is supposed whose class nobody knows: where all are right, T would else go to 0 and the probabilities
    to certainty, for the same reason as Platt's targets (1999, section 2.2).
    """
    n = len(labels)
    share = 1 / (n + 1)
    rows = np.arange(n)

    def loss(log_t: float) -> float:
        found = log_likelihoods(logits / np.exp(log_t))
        return float(-(1 - share) * found[rows, labels].mean() - share * found.mean())

    return float(np.exp(_least(loss, np.log(1 / 50), np.log(50))))


def _least(function: Callable[[float], float], low: float, high: float, steps: int = 40) -> float:
    """Where a function with one valley is least, by golden sections."""
    ratio = (5**0.5 - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = function(a), function(b)
    for _step in range(steps):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = function(b)
    return (low + high) / 2
