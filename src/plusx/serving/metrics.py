"""Counts of the server in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats).

Labels are bounded: routes and statuses are plusx's own, models those that are served.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from plusx.serving.repository import Repository
from plusx.version import __version__

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of request times."""
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What has happened since the start. Any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._images: Counter[tuple[str, str]] = Counter()
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(SECONDS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._batches: Counter[tuple[str, int]] = Counter()
        self._batched: Counter[tuple[str, int]] = Counter()

    def request(self, route: str, status: int, seconds: float) -> None:
        with self._lock:
            self._requests[route, status] += 1
            bucket = next((i for i, most in enumerate(SECONDS) if seconds <= most), len(SECONDS))
            self._buckets[route][bucket] += 1
            self._seconds[route] += seconds

    def images(self, model: str, good: int, bad: int) -> None:
        with self._lock:
            self._images[model, "classified"] += good
            self._images[model, "unreadable"] += bad

    def batch(self, model: str, version: int, size: int) -> None:
        with self._lock:
            self._batches[model, version] += 1
            self._batched[model, version] += size

    def text(self, repository: Repository) -> str:
        """All of it, with the state of the models."""
        with self._lock:
            return "\n".join(self._lines(repository)) + "\n"

    def _lines(self, repository: Repository) -> Iterator[str]:
        models = list(repository)
        yield from _family("plusx_info", "gauge", "The version of plusx.", {(("version", __version__),): 1})
        yield from _family(
            "plusx_model_info", "gauge", "Each served model, its engine and its weights.",
            {(*_of(m.name, m.version), ("engine", m.plan.engine), ("precision", m.plan.precision),
              ("weights", m.bundle.weights_sha256[:12])): 1 for m in models},
        )  # fmt: skip
        yield from _family(
            "plusx_requests_total", "counter", "Requests answered.",
            {(("route", route), ("status", str(status))): n for (route, status), n in self._requests.items()},
        )  # fmt: skip
        yield from self._histogram()
        yield from _family(
            "plusx_images_total", "counter", "Images of answered requests.",
            {(("model", model), ("result", result)): n for (model, result), n in self._images.items()},
        )  # fmt: skip
        for name, what, counts in (
            ("plusx_batches_total", "Batches computed.", self._batches),
            ("plusx_batched_images_total", "Images in the batches computed.", self._batched),
        ):
            yield from _family(name, "counter", what, {_of(*key): n for key, n in counts.items()})
        yield from _family(
            "plusx_waiting_images", "gauge", "Images in the queue.",
            {_of(m.name, m.version): m.batcher.waiting for m in models},
        )  # fmt: skip
        yield from _family(
            "plusx_computing_workers", "gauge", "Workers that compute now.",
            {_of(m.name, m.version): m.batcher.computing for m in models},
        )  # fmt: skip
        yield from _family(
            "plusx_model_loads_total", "counter", "Bundles loaded, and changed bundles that were refused.",
            {(("model", name), ("result", result)): n for (name, result), n in repository.loads.items()},
        )  # fmt: skip
        if (resident := resident_bytes()) is not None:
            yield from _family("process_resident_memory_bytes", "gauge", "Resident memory.", {(): resident})

    def _histogram(self) -> Iterator[str]:
        name = "plusx_request_seconds"
        yield f"# HELP {name} Seconds from the headers of a request to the end of its answer."
        yield f"# TYPE {name} histogram"
        for route, counts in sorted(self._buckets.items()):
            total = 0
            for bound, n in zip((*map(str, SECONDS), "+Inf"), counts, strict=True):
                total += n
                yield f"{name}_bucket{_labels((('route', route), ('le', bound)))} {total}"
            yield f"{name}_sum{_labels((('route', route),))} {self._seconds[route]:.6f}"
            yield f"{name}_count{_labels((('route', route),))} {total}"


def resident_bytes() -> int | None:
    """The memory that this process holds, where Linux says so."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _of(name: str, version: int) -> Labels:
    return ("model", name), ("version", str(version))


def _family(name: str, kind: str, what: str, values: Mapping[Labels, int]) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
    for labels, value in sorted(values.items()):
        yield f"{name}{_labels(labels)} {value}"


def _labels(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
