"""The content of bundle.json and run.json as records: parsed once, when a file is opened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from plusx.images import Preprocessing
from plusx.settings import MAX_SEED, check_threads
from plusx.specs import ResNetSpec

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class PartRecord:
    """A part of the data, train or val: number of images, and the fingerprint of their names, sizes and labels."""

    n: int
    fingerprint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return _present(n=self.n, fingerprint=self.fingerprint)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PartRecord:
        """Raises KeyError, TypeError or ValueError, naming the key."""
        return cls(_need(values, "n", int), _get(values, "fingerprint", str))


@dataclass(frozen=True)
class DataRecord:
    """The data of a training. What was not written is None; `path` is None for data that lay in memory."""

    kind: str | None = None
    path: str | None = None
    fingerprint: str | None = None
    classes: tuple[str, ...] = ()
    n: int | None = None
    train: PartRecord | None = None
    val: PartRecord | None = None
    val_split: float | None = None
    path_column: str | None = None
    label_column: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return _present(
            kind=self.kind, fingerprint=self.fingerprint, classes=list(self.classes) or None, n=self.n,
            train=self.train and self.train.to_dict(), val=self.val and self.val.to_dict(), path=self.path,
            val_split=self.val_split, path_column=self.path_column, label_column=self.label_column,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataRecord:
        """Raises KeyError, TypeError or ValueError, naming the key."""
        train, val = (_get(values, key, dict) for key in ("train", "val"))
        return cls(
            kind=_get(values, "kind", str),
            path=_get(values, "path", str),
            fingerprint=_get(values, "fingerprint", str),
            classes=_texts(values, "classes"),
            n=_get(values, "n", int),
            train=None if train is None else PartRecord.from_dict(train),
            val=None if val is None else PartRecord.from_dict(val),
            val_split=_number(values, "val_split"),
            path_column=_get(values, "path_column", str),
            label_column=_get(values, "label_column", str),
        )


@dataclass(frozen=True)
class Provenance:
    """Where a bundle's weights come from: the training that made them. `other` holds keys that plusx gives no meaning to."""

    network: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    step: int | None = None
    data: DataRecord = DataRecord()
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return _present(
            network=self.network, recipe=dict(self.recipe) or None, seed=self.seed, step=self.step,
            data=self.data.to_dict() or None, device=self.device, precision=self.precision, threads=self.threads,
            versions=dict(self.versions) or None, **self.other,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Provenance:
        """Raises KeyError, TypeError or ValueError, naming the key."""
        known = ("network", "recipe", "seed", "step", "data", "device", "precision", "threads", "versions")
        return cls(
            network=_get(values, "network", str),
            recipe=_get(values, "recipe", dict) or {},
            seed=_get(values, "seed", int),
            step=_get(values, "step", int),
            data=DataRecord.from_dict(_get(values, "data", dict) or {}),
            device=_get(values, "device", str),
            precision=_get(values, "precision", str),
            threads=_threads(values),
            versions=_get(values, "versions", dict) or {},
            other={key: value for key, value in values.items() if key not in known},
        )


@dataclass(frozen=True)
class RunRecord:
    """A training run as run.json describes it, and the paths of its parts."""

    path: Path
    command: tuple[str, ...]
    spec: ResNetSpec
    network: str
    recipe: Mapping[str, Any]
    data: DataRecord
    seed: int
    versions: Mapping[str, str]
    preprocessing: Preprocessing | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    world_size: int | None = None
    """Number of processes."""
    began: datetime | None = None
    stages: tuple[str, ...] = ()
    """Of a run in stages, which has them in place of epochs; `minutes` is the time that they may take together."""
    minutes: float | None = None
    first_weights: str | None = None
    """sha256 of the weights that it began with, where its seed does not make them."""
    job: tuple[str, ...] = ()
    """The torchrun agents that began it, one a machine."""
    machine: str | None = None
    """The processor that began it."""

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    def provenance(self, step: int) -> Provenance:
        """Where weights of this run come from that were kept after `step`."""
        return Provenance(
            self.network, self.recipe, self.seed, step, self.data, self.device, self.precision, self.threads, self.versions
        )  # fmt: skip

    @classmethod
    def from_dict(cls, path: Path, values: Mapping[str, Any]) -> RunRecord:
        """Raises KeyError or TypeError, naming the key, and SpecError, DataError for a spec or preprocessing that cannot be."""
        spec = ResNetSpec.from_dict(_need(values, "spec", dict))
        pre, began = _get(values, "preprocessing", dict), _get(values, "began", str)
        return cls(
            path=path,
            command=_texts(values, "command", needed=True),
            spec=spec,
            network=_get(values, "network", str) or str(spec),
            recipe=_need(values, "recipe", dict),
            data=DataRecord.from_dict(_need(values, "data", dict)),
            seed=_need(values, "seed", int),
            versions=_need(values, "versions", dict),
            preprocessing=None if pre is None else Preprocessing.from_dict(pre),
            device=_get(values, "device", str),
            precision=_get(values, "precision", str),
            threads=_threads(values),
            world_size=_get(values, "world_size", int),
            began=None if began is None else datetime.fromisoformat(began),
            stages=_texts(values, "stages"),
            minutes=_number(values, "minutes", math.inf),
            first_weights=_get(values, "first_weights", str),
            job=_texts(values, "job"),
            machine=_get(values, "machine", str),
        )


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _get(values: Mapping[str, Any], key: str, kind: type[Kind]) -> Kind | None:
    """The value of a key in the kind that it must have; None where it is absent or null."""
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(key)
    if isinstance(value, int) and abs(value) > MAX_SEED:
        raise ValueError(key)
    return value


def _threads(values: Mapping[str, Any]) -> int | None:
    found = _get(values, "threads", int)
    return None if found is None else check_threads(found)


def _need(values: Mapping[str, Any], key: str, kind: type[Kind]) -> Kind:
    if key not in values:
        raise KeyError(key)
    value = _get(values, key, kind)
    if value is None:
        raise TypeError(key)
    return value


def _texts(values: Mapping[str, Any], key: str, *, needed: bool = False) -> tuple[str, ...]:
    found = _need(values, key, list) if needed else _get(values, key, list)
    if not all(isinstance(text, str) for text in found or ()):
        raise TypeError(key)
    return tuple(found or ())


def _number(values: Mapping[str, Any], key: str, most: float = 1) -> float | None:
    value = values.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(key)
    if value is not None and not 0 <= value <= most:
        raise ValueError(key)
    return value
