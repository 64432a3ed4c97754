"""Training behind frozen layers: their maps of K views of every image are computed once and lie on disk.

With layer1 to layer3 frozen, a step then costs layer4 and the classifier, about a fifth of the network, and decodes nothing.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from plusx.analysis import analyse
from plusx.bundles.atomic import disk_error, write_file
from plusx.data import Data, Skipped, permutation
from plusx.data.prefetch import prefetch
from plusx.errors import BundleError, SpecError
from plusx.evaluation.counting import BATCH
from plusx.graph import lower
from plusx.i18n import _
from plusx.images import Preprocessing, normalise, resize_crop
from plusx.metrics import Counters, Evaluation, Mistakes
from plusx.nn import ResNet
from plusx.nn.device import autocast, memory_format
from plusx.nn.inputs import to_tensor
from plusx.nn.surgery import cut
from plusx.nn.traversal import forward_after
from plusx.training.loader import Batch, BatchLoader
from plusx.training.recipe import Recipe
from plusx.training.schedule import Schedule

CHUNK = 32
"""Images that the frozen part computes at once: fixed, because the last bits of a map may depend on it."""
SAMPLE = 3
SAMPLE_SECONDS = 10.0
"""Batches that measure the frozen part's speed, and how long that may take."""
DESCRIPTION = "maps.json"
FORMAT = 2
"""Counts up when the same images and layers give other bits, so that no store holds both."""
SPARE_BYTES = 1 << 30
"""What stays free on the disk for checkpoints and for other programs."""
AUGMENTATION = ("size", "crop", "area", "shift", "flip", "policy", "erase", "interpolation")
"""Keys of a recipe that decide what the views of an image are."""


@dataclass(frozen=True, eq=False)
class FrozenPart:
    """The layers up to `part`, in eval mode; they compute training maps at `precision` and evaluation maps in fp32."""

    network: ResNet
    exact: ResNet
    """The same layers in torch's own memory layout, as an evaluation of the whole network computes them."""
    part: str
    precision: str
    device: torch.device
    pre: Preprocessing

    @classmethod
    def of(cls, network: ResNet, part: str, precision: str, device: torch.device, pre: Preprocessing) -> FrozenPart:
        """Of a copy of the network's tensors."""
        exact = copy.deepcopy(cut(network, part)).requires_grad_(False).to(device).eval()
        exact.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        fast = copy.deepcopy(exact).to(memory_format=memory_format(precision))  # type: ignore[call-overload]
        return cls(fast, exact, part, precision, device, pre)

    def bf16(self, images: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """The maps of uint8 (n, h, w, c), rounded to bf16, as the bits of that format."""
        x = to_tensor(images, self.pre, self.device).contiguous(memory_format=memory_format(self.precision))
        with torch.inference_mode(), autocast(self.device, self.precision):
            maps = self.network(x).to(torch.bfloat16).cpu().contiguous()
        return maps.view(torch.int16).numpy().view(np.uint16)

    def fp32(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The maps of uint8 (n, h, w, c) as an evaluation computes them."""
        x = normalise(images, self.pre)
        with torch.inference_mode():
            return self.exact(torch.from_numpy(x).to(self.device)).float().cpu().contiguous().numpy()

    def digest(self) -> str:
        """sha256 (hex) of the part's words and tensors."""
        found = hashlib.sha256(f"{self.network.spec}/{self.precision}/{torch.__version__}".encode())
        for name, tensor in self.network.state_dict().items():
            found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()


def from_bf16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The numbers that bits of bf16 stand for, exactly.

    >>> from_bf16(np.array([0x3F80, 0xC000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True)
class MapShape:
    """How large the maps of a data set are."""

    views: int
    n_train: int
    n_val: int
    map: tuple[int, int, int]
    """(channels, height, width) of one."""

    @classmethod
    def of(cls, network: ResNet, recipe: Recipe, n_train: int, n_val: int) -> MapShape:
        """Raises SpecError where the network has no such part."""
        graph = lower(network.spec.replace(until=recipe.freeze, classes=0))
        h, w = (int(side) for side in analyse(graph, recipe.size).rows[-1].out)
        return cls(recipe.views, n_train, n_val, (graph.c_out, h, w))

    @property
    def view_bytes(self) -> int:
        """One view of the training images in bf16."""
        return 2 * self.n_train * int(np.prod(self.map))

    @property
    def val_bytes(self) -> int:
        return 4 * self.n_val * int(np.prod(self.map))

    def bytes(self, views: int) -> int:
        return views * self.view_bytes + self.val_bytes


def place_for(shape: MapShape, places: list[Path]) -> tuple[Path, int]:
    """The first place whose disk has room for all views, else the one with room for most; and how many views fit there.

    Raises BundleError where no disk has room for one.
    """
    room = {place: _free(place) - SPARE_BYTES for place in places}
    fits = {
        place: min(shape.views, (free - shape.val_bytes) // max(1, shape.view_bytes)) for place, free in room.items()
    }
    best = max(places, key=lambda place: fits[place])
    if fits[best] < 1:
        raise BundleError(
            _(
                "The maps of one view of these images take {need:.1f} GB, and the disk of {path} has {free:.1f} GB free. Free "
                "some space, choose another disk with --out, or write views=0, which keeps no maps.",
                need=shape.bytes(1) / 1e9, path=best, free=_free(best) / 1e9,
            )
        )  # fmt: skip
    return best, int(fits[best])


def _free(path: Path) -> int:
    home = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(home).free


class MapStore:
    """Maps on disk: `train` (views, n, c, h, w) as bits of bf16, `val` float32, and which images could be read.

    A store is filled from front to back, chunk by chunk, and says in maps.json how far it is, so that an interrupted
    computation goes on where it was. One of other images, weights or augmentations is begun anew.
    """

    def __init__(self, path: Path, shape: MapShape, key: str) -> None:
        self.path, self.shape, self.key = path, shape, key
        self.done_train, self.done_val = self._read()
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not self.done_train and not self.done_val:
                for name, size in self._sizes().items():
                    _allocate(path / name, size)
            self.train: NDArray[np.uint16] = self._map(
                "train.bf16", np.uint16, (shape.views, shape.n_train, *shape.map)
            )
            self.readable: NDArray[np.bool_] = self._map("readable", np.bool_, (shape.views, shape.n_train))
            self.val: NDArray[np.float32] = self._map("val.f32", np.float32, (shape.n_val, *shape.map))
        except OSError as error:
            self.remove()
            raise disk_error(path, error) from error

    def _map(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
        return np.zeros(shape, dtype) if 0 in shape else np.memmap(self.path / name, dtype, "r+", shape=shape)

    def _sizes(self) -> dict[str, int]:
        shape = self.shape
        return {
            "train.bf16": shape.views * shape.view_bytes,
            "readable": shape.views * shape.n_train,
            "val.f32": shape.val_bytes,
        }

    def _read(self) -> tuple[int, int]:
        """Chunks of the training views and images of validation that are there: (0, 0) unless all of it belongs to `key`."""
        try:
            found = json.loads((self.path / DESCRIPTION).read_text(encoding="utf-8"))
            done_train, done_val = int(found["train"]), int(found["val"])
            if found["key"] != self.key or not 0 <= done_train <= self.chunks or not 0 <= done_val <= self.shape.n_val:
                return 0, 0
            if any((self.path / name).stat().st_size != size for name, size in self._sizes().items()):
                return 0, 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        return done_train, done_val

    @property
    def chunks_per_view(self) -> int:
        return -(-self.shape.n_train // CHUNK)

    @property
    def chunks(self) -> int:
        return self.shape.views * self.chunks_per_view

    @property
    def complete(self) -> bool:
        return self.done_train == self.chunks and self.done_val == self.shape.n_val

    def flush(self) -> None:
        """What was computed so far is on disk, and maps.json says so."""
        for array in (self.train, self.readable, self.val):
            if isinstance(array, np.memmap):
                array.flush()
        state: Mapping[str, Any] = {"key": self.key, "train": self.done_train, "val": self.done_val}
        write_file(self.path / DESCRIPTION, json.dumps(state).encode())

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _allocate(file: Path, size: int) -> None:
    """A file of zeros whose room on the disk is reserved: a page that has none would end the process (SIGBUS)."""
    with file.open("wb") as new:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(new.fileno(), 0, size)
        else:
            for low in range(0, size, 1 << 24):
                new.write(bytes(min(1 << 24, size - low)))


@dataclass(frozen=True, eq=False)
class MapLoader:
    """The batches of a `BatchLoader` with `views`, as maps behind the frozen part; `fill` computes them first."""

    images: BatchLoader
    val: Data
    frozen: FrozenPart
    store: MapStore

    @property
    def schedule(self) -> Schedule:
        return self.images.schedule

    def fill(self, stopped: Callable[[], bool]) -> Iterator[tuple[int, int, tuple[Skipped, ...]]]:
        """Computes what is missing; (maps done, maps in all, images that could not be read) after each chunk.

        Ends early, with everything on disk, when `stopped`. Raises DataError for an unreadable image of validation.
        """
        store, n = self.store, self.store.shape.n_train
        total = store.shape.views * n + store.shape.n_val
        try:
            for view in range(store.done_train // store.chunks_per_view, store.shape.views):
                start = (store.done_train - view * store.chunks_per_view) * CHUNK
                for span, batch in self.images.view(view, start, CHUNK):
                    if stopped():
                        return
                    missing = {skipped.path for skipped in batch.skipped}
                    rows = [i for i in span if self.images.data.path(i) not in missing]
                    if rows:
                        store.train[view, rows] = self.frozen.bf16(batch.images)
                        store.readable[view, rows] = True
                    store.done_train += 1
                    yield min(view * n + span.stop, total), total, batch.skipped if view == 0 else ()
            yield from self._fill_val(stopped, total)
        finally:
            store.flush()

    def _fill_val(self, stopped: Callable[[], bool], total: int) -> Iterator[tuple[int, int, tuple[Skipped, ...]]]:
        store, pre = self.store, self.images.pre
        lows = range(store.done_val, len(self.val), BATCH)
        spans = [range(low, min(low + BATCH, len(self.val))) for low in lows]

        def image(i: int) -> NDArray[np.uint8]:
            return resize_crop(self.val.read(i, pre.mode, pre.decode_px), pre)

        def batch(span: range, found: list[NDArray[np.uint8]]) -> tuple[range, NDArray[np.uint8]]:
            return span, np.stack(found)

        workers = 0 if self.val.images is not None else self.images.workers
        for span, found in prefetch(spans, image, batch, workers):
            if stopped():
                return
            store.val[span.start : span.stop] = self.frozen.fp32(found)
            store.done_val = span.stop
            yield total - len(self.val) + span.stop, total, ()

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches `start` to `stop` - 1; images that could not be read are missing."""
        return self.batches_of(np.arange(self.schedule.n), self.schedule, start, stop)

    def batches_of(self, images: NDArray[np.int64], schedule: Schedule, start: int, stop: int) -> Iterator[Batch]:
        """The same of some images alone, int64 (schedule.n,)."""
        data, known, order = self.images.data, -1, images
        for step in range(start, stop):
            epoch, low, high = schedule.span(step)
            if epoch != known:
                known, order = epoch, images[permutation(schedule.n, self.images.seed, epoch)]
            view, indices = epoch % self.store.shape.views, order[low:high]
            indices = indices[self.store.readable[view, indices]]
            names = [data.path(int(i)) for i in indices]
            yield Batch(from_bf16(self.store.train[view, indices]), data.labels[indices], names)

    def evaluate(self, network: nn.Module, stopped: Callable[[], bool]) -> Evaluation | None:
        """The Evaluation that the whole network gives on the validation part, computed from its maps; None when stopped."""
        counters, seen = Counters(self.val.classes), Mistakes()
        for low in range(0, len(self.val), BATCH):
            if stopped():
                return None
            maps = np.array(self.store.val[low : low + BATCH])
            found, labels = (
                tail_logits(network, self.frozen.part, maps, self.frozen.device),
                self.val.labels[low : low + BATCH],
            )
            counters.add(found, labels)
            seen.add(range(low, low + len(labels)), found, labels)
        return replace(counters.result(), mistakes=seen.result())


@dataclass(frozen=True, eq=False)
class MapSample:
    """The first batches as maps in memory, to measure a training's speed before anything is kept; `seconds` a map took."""

    frozen: FrozenPart
    found: list[Batch]
    seconds: float

    @classmethod
    def of(cls, frozen: FrozenPart, images: BatchLoader, stopped: Callable[[], bool]) -> MapSample | None:
        """Of at most three batches, fewer where they are slow; None when stopped."""
        found: list[Batch] = []
        n, times = 0, [time.monotonic()]
        for batch in images.batches(0, min(SAMPLE, images.schedule.steps)):
            if stopped():
                return None
            found.append(replace(batch, images=from_bf16(frozen.bf16(batch.images))))
            times.append(time.monotonic())
            n += len(batch.labels) if len(found) > 1 else 0
            if times[-1] - times[0] > SAMPLE_SECONDS:
                break
        seconds = (times[-1] - times[1]) / n if n else (times[-1] - times[0]) / max(1, len(found[0].labels))
        return cls(frozen, found, seconds)

    @property
    def n(self) -> int:
        return max(1, len(self.found[0].labels))

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        yield from (self.found[step % len(self.found)] for step in range(start, stop))

    def evaluate(self, network: nn.Module, stopped: Callable[[], bool]) -> None:
        """Computes the logits of `n` maps, whose counts nobody needs."""
        if len(self.found[0].labels):
            tail_logits(network, self.frozen.part, self.found[0].images, self.frozen.device)


def tail_logits(network: nn.Module, part: str, maps: NDArray[np.float32], device: torch.device) -> NDArray[np.float32]:
    """float32 (n, classes) of the layers behind `part`, which are in eval mode, for that part's maps (n, c, h, w)."""
    if not isinstance(network, ResNet):
        raise SpecError(_("{kind} is not a network of plusx.", kind=type(network).__name__))
    with torch.inference_mode():
        return forward_after(network, part, torch.from_numpy(maps).to(device)).float().cpu().numpy()


def key_of(frozen: FrozenPart, images: BatchLoader, val: Data) -> str:
    """What the maps depend on: the frozen part, the images, how they are prepared and augmented, and the seed."""
    augmentation = {name: getattr(images.recipe, name) for name in AUGMENTATION}
    parts = (
        FORMAT,
        frozen.digest(),
        images.data.fingerprint,
        val.fingerprint,
        images.pre.to_dict(),
        augmentation,
        images.seed,
    )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
