"""identify(): the family and spec of a checkpoint, and of every field whether it is known, a convention or unknown."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from plusx.bundles import Bundle
from plusx.errors import DataError, SpecError, WeightsError
from plusx.files import open_regular
from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec, parse
from plusx.weights.families import FAMILIES, Family, Seen
from plusx.weights.families.surroundings import SEGMENTATION_HEAD
from plusx.weights.identification.candidates import Candidate, choose, find
from plusx.weights.identification.flat_file import FlatFile, flatten
from plusx.weights.identification.hub_facts import with_hub_facts
from plusx.weights.identification.known_files import with_known_file
from plusx.weights.identification.layer_facts import Layers, disagreement, eps_of, fields_of_layers, refusal
from plusx.weights.identification.nearest_preset import differences, fitting_spec, nothing_found
from plusx.weights.identification.neighbours import bundle_around, config_classes, config_fields, config_refusal
from plusx.weights.identification.result import IN_FILE, Identification
from plusx.weights.identification.set_aside import class_names, groups_of
from plusx.weights.identification.suspicious_values import suspicious
from plusx.weights.identification.tensor_plan import make_plan
from plusx.weights.identification.verdicts import Verdict, decide_fields
from plusx.weights.stored import StoredFile


def identify(source: str | Path | StoredFile, key: str | None = None) -> Identification:
    """What the file at `source` is; `key` names one of several networks in it, by its path or a part of that.

    Raises WeightsError where no ResNet is found, or where several differ and none is named; and what `read` raises.
    """
    stored = read(source)
    with ThreadPoolExecutor(1) as other:  # the hash takes as long as all the rest, and holds no lock
        digest = other.submit(_sha256, stored.path)
        found = _identify(stored, key)
        return with_hub_facts(with_known_file(replace(found, sha256=digest.result())), stored)


def _identify(stored: StoredFile, key: str | None) -> Identification:
    if stored.container == "onnx":
        from plusx.weights.identification.onnx_file import identify_onnx

        return identify_onnx(stored)
    flat = flatten(stored)
    candidates = find(flat)
    if not any(candidate.complete for candidate in candidates):
        raise WeightsError(nothing_found(stored.path, flat, candidates))
    candidate, same = choose(flat, candidates, key, stored.path)
    if not candidate.complete:
        raise WeightsError(nothing_found(stored.path, flat, [candidate]))
    return _identified(stored, flat, candidate, tuple(other.path for other in same))


def read(source: str | Path | StoredFile, network: ResNetSpec | None = None) -> StoredFile:
    """The file at a path or of a hub's name, which is fetched; `network` says which weights `imagenet` stands for.

    Raises WeightsError, and for names what `fetch` raises.
    """
    if isinstance(source, StoredFile):
        return source
    from plusx.weights.containers import read as read_file
    from plusx.weights.hub.fetching import local_file

    found = local_file(source, network)
    return read_file(found) if isinstance(found, Path) else replace(read_file(found.path), fetched=found)


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with open_regular(path) as file:
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
        refuses = _("its blocks have unknown parts: {names}", names=", ".join(candidate.strangers[:4]))
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
    stated = fields_of_layers(layers, spec) | config_fields(stored, family)
    bundle = bundle_around(stored)
    written = _written(stored, found, bundle)
    legacy = "bn1.running_mean" in found.plan.shapes and "bn1.num_batches_tracked" not in found.plan.shapes
    try:
        spec, fields, needs = decide_fields(
            spec, found.plan.shapes, family, stated, written, old=legacy, dense=_dense(found)
        )
    except SpecError as error:
        return replace(found, refuses=_("its layers make no network of plusx ({error})", error=error.message))
    refuses = refusal(layers, stated) or config_refusal(stored, family)
    if written is None and stored.layers:
        spec, differs = disagreement(layers, spec)
        refuses = refuses or differs
        if "dilate" in fields:
            fields["dilate"] = _dilate_verdict(fields["dilate"], spec, differs)
    norms = [key.removesuffix(".running_var") for key in found.plan.shapes if key.endswith(".running_var")]
    eps = dict(found.eps) | {
        path: value for path, value in eps_of(layers, norms).items() if value != found.eps.get("", 1e-5)
    }
    return replace(
        found, spec=spec, notes=(*found.notes, *_embedding(family, spec)), fields=fields, needs=needs, refuses=refuses, eps=eps,
        classes=class_names(flat, spec.classes) or (bundle and bundle.classes) or config_classes(stored, family, spec.classes),
        preprocessing=_written_preprocessing(stored, bundle) if written else _preprocessing(found.preprocessing, spec),
        preprocessing_source=IN_FILE if written else found.preprocessing_source,
        family=Message("plusx") if written else found.family, family_why=_who_states(bundle) if written else found.family_why,
    )  # fmt: skip


def _dense(found: Identification) -> str | None:
    """The first tensor beside the network that belongs to a segmentation head."""
    return next((key for group in found.set_aside for key in group.keys if SEGMENTATION_HEAD.search(key)), None)


def _dilate_verdict(verdict: Verdict, spec: ResNetSpec, differs: Message | None) -> Verdict:
    """The policy with which every convolution agrees; known where the file's layers decided it."""
    if differs is not None or verdict.how == "known":
        return replace(verdict, value=spec.dilate)
    return Verdict(spec.dilate, "known", _("the file's own layers"))


def _embedding(family: Family, spec: ResNetSpec) -> tuple[Message, ...]:
    if family.embeds and spec.classes not in (0, 1000):
        return (_("its fc gives an embedding of {classes} numbers rather than classes", classes=spec.classes),)
    return ()


def _written(stored: StoredFile, found: Identification, bundle: Bundle | None) -> ResNetSpec | None:
    """The spec that plusx wrote into the file or its bundle, if it did and the tensors are those of it."""
    text = stored.metadata.get("plusx.spec") if bundle is None else str(bundle.spec)
    if text is None:
        return None
    try:
        spec = parse(text)
    except SpecError as error:
        raise WeightsError(
            _(
                "{path} states the spec {text!r}, which cannot be read: {error}",
                path=stored.path,
                text=text[:200],
                error=error.message,
            )
        ) from None
    differs = differences(found.plan.shapes, spec)
    if differs:
        raise WeightsError(
            _(
                "{path} states the spec {spec}, but {differs}. Use another copy.",
                path=stored.path,
                spec=spec,
                differs=differs,
            )
        )
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
            _("{path} states a preprocessing that cannot be read. Use another copy.", path=stored.path)
        ) from None


def _who_states(bundle: Bundle | None) -> Message:
    return _("the file states its spec") if bundle is None else _("its bundle states its spec")


def _colour(family: Family) -> Verdict:
    why = _("its images come as {colour}", colour=family.colour)
    if family.source:
        why = _("its images come as {colour} ({source})", colour=family.colour, source=family.source)
    return Verdict(family.colour, "convention", why)


def _preprocessing(convention: Preprocessing | None, spec: ResNetSpec) -> Preprocessing | None:
    """The family's, where the network takes its channels; a stem for small images takes them at 32 px."""
    if convention is None or spec.in_channels != convention.channels:
        return None
    small = spec.stem == "3x3" and convention.crop_px != 32
    return replace(convention, resize_px=32, crop_px=32) if small else convention


def _family(flat: FlatFile, candidate: Candidate) -> tuple[Family, Message]:
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
    raise WeightsError(
        _("no family has the names of {name}. Report this as a fault of plusx.", name=candidate.naming.name)
    )


def _local(name: str, prefix: str) -> str:
    return name[len(prefix) :] if name.startswith(prefix) else name
