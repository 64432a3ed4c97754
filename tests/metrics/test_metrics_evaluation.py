"""Counters against plain loops and torch's own loss; ties, weights, order and nonsense."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plusx.errors import DataError, RunError
from plusx.metrics import BINS, Counters, wilson

CLASSES = tuple("abcdefgh")


def answers(n: int = 500, k: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(0, 2, (n, k)).astype(np.float32)
    logits[np.arange(n), labels] += 1.5
    return logits, labels


def slowly(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The textbook's loops, in float64."""
    n, k = logits.shape
    out = {"top1": 0.0, "top5": 0.0, "nll": 0.0}
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for row, label in zip(logits.astype(np.float64), labels, strict=True):
        p = np.exp(row - row.max())
        p /= p.sum()
        ranked = sorted(range(k), key=lambda c: (-row[c], c))
        out["top1"] += ranked[0] == label
        out["top5"] += label in ranked[:5]
        out["nll"] -= np.log(p[label])
        which = next(b for b in range(BINS) if p.max() <= (b + 1) / BINS)
        bins[which].append((p.max(), ranked[0] == label))
    out = {key: value / n for key, value in out.items()}
    gaps = [abs(np.mean([c for c, _ in b]) - np.mean([h for _, h in b])) * len(b) for b in bins if b]
    out["ece"] = sum(gaps) / n
    return out


def test_against_plain_loops():
    logits, labels = answers()
    counters = Counters(CLASSES)
    counters.add(logits, labels)
    said, expected = counters.result(), slowly(logits, labels)
    assert said.top1 == expected["top1"] and said.top5 == expected["top5"] and said.n == 500
    assert said.nll == pytest.approx(expected["nll"], abs=1e-7) and said.ece == pytest.approx(expected["ece"], abs=1e-7)
    answer = logits.argmax(axis=1)
    for a in range(8):
        for b in range(8):
            assert said.confusion[a, b] == ((labels == a) & (answer == b)).sum()
    assert [c.n for c in said.per_class] == np.bincount(labels, minlength=8).tolist()
    assert sum(c.correct for c in said.per_class) == said.correct


def test_nll_is_torchs_cross_entropy():
    torch = pytest.importorskip("torch")
    logits, labels = answers(seed=3)
    counters = Counters(CLASSES)
    counters.add(logits * 30, labels)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits * 30, dtype=torch.float64), torch.tensor(labels))
    assert counters.result().nll == pytest.approx(float(theirs), abs=1e-6)


def test_sums_do_not_depend_on_batches_order_or_processes():
    logits, labels = answers(333)
    whole = Counters(CLASSES)
    whole.add(logits, labels)
    for sizes, seed in [((1,) * 333, 0), ((7,) * 48, 1), ((300, 33), 2)]:
        order = np.random.default_rng(seed).permutation(333)
        parts = [Counters(CLASSES) for _ in range(3)]
        at = 0
        for i, size in enumerate(sizes):
            pick = order[at : at + size]
            parts[i % 3].add(logits[pick], labels[pick])
            at += size
        total = Counters(CLASSES)
        total.vector += sum(part.vector for part in parts)
        assert np.array_equal(total.vector, whole.vector)
        assert total.result().to_dict() == whole.result().to_dict()


def test_a_dead_network_is_not_right():
    """With `rank < k` counted by strictly greater scores alone, equal logits would be 100 % right."""
    counters = Counters(CLASSES)
    counters.add(np.zeros((80, 8)), np.arange(80) % 8)
    said = counters.result()
    assert said.top1 == 1 / 8 and said.top5 == 5 / 8
    assert said.nll == pytest.approx(np.log(8), abs=1e-7) and said.ece == pytest.approx(0, abs=1e-7)


def test_weights_leave_images_out_entirely():
    logits, labels = answers(50)
    weights = (np.arange(50) % 3 > 0).astype(float)
    spoilt, named = logits.copy(), labels.copy()
    spoilt[weights == 0], named[weights == 0] = np.nan, -1
    some, kept = Counters(CLASSES), Counters(CLASSES)
    some.add(spoilt, named, weights)
    kept.add(logits[weights > 0], labels[weights > 0])
    assert np.array_equal(some.vector, kept.vector)
    some.add(spoilt, named, np.zeros(50))
    assert np.array_equal(some.vector, kept.vector)
    with pytest.raises(DataError, match="0 or 1"):
        some.add(logits, labels, np.full(50, 0.5))


def test_nonsense_is_refused():
    counters = Counters(CLASSES)
    logits, labels = answers(10)
    for value in (np.nan, np.inf, -np.inf):
        broken = logits.copy()
        broken[4, 2] = value
        with pytest.raises(RunError, match="1 of 10"):
            counters.add(broken, labels)
    for bad in (8, -1):
        with pytest.raises(DataError, match=f"Label {bad} "):
            counters.add(logits, np.where(labels == labels[0], bad, labels))
    for shape in ((10, 7), (9, 8), (10,)):
        with pytest.raises(DataError, match="have shape"):
            counters.add(np.zeros(shape), labels)
    assert counters.vector.sum() == 0, "a refused batch must leave no trace"
    with pytest.raises(DataError):
        Counters(())


def test_empty_and_small():
    said = Counters(("a", "b")).result()
    assert (said.n, said.top1, said.nll, said.ece, said.interval, said.top5) == (0, None, None, None, None, None)
    counters = Counters(("a", "b"))
    counters.add([[0, 1e30]], [0])
    assert counters.result().nll == 1e6 and counters.result().top5 is None
    assert json.loads(json.dumps(counters.result().to_dict()))["confusion"] == [[0, 1], [0, 0]]
    assert "confusion" not in counters.result().to_dict(confusion=False)


@pytest.mark.parametrize(  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_against_newcombes_table(hits, n, low, high):
    found = wilson(hits, n)
    assert found is not None and (round(found[0], 4), round(found[1], 4)) == (low, high)
    mirror = wilson(n - hits, n)
    assert mirror is not None and mirror[0] == pytest.approx(1 - found[1]) and wilson(0, 0) is None
