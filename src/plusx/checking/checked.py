"""`check`: a user's network beside the nearest spec, with everything that deviates from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from plusx.analysis.depth import depth
from plusx.checking.blocks import Structure, structure_of
from plusx.checking.chains import chain_of, flat
from plusx.checking.compare import alignment, compare
from plusx.checking.differences import Deviation, deviation
from plusx.checking.failing import failure_deviations
from plusx.checking.findings import NOTE, Finding, gathered
from plusx.checking.nearest import candidates
from plusx.checking.reading import LIMIT_S, read_module
from plusx.checking.record import ReadModule
from plusx.checking.weights import weight_deviations
from plusx.errors import SpecError
from plusx.graph import lower
from plusx.i18n import _, _n
from plusx.specs import ResNetSpec

MOST_PLACES = 1.5
"""Deviating places a convolution. The worst of the planted mistakes, blocks that share their weights, has 1.2; a MobileNet 1.9."""


@dataclass(frozen=True)
class Checked:
    """The result of `check`. `spec` is the nearest network, None where nothing could be compared."""

    word: str
    read: ReadModule
    spec: ResNetSpec | None
    findings: tuple[Finding, ...]

    @property
    def deviations(self) -> tuple[Finding, ...]:
        """The findings that are faults; the others are notes."""
        return tuple(each for each in self.findings if each.level != NOTE)

    @property
    def passed(self) -> bool:
        return self.spec is not None and not self.deviations

    @property
    def marks(self) -> frozenset[str]:
        """The places of the drawing of `spec` that deviate."""
        return frozenset(mark for each in self.findings for mark in each.marks)


def check(
    word: str,
    *,
    size: tuple[int, int] | None = None,
    args: str = "",
    network: ResNetSpec | None = None,
    limit_s: float = LIMIT_S,
) -> Checked:
    """What `file.py:Name` is, and where it deviates from the nearest spec, or from `network`.

    The file's code runs in a process of its own. Raises SpecError, RunError.
    """
    return judged(word, read_module(word, size=size, args=args, limit_s=limit_s), network)


def judged(word: str, read: ReadModule, network: ResNetSpec | None = None) -> Checked:
    """The findings about a network that was read."""
    if read.failure is not None:
        return Checked(word, read, network, tuple(gathered(failure_deviations(read))))
    found = structure_of(chain_of(read))
    if not found.blocks:
        return Checked(word, read, network, tuple(gathered([deviation("no_spec", read.type, "")])))
    spec, deviations = _nearest(found, read, network)
    if spec is None:
        code = "no_resnet" if deviations else "no_spec"
        return Checked(word, read, None, tuple(gathered([deviation(code, read.type, "")])))
    deviations += list(_whole(read, found, spec, network))
    deviations += list(weight_deviations(read, found, list(deviations), lower(spec)))
    if any(each.code == "batch_changed" for each in deviations):
        deviations = [each for each in deviations if each.code != "no_global_pool"]
    return Checked(word, read, spec, tuple(gathered(deviations)))


def spec_of_file(word: str) -> ResNetSpec:
    """The spec of `file.py:Name` where the network is exactly that. Raises SpecError where it deviates."""
    checked = check(word)
    count = len(checked.deviations)
    if checked.spec is not None and not count:
        return checked.spec
    if checked.spec is None:
        raise SpecError(_("{word} is no ResNet that plusx knows. plusx check {word} says why.", word=word))
    raise SpecError(
        _n(
            "{word} deviates from {spec} at {n} place. plusx check {word} says where.",
            "{word} deviates from {spec} at {n} places. plusx check {word} says where.",
            count,
            word=word,
            spec=str(checked.spec),
        )
    )


def _nearest(
    found: Structure, read: ReadModule, network: ResNetSpec | None
) -> tuple[ResNetSpec | None, list[Deviation]]:
    """The candidate with the fewest deviating places and, of those, the fewest words; None where that one is too far off."""
    specs = candidates(found, read.input[1]) if network is None else iter([network])
    scored = list(_scored(specs, found))
    if not scored:
        return None, []
    fewest = min(len(places) for _spec, places in scored)
    spec, places = min(
        ((spec, places) for spec, places in scored if len(places) == fewest), key=lambda each: len(str(each[0]).split())
    )
    return (None if network is None and _is_another(found, len(places)) else spec), places


def _is_another(found: Structure, places: int) -> bool:
    """Whether a network is of another kind, as an Inception or a MobileNet is: most of its blocks are no two separate paths, or
    there are far more deviating places than convolutions."""
    strange = sum(block.tangled or bool(block.others) for block in found.blocks)
    convs = sum(op.kind == "conv" for op in found.ops)
    return 2 * strange > len(found.blocks) or places > MOST_PLACES * convs


def _scored(specs: Iterator[ResNetSpec], found: Structure) -> Iterator[tuple[ResNetSpec, list[Deviation]]]:
    for spec in specs:
        try:
            yield spec, compare(found, lower(spec))
        except SpecError:  # groups that do not divide the widths
            continue


def _whole(read: ReadModule, found: Structure, spec: ResNetSpec, network: ResNetSpec | None) -> Iterator[Deviation]:
    """What concerns the whole network."""
    if spec.block == "bottleneck" and spec.stride_in == "1x1" and spec.order == "post":
        first = next((block.convs[0] for block in found.blocks if block.stride != 1 and len(block.convs) == 3), None)
        if first is not None:
            yield deviation("stride_in_1x1", first.place, alignment(found, lower(spec)).get(first.id, ""))
    if not found.residual and network is None and re.search("res", read.type.lower()):
        yield deviation("plain_named", read.type, "", name=read.type)
    inner = [block.convs[0].attrs["c_out"] for block in found.blocks if len(block.convs) == 3]
    if (
        network is None
        and inner
        and spec.groups == 1
        and spec.width_per_group != 64
        and inner[0] == spec.stem_width != spec.widths[0]
    ):
        widened = found.blocks[0].c_out / inner[0]
        yield deviation("expansion", found.blocks[0].place, "layer1.0.conv3", found=f"{widened:g}")
    pools = [op for op in flat(found.head) if op.kind == "avg_pool" and op.out[2:] == (1, 1)]
    if pools and read.fixed_size:
        yield deviation("fixed_pool", pools[-1].place, "avgpool", size="x".join(map(str, read.input[2:])))
    last = next((op for op in reversed(read.ops) if op.id in read.output), None)
    if last is not None and last.kind == "linear" and last.out and last.out[0] != read.input[0]:
        yield deviation("batch_changed", last.place, "avgpool", n=read.input[0], found=last.out[0])
    said = re.search(r"(?:resnet|plain)_?(\d+)$", read.type.lower()) or re.search(
        r"(?:resnet|plain)_?(\d+)$", read.name.lower()
    )
    counted = depth(lower(spec))
    if said and int(said[1]) != counted.counted and counted.counted > 4:
        yield deviation("name", read.name, "", said=said[1], depth=counted.sum, counted=counted.counted)
