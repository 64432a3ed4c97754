"""An identification as lines to print and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plusx.graph import lower
from plusx.graph.kinds import params
from plusx.i18n import Message, _
from plusx.specs.language import show_value
from plusx.weights.identification.result import IN_FILE, Identification
from plusx.weights.identification.verdicts import Verdict

SCHEMA = "plusx.identify/1"
MOST_GROUPS = 12


def lines(found: Identification) -> Iterator[Message]:
    """What the file is, line by line: the network, where it lies, what is not known and why, what is beside it."""
    yield _("file         {path}: {container}", path=found.path, container=found.container)
    if found.sha256:
        yield _("sha256       {sha256}", sha256=found.sha256)
    yield _("family       {family} ({family_why})", family=found.family, family_why=found.family_why)
    if found.spec is None or found.refuses is not None:
        yield _("network      not one of plusx: {refuses}", refuses=found.refuses)
    if found.spec is not None:
        yield _("network      {spec}", spec=found.spec)
        yield _(
            "size         {params:,} parameters; {in_channels} channels in; {classes}",
            params=sum(params(op) for op in lower(found.spec).ops),
            in_channels=found.spec.in_channels,
            classes=_classes(found),
        )
    yield _("tensors      {types}", types=", ".join((f"{count} {kind}" for kind, count in found.dtypes.items())))
    if found.wrapper or found.prefix:
        yield _(
            "lies at      {place}, names begin with {prefix!r}",
            place=found.wrapper or _("the root"),
            prefix=found.prefix,
        )
    for other in found.others:
        yield _("the same at  {place}", place=other or _("the root"))
    yield from _verdicts(found)
    for group in found.set_aside[:MOST_GROUPS]:
        yield _("set aside    {group}", group=group.text)
    if len(found.set_aside) > MOST_GROUPS:
        yield _("set aside    and {count} more groups", count=len(found.set_aside) - MOST_GROUPS)
    for line in found.notes:
        yield _("note         {line}", line=line)
    for line in found.suspicious:
        yield _("warning      {line}", line=line)


def _classes(found: Identification) -> Message:
    assert found.spec is not None
    if not found.spec.classes:
        return _("no classes")
    if not found.classes:
        return _("{count} classes, not named in the file", count=found.spec.classes)
    return _("{count} classes ({names}, …)", count=found.spec.classes, names=", ".join(found.classes[:3]))


def _verdicts(found: Identification) -> Iterator[Message]:
    """Conventions and unknown fields with their reasons; fields that share a reason share a line."""
    verdicts = dict(found.fields)
    if found.spec is not None:
        verdicts["colour"] = found.colour
    for how in ("convention", "unknown"):
        by_reason: dict[str, tuple[Message, list[str]]] = {}
        for name, verdict in verdicts.items():
            if verdict.how == how:
                by_reason.setdefault(verdict.why, (verdict.why, []))[1].append(f"{name}={_value(verdict)}")
        for why, fields in by_reason.values():
            yield _verdict_line(how, ", ".join(fields), why)
    for name, words in found.needs.items():
        shown = ", ".join(word if "=" in word else f"{name}={word}" for word in words)
        yield _("give         one of: {words}", words=shown)
    if found.preprocessing is not None:
        pre = found.preprocessing
        size = (
            _("resize {resize_px}, crop {crop_px}", resize_px=pre.resize_px, crop_px=pre.crop_px)
            if pre.resize_px
            else _("size as it is")
        )
        source = found.preprocessing_source
        values = {"size": size, "interpolation": pre.interpolation, "mean": pre.mean, "std": pre.std}
        if source == IN_FILE:
            yield _("images       {size}, {interpolation}, mean {mean}, std {std}, as the file states", **values)
        elif found.preprocessing_is_known:
            yield _(
                "images       {size}, {interpolation}, mean {mean}, std {std}, as known of {source}",
                source=source,
                **values,
            )
        else:
            yield _(
                "images       {size}, {interpolation}, mean {mean}, std {std}, by convention of {source}",
                source=source,
                **values,
            )
    elif found.spec is not None:
        yield _("images       how they become input is not known")


def _verdict_line(how: str, fields: str, why: Message) -> Message:
    if how == "convention":
        return _("convention   {fields}: {why}", fields=fields, why=why)
    return _("unknown      {fields}: {why}", fields=fields, why=why)


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
