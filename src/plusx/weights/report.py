"""An identification as lines for people and as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plusx.analysis import analyse
from plusx.specs.language import show_value
from plusx.weights.fields import Verdict
from plusx.weights.identification import IN_FILE, Identification

SCHEMA = "plusx.identify/1"
MOST_GROUPS = 12


def lines(found: Identification) -> Iterator[str]:
    """What the file is, line by line: the network, where it lies, what is not known and why, what is beside it."""
    yield f"file         {found.path}: {found.container}"
    if found.sha256:
        yield f"sha256       {found.sha256}"
    yield f"family       {found.family} ({found.family_why})"
    if found.spec is None or found.refuses is not None:
        yield f"network      not one of plusx: {found.refuses}"
    if found.spec is not None:
        totals = analyse(found.spec).totals
        yield f"network      {found.spec}"
        yield f"size         {totals.params:,} parameters; {found.spec.in_channels} channels in; {_classes(found)}"
    yield f"tensors      {', '.join(f'{count} {kind}' for kind, count in found.dtypes.items())}"
    if found.wrapper or found.prefix:
        yield f"lies at      {found.wrapper or 'the root'}, names begin with {found.prefix!r}"
    for other in found.others:
        yield f"the same at  {other or 'the root'}"
    yield from _verdicts(found)
    for group in found.set_aside[:MOST_GROUPS]:
        yield f"set aside    {group}"
    if len(found.set_aside) > MOST_GROUPS:
        yield f"set aside    and {len(found.set_aside) - MOST_GROUPS} more groups"
    for line in found.notes:
        yield f"note         {line}"
    for line in found.suspicious:
        yield f"warning      {line}"


def _classes(found: Identification) -> str:
    assert found.spec is not None
    if not found.spec.classes:
        return "no classes"
    names = f" ({', '.join(found.classes[:3])}, …)" if found.classes else ", not named in the file"
    return f"{found.spec.classes} classes{names}"


def _verdicts(found: Identification) -> Iterator[str]:
    """Conventions and unknown fields with their reasons; fields that share a reason share a line."""
    verdicts = dict(found.fields)
    if found.spec is not None:
        verdicts["colour"] = found.colour
    for how in ("convention", "unknown"):
        by_reason: dict[str, list[str]] = {}
        for name, verdict in verdicts.items():
            if verdict.how == how:
                by_reason.setdefault(verdict.why, []).append(f"{name}={_value(verdict)}")
        for why, words in by_reason.items():
            yield f"{how:<13}{', '.join(words)}: {why}"
    for name, words in found.needs.items():
        shown = ", ".join(word if "=" in word else f"{name}={word}" for word in words)
        yield f"give         one of: {shown}"
    if found.preprocessing is not None:
        pre = found.preprocessing
        size = f"resize {pre.resize_px}, crop {pre.crop_px}" if pre.resize_px else "size as it is"
        source = found.preprocessing_source
        known = "as the file says" if source == IN_FILE else f"by convention of {source}"
        yield f"images       {size}, {pre.interpolation}, mean {pre.mean}, std {pre.std}, {known}"
    elif found.spec is not None:
        yield "images       how they become input is not known"


def _value(verdict: Verdict) -> str:
    return "none" if verdict.value is None else show_value(verdict.value)


def to_dict(found: Identification) -> dict[str, Any]:
    """The same as JSON can hold it; keys of /1 are added to and never renamed."""
    return {
        "schema": SCHEMA, "path": str(found.path), "container": found.container, "sha256": found.sha256,
        "family": found.family, "family_why": found.family_why,
        "spec": None if found.spec is None else str(found.spec), "refuses": found.refuses,
        "fields": {
            name: {"value": _value(verdict), "how": verdict.how, "why": verdict.why}
            for name, verdict in {**found.fields, **({"colour": found.colour} if found.spec else {})}.items()
        },
        "needs": {name: list(words) for name, words in found.needs.items()}, "wrapper": found.wrapper, "prefix": found.prefix,
        "others": list(found.others), "set_aside": [{"name": group.name, "keys": list(group.keys)} for group in found.set_aside],
        "classes": None if found.classes is None else list(found.classes), "dtypes": dict(found.dtypes),
        "suspicious": list(found.suspicious), "notes": list(found.notes),
        "preprocessing": None if found.preprocessing is None else found.preprocessing.to_dict(),
        "preprocessing_source": found.preprocessing_source,
    }  # fmt: skip
