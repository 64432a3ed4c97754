"""The findings as text and as data."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from plusx.analysis.depth import depth
from plusx.checking.checked import Checked
from plusx.checking.findings import NOTE, Finding
from plusx.graph import lower
from plusx.i18n import Message, _, _n
from plusx.specs import ResNetSpec
from plusx.text.alignment import Translate, paragraph
from plusx.version import __version__

SHOWN = 4
"""Places of a finding that are listed; the others are counted."""


def to_text(checked: Checked, translate: Translate = str, width: int | None = None) -> str:
    """What the network is, then every finding: place, what it is, what follows, how to mend it."""
    lines = [line for text in _head(checked) for line in paragraph(translate(text), width, "  ", "")]
    for number, finding in enumerate(checked.findings, 1):
        lines += ["", *_finding(number, finding, translate, width)]
    return "\n".join(lines) + "\n"


def _head(checked: Checked) -> Iterator[Message]:
    read, n, notes = checked.read, len(checked.deviations), len(checked.findings) - len(checked.deviations)
    if checked.spec is None or read.failure is not None:
        yield _("{word} could not be compared with a ResNet.", word=checked.word)
    elif checked.passed:
        yield _("{word} is {spec}.", word=checked.word, spec=str(checked.spec))
    else:
        yield _("{word} is nearest to {spec}, and deviates from it.", word=checked.word, spec=str(checked.spec))
    c, h, w = read.input[1:]
    if "channels" in read.assumed:
        yield _("input {c}x{h}x{w} (assumed; --size sets the size)", c=c, h=h, w=w)
    elif "size" in read.assumed:
        yield _("input {c}x{h}x{w} (the size is assumed; --size sets it)", c=c, h=h, w=w)
    else:
        yield _("input {c}x{h}x{w}", c=c, h=h, w=w)
    if checked.spec is not None and read.failure is None:
        yield from _figures(checked.spec, read.counted)
    if read.how == "trace":
        yield _("read by tracing one forward pass, because torch.export refused: {why}", why=read.why)
    counts = [_n("{n} deviation", "{n} deviations", n)]
    if notes:
        counts.append(_n("{n} note", "{n} notes", notes))
    yield _("{first}, {rest}", first=counts[0], rest=counts[1]) if notes else counts[0]


def _figures(spec: ResNetSpec, counted: int) -> Iterator[Message]:
    """The depth of the nearest network, and the parameters of both."""
    graph = lower(spec)
    expected = sum(prod(tensor.shape) for _key, tensor in graph.tensors() if tensor.trained)
    yield _("depth {sum}", sum=depth(graph).sum)
    if counted == expected:
        yield _("{params:,} parameters", params=counted)
    else:
        yield _(
            "{params:,} parameters, where {spec} has {expected:,}", params=counted, spec=str(spec), expected=expected
        )


def _finding(number: int, finding: Finding, translate: Translate, width: int | None) -> list[str]:
    kind = _("note") if finding.level == NOTE else _("deviation")
    title = _("{number}. {kind} at {places}", number=number, kind=kind, places=places_text(finding.places))
    said = finding.said
    parts = [
        ("   ", said.what),
        ("   ", _("follows: {text}", text=said.follows)),
        ("   ", _("mend: {text}", text=said.mend)),
    ]
    lines = paragraph(translate(title), width, "   ", "")
    return lines + [line for indent, text in parts for line in paragraph(translate(text), width, indent + "  ", indent)]


def places_text(places: tuple[str, ...]) -> str:
    """The first places, and how many more there are."""
    shown, rest = ", ".join(places[:SHOWN]), len(places) - SHOWN
    if rest > 0:
        return _n("{places} and {n} more", "{places} and {n} more", rest, places=shown)
    return shown


def to_record(checked: Checked, translate: Translate = str) -> dict[str, Any]:
    """The findings as plain data for JSON."""
    read = checked.read
    return {
        "schema": "plusx.check/1",
        "version": __version__,
        "network": checked.word,
        "type": read.type,
        "spec": None if checked.spec is None else str(checked.spec),
        "passed": checked.passed,
        "input": list(read.input[1:]),
        "assumed": list(read.assumed),
        "read_by": read.how or None,
        "params": read.counted,
        "findings": [
            {
                "code": each.code,
                "level": each.level,
                "places": list(each.places),
                "marks": list(each.marks),
                "what": translate(each.said.what),
                "follows": translate(each.said.follows),
                "mend": translate(each.said.mend),
            }
            for each in checked.findings
        ],
    }
