"""What a part of a result says about itself: of which job it is, which rows it has, and the hashes of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from plusx.bundles import Bundle
from plusx.bundles.atomic import sealed_bytes
from plusx.errors import BundleError, DataError
from plusx.i18n import Message, _
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.exports import engine_folder
from plusx.version import __version__

SCHEMA = "plusx.part/1"
MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class JobIdentity:
    """What the parts of one result have in common; where two differ here, they do not belong together.

    `inputs` images with the names of `inputs_sha256`; `network` is the hash of what computes, `plan` its engine and
    precision; `width` is the length of a feature vector, `top` the classes of an image, and the other is None.
    """

    command: str
    form: str
    inputs: int
    inputs_sha256: str
    network: str
    plan: str
    exact_decode: bool = False
    top: int | None = None
    threshold: float | None = None
    at: str | None = None
    width: int | None = None

    def difference(self, other: JobIdentity) -> Message | None:
        """What differs, first of all, as a clause; None for the same job."""
        for name, what in _DIFFERENCES.items():
            if getattr(self, name) != getattr(other, name):
                return _("{what} differs: {one}, {other}", what=what,
                         one=_short(getattr(self, name)), other=_short(getattr(other, name)))  # fmt: skip
        return None


_DIFFERENCES: dict[str, Message | str] = {
    "command": _("the command"), "inputs": _("the number of images"), "inputs_sha256": _("the list of images"),
    "network": _("the network (weights, classes or preprocessing)"), "plan": _("the engine or precision"), "top": "--top",
    "threshold": "--threshold", "at": "--at", "exact_decode": "--exact-decode", "width": _("the length of a vector"),
    "form": _("the format"),
}  # fmt: skip


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


@dataclass(frozen=True)
class PartManifest:
    """Rows `start` to `stop` (without it) of a job, in `files` (name → bytes, sha256) beside the manifest or above it.

    `shard` is (i, n) and `typed` the words of the command, for a command that computes what is missing.
    """

    job: JobIdentity
    start: int
    stop: int
    unreadable: int
    files: Mapping[str, Mapping[str, Any]]
    shard: tuple[int, int] | None = None
    typed: Sequence[str] = field(default=(), compare=False)

    def to_bytes(self) -> bytes:
        about = {**asdict(self), "schema": SCHEMA, "version": __version__}
        return sealed_bytes({"schema": about.pop("schema"), "version": about.pop("version"), **about})


def parse_manifest(raw: bytes, address: str) -> PartManifest:
    """The manifest in a file's bytes. Raises BundleError for damage, DataError for another file."""
    try:
        found = json.loads(raw)
        schema = found["schema"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise DataError(
            _("{path} is no manifest of a part. Remove it, or give another folder.", path=address)
        ) from error
    if schema != SCHEMA:
        raise DataError(
            _(
                "{path} has the schema {said!r} instead of {schema!r}. Remove it, or give another folder.",
                path=address,
                said=str(schema)[:40],
                schema=SCHEMA,
            )
        )
    try:
        if sealed_bytes(found) != raw:
            raise ValueError
        job = JobIdentity(**{each.name: found["job"][each.name] for each in fields(JobIdentity)})
        shard = found["shard"] and (int(found["shard"][0]), int(found["shard"][1]))
        files = {
            str(name): {"bytes": int(f["bytes"]), "sha256": str(f["sha256"])} for name, f in found["files"].items()
        }
        if any("/" in name or "\\" in name or name in ("", ".", "..") for name in files) or not files:
            raise ValueError
        return PartManifest(
            job, int(found["start"]), int(found["stop"]), int(found["unreadable"]), files, shard,
            tuple(map(str, found["typed"])),
        )  # fmt: skip
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BundleError(
            _("{path} was changed after it was written. Remove it, and compute the part again.", path=address)
        ) from error


def network_hash(bundle: Bundle, plan: ExecutionPlan) -> str:
    """The hash of all that decides a row: weights, classes, preprocessing, and the export's files where one computes."""
    folder = f"{engine_folder(plan.engine, plan.precision)}/"
    export = plan.precision == "int8" or plan.engine == "onnxruntime"
    about = [
        bundle.weights_sha256, str(bundle.spec), list(bundle.classes), bundle.preprocessing.to_dict(),
        {name: entry["sha256"] for name, entry in bundle.files.items() if export and name.startswith(folder)},
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
