"""What a checkpoint is: its family and spec, and of every field whether it is known, a convention, or unknown, and why."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from plusx.bundles import Bundle
from plusx.errors import DataError, SpecError, WeightsError
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec, parse
from plusx.weights.beside import beside, bundle_around, classes_beside, refusal_beside
from plusx.weights.candidates import Candidate, choose, find
from plusx.weights.extras import class_names, groups_of
from plusx.weights.facts import Layers, disagreement, eps_of, refusal, settle
from plusx.weights.families import FAMILIES, Family, Seen
from plusx.weights.fields import Verdict, judge
from plusx.weights.flattening import FlatFile, flatten
from plusx.weights.identification import IN_FILE, Identification
from plusx.weights.nearest import differences, fitting_spec, nothing_found
from plusx.weights.plan import make_plan
from plusx.weights.published import as_published
from plusx.weights.stored import StoredFile
from plusx.weights.suspicious import suspicious


def identify(source: str | Path | StoredFile, key: str | None = None) -> Identification:
    """What the file at `source` is; `key` names one of several networks in it, by its path or a part of that.

    Raises WeightsError where no ResNet is found, or where several differ and none is named.
    """
    stored = read(source)
    with ThreadPoolExecutor(1) as other:  # the hash takes as long as all the rest, and holds no lock
        digest = other.submit(_sha256, stored.path)
        found = _identify(stored, key)
        return as_published(replace(found, sha256=digest.result()))


def _identify(stored: StoredFile, key: str | None) -> Identification:
    if stored.container == "onnx":
        from plusx.weights.onnx_files import identify_onnx

        return identify_onnx(stored)
    flat = flatten(stored)
    candidates = find(flat)
    if not any(candidate.complete for candidate in candidates):
        raise WeightsError(nothing_found(stored.path, flat, candidates))
    candidate, same = choose(flat, candidates, key, stored.path)
    if not candidate.complete:
        raise WeightsError(nothing_found(stored.path, flat, [candidate]))
    return _identified(stored, flat, candidate, tuple(other.path for other in same))


def read(source: str | Path | StoredFile) -> StoredFile:
    if isinstance(source, StoredFile):
        return source
    from plusx.weights.containers import read as read_file

    return read_file(Path(source))


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identified(stored: StoredFile, flat: FlatFile, candidate: Candidate, same: tuple[str, ...]) -> Identification:
    wrapper, prefix = candidate.common(flat)
    family, family_why = _family(flat, candidate)
    plan = make_plan(flat, candidate, family)
    taken = set(plan.keys.values()) | set(plan.dropped) | set(plan.factors.values())
    found = Identification(
        path=stored.path, container=stored.container, family=family.name, family_why=family_why, spec=None, fields={},
        needs={}, wrapper=wrapper, prefix=prefix, others=same, set_aside=groups_of(flat, taken), classes=None,
        dtypes=Counter(flat.tensors[name].dtype for name in plan.keys.values()), suspicious=(),
        notes=(*flat.notes, *plan.notes), sha256=None, colour=_colour(family),
        preprocessing=family.preprocessing, preprocessing_source=family.source, plan=plan, naming=candidate.naming, eps={} if family.eps == 1e-5 else {"": family.eps},
    )  # fmt: skip
    refuses = family.refuses or plan.refuses
    if refuses is None and candidate.strangers:
        refuses = f"its blocks have parts that plusx does not know: {', '.join(candidate.strangers[:4])}"
    if refuses is not None:
        return replace(found, refuses=refuses)
    found = replace(found, suspicious=suspicious(flat, plan))
    return _with_spec(found, stored, flat, family, Layers(stored.layers, plan.keys, candidate.prefix))


def _with_spec(
    found: Identification, stored: StoredFile, flat: FlatFile, family: Family, layers: Layers
) -> Identification:
    spec, misfit = fitting_spec(found.plan.shapes)
    if spec is None:
        return replace(found, refuses=misfit)
    told = settle(layers, spec) | beside(stored, found.family)
    bundle = bundle_around(stored)
    written = _written(stored, found, bundle)
    legacy = "bn1.running_mean" in found.plan.shapes and "bn1.num_batches_tracked" not in found.plan.shapes
    try:
        spec, fields, needs = judge(spec, found.plan.shapes, family, told, written, old=legacy, dense=_dense(found))
    except SpecError as error:
        return replace(found, refuses=f"its layers make no network of plusx ({error})")
    refuses = refusal(layers, told) or refusal_beside(stored, found.family)
    if written is None and stored.layers:
        spec, differs = disagreement(layers, spec)
        refuses = refuses or differs
        if "dilate" in fields:
            fields["dilate"] = replace(fields["dilate"], value=spec.dilate)
    norms = [key.removesuffix(".running_var") for key in found.plan.shapes if key.endswith(".running_var")]
    eps = dict(found.eps) | {
        path: value for path, value in eps_of(layers, norms).items() if value != found.eps.get("", 1e-5)
    }
    return replace(
        found, spec=spec, notes=(*found.notes, *_embedding(found, spec)), fields=fields, needs=needs, refuses=refuses, eps=eps,
        classes=class_names(flat, spec.classes) or (bundle and bundle.classes) or classes_beside(stored, found.family, spec.classes),
        preprocessing=_written_preprocessing(stored, bundle) if written else _preprocessing(found.preprocessing, spec),
        preprocessing_source=IN_FILE if written else found.preprocessing_source,
        family="plusx" if written else found.family, family_why=f"{'its bundle' if bundle else 'the file'} says its spec" if written else found.family_why,
    )  # fmt: skip


DENSE = re.compile(r"aspp|decode_head\.|psp_modules|(^|\.)ppm\.|segmentation_head\.|aux_classifier\.|conv2d_list")


def _dense(found: Identification) -> str | None:
    """The first tensor beside the network that belongs to a head for segmentation."""
    return next((key for group in found.set_aside for key in group.keys if DENSE.search(key)), None)


def _embedding(found: Identification, spec: ResNetSpec) -> tuple[str, ...]:
    if found.family == "self-supervised" and spec.classes not in (0, 1000):
        return (f"its fc gives an embedding of {spec.classes} numbers rather than classes",)
    return ()


def _written(stored: StoredFile, found: Identification, bundle: Bundle | None) -> ResNetSpec | None:
    """The spec that plusx wrote into the file or its bundle, if it did and the tensors are those of it."""
    text = stored.metadata.get("plusx.spec") if bundle is None else str(bundle.spec)
    if text is None:
        return None
    try:
        spec = parse(text)
    except SpecError as error:
        raise WeightsError(f"{stored.path} names {text[:200]!r} as its spec, which cannot be read: {error}") from None
    differs = differences(found.plan.shapes, spec)
    if differs:
        raise WeightsError(f"{stored.path} says that it is {spec}, but {differs}. Use another copy.")
    return spec


def _written_preprocessing(stored: StoredFile, bundle: Bundle | None) -> Preprocessing | None:
    """The preprocessing that plusx wrote into the file or its bundle; None where it knew none. Raises WeightsError."""
    if bundle is not None:
        return bundle.preprocessing
    text = stored.metadata.get("plusx.preprocessing")
    if text is None:
        return None
    try:
        return Preprocessing.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, DataError):
        raise WeightsError(
            f"{stored.path} holds a plusx.preprocessing that cannot be read. Use another copy."
        ) from None


def _colour(family: Family) -> Verdict:
    where = f" ({family.source})" if family.source else ""
    return Verdict(family.colour, "convention", f"images come as {family.colour} there{where}")


def _preprocessing(convention: Preprocessing | None, spec: ResNetSpec) -> Preprocessing | None:
    """The family's, where the network takes its channels; a stem for small images takes them at 32 px."""
    if convention is None or spec.in_channels != convention.channels:
        return None
    small = spec.stem == "3x3" and convention.crop_px != 32
    return replace(convention, resize_px=32, crop_px=32) if small else convention


def _family(flat: FlatFile, candidate: Candidate) -> tuple[Family, str]:
    taken = set(candidate.keys.values())
    start = candidate.prefix
    seen = Seen(
        naming=candidate.naming.name,
        shapes=candidate.shapes(flat),
        theirs={key: _local(candidate.naming.clean(name), start) for key, name in candidate.keys.items()},
        prefix=start,
        around=tuple(name for name in flat.tensors if name not in taken),
        facts=flat.facts,
    )
    for family in FAMILIES:
        why = family.sign(seen) if family.naming == candidate.naming.name else None
        if why:
            return family, why
    raise WeightsError(f"no family claims {candidate.naming.name} names. Report this as a fault of plusx.")


def _local(name: str, prefix: str) -> str:
    return name[len(prefix) :] if name.startswith(prefix) else name
