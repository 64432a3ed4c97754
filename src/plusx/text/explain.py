"""A network's figures in sentences: why 50, why 4.09 and 3.86, why 427 and 483, why a shortcut projects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from plusx.analysis import Analysis, analyse
from plusx.analysis.diff import last_field
from plusx.errors import PlusxError
from plusx.graph import Block, Graph
from plusx.graph.kinds import POOLS
from plusx.specs import ResNetSpec
from plusx.text.network_table import layer_note
from plusx.text.notation import GATES

PAPER_GMACS = {"resnet18": "1.8", "resnet34": "3.6", "resnet50": "3.8", "resnet101": "7.6", "resnet152": "11.3"}
"""arXiv 1512.03385, table 1, in 1e9 multiply-adds; the three deep ones downsample in the first 1x1."""

TORCHVISION_GMACS = {
    "resnet18": "1.814", "resnet34": "3.664", "resnet50": "4.089", "resnet101": "7.801", "resnet152": "11.514",
    "resnext50_32x4d": "4.23", "resnext101_32x8d": "16.414", "resnext101_64x4d": "15.46", "wide_resnet50_2": "11.398",
    "wide_resnet101_2": "22.753",
}  # fmt: skip
"""`_ops` in the metadata of torchvision 0.29's weights, at 224."""

CLASSICAL_SIZE = (224, 224)


class Section(NamedTuple):
    title: str
    lines: list[str]


def explain_network(analysis: Analysis) -> list[Section]:
    """Depth, multiply-adds, field and shortcuts of a network, each in a few sentences."""
    return [
        Section("depth", list(depth_words(analysis))),
        Section("multiply-adds", list(macs_words(analysis))),
        Section("receptive field", list(field_words(analysis))),
        Section("shortcuts", list(shortcut_words(analysis.graph))),
    ]


def depth_words(analysis: Analysis) -> Iterator[str]:
    graph, depth = analysis.graph, analysis.depth
    blocks = sum(len(stage.blocks) for stage in graph.stages)
    per_block = 2 if graph.spec.block == "basic" else 3
    yield f"counted depth: {depth.sum}"
    if blocks:
        yield f"1 is the stem, {per_block} the convolutions of a block's branch, {blocks} the blocks"
    if sum(op.kind == "conv" for op in graph.stem) > 1:
        yield "a stem of several convolutions counts once, as the 7x7 that it replaces"
    if "projections" in depth.sum:
        yield "this family counts its projections and leaves fc out (6n + 4)"
    elif any(op.kind == "conv" for stage in graph.stages for block in stage.blocks for op in block.shortcut):
        yield "projections on shortcuts have weights too, yet the paper does not count them"
    yield layer_note(analysis)
    yield "norms, activations, pools and joins are never counted"


def macs_words(analysis: Analysis) -> Iterator[str]:
    spec, totals = analysis.graph.spec, analysis.totals
    h, w = analysis.size_px
    yield f"{totals.macs:,} at {h}x{w} ({giga(totals.macs)} G): one multiplication with its addition is one; convolutions and linear layers only"
    yield from _stride_words(analysis, "macs")
    yield f"FLOPs, counted as multiplications plus additions (torch's FlopCounterMode), are twice that: {2 * totals.macs:,}"
    if countable(analysis):
        norms, pooled = fvcore_extra(analysis)
        yield f"fvcore says {totals.macs + norms + pooled:,}: it adds {norms:,} for batch norms (2 a value) and {pooled:,} for the global pool"
        extra = torchinfo_extra(analysis)
        yield f"torchinfo says {totals.macs + extra:,}: it adds {extra:,}, the parameters of norms and the bias of fc, each once"
    if analysis.size_px == CLASSICAL_SIZE:
        yield from _published(spec)


def _published(spec: ResNetSpec) -> Iterator[str]:
    """What others print for this very network at 224, or for the one with its stride moved."""
    text, other = str(spec), _other_stride(spec)
    if text == "resnet50":
        yield "ptflops says 4.12 G: it counts norms, activations and pools as well"
    if text in TORCHVISION_GMACS:
        yield f"torchvision's weights say {TORCHVISION_GMACS[text]} G (_ops): the same count, rounded"
    bare = {"stem_bias": False, "stem_pool": "max"}  # what Caffe has of its own costs no multiplication
    name = next((n for n in (text, str(other), str(other.replace(**bare)) if other else "") if n in PAPER_GMACS), None)
    if name is None:
        return
    if spec.block == "basic":
        yield f"the paper's table says {PAPER_GMACS[name]} G: the same count, cut off"
    else:
        v1 = analyse(spec.replace(stride_in="1x1"), CLASSICAL_SIZE).totals.macs
        yield f"the paper's table says {PAPER_GMACS[name]} G: the network that downsamples in the first 1x1 ({giga(v1)} G), cut off"


def _stride_words(analysis: Analysis, what: str) -> Iterator[str]:
    """What moving the stride of the bottlenecks changes; nothing where there is nothing to move."""
    spec = analysis.graph.spec
    other = _other_stride(spec)
    if other is None:
        return
    there = analyse(other, analysis.size_px)
    v1, v15 = (analysis, there) if spec.stride_in == "1x1" else (there, analysis)
    if what == "macs" and v1.totals.macs != v15.totals.macs:
        more = v15.totals.macs - v1.totals.macs
        yield (
            f"{giga(v1.totals.macs)} G with the stride in the first 1x1 (v1: paper, Caffe), {giga(v15.totals.macs)} G with it in the 3x3 "
            f"(v1.5: torchvision, timm): {more:,} more, {100 * more / v1.totals.macs:.1f} %; this one is {'v1' if v1 is analysis else 'v1.5'}"
        )
    if what == "field" and last_field(v1) != last_field(v15):
        yield (
            f"{last_field(v1)} px with the stride in the first 1x1 (v1), {last_field(v15)} px with it in the 3x3 (v1.5): "
            f"a stride that comes later leaves the cells finer for one more 3x3; this one is {'v1' if v1 is analysis else 'v1.5'}"
        )


def _other_stride(spec: ResNetSpec) -> ResNetSpec | None:
    """The same network with the stride of its bottlenecks at the other place, or None."""
    if spec.block != "bottleneck" or spec.padding == "valid":
        return None
    try:
        return spec.replace(stride_in="3x3" if spec.stride_in == "1x1" else "1x1")
    except PlusxError:
        return None


def countable(analysis: Analysis) -> bool:
    """Whether what fvcore and torchinfo add is known: batch norm, no gates, a head, no cut."""
    spec = analysis.graph.spec
    return (
        spec.norm == "batch"
        and spec.gate == "none"
        and spec.classes > 0
        and not spec.stem_bias
        and spec.shortcut not in "AD"
    )


def fvcore_extra(analysis: Analysis) -> tuple[int, int]:
    """What fvcore 0.1.5 counts besides: two a value of each batch norm, one a value that the global pool reads."""
    norms = sum(2 * row.op.c_out * row.out[0] * row.out[1] for row in analysis.rows if row.op.kind == "batch_norm")
    h, w = next(row.out for row in reversed(analysis.stages) if row.name != "head")
    return norms, analysis.graph.stages[-1].c_out * h * w


def torchinfo_extra(analysis: Analysis) -> int:
    """What torchinfo 1.8 counts besides: parameters of batch norms and biases, once each."""
    norms = sum(row.params for row in analysis.rows if row.op.kind == "batch_norm")
    return norms + analysis.graph.spec.classes


def field_words(analysis: Analysis) -> Iterator[str]:
    last = [row for row in analysis.stages if row.name != "head"][-1]
    h, w = analysis.size_px
    yield (
        f"a cell of {last.name} sees {last.rf}x{last.rf} px of a {h}x{w} input; cells stand {last.jump} px apart, "
        f"the first one's centre at {last.start:g} px"
    )
    yield from _stride_words(analysis, "field")
    spec = analysis.graph.spec
    if spec.output_stride is not None or set(spec.dilations) != {1}:
        natural = spec.replace(
            output_stride="natural", dilations=(1,) * len(spec.depths), strides=natural_strides(spec)
        )
        strided = last_field(analyse(natural, analysis.size_px))
        if strided == last.rf:
            yield f"dilation keeps the field: {last.rf} px with it and without it"
        else:
            yield f"dilate={spec.dilate} changes the field: {strided} px without dilation, {last.rf} px with it"
    if last.whole:
        kind = analysis.graph[last.whole].kind
        yield f"that is the local field: {last.whole} ({GATES.get(kind, 'group norm')}) makes every cell depend on the whole image"


def natural_strides(spec: ResNetSpec) -> tuple[int, ...]:
    return (1,) + (2,) * (len(spec.depths) - 1)


def shortcut_words(graph: Graph) -> Iterator[str]:
    """Which blocks change x on the shortcut and why; one line for each reason."""
    if graph.spec.shortcut == "none":
        yield "a plain network: no block has a shortcut, its output is F(x) alone"
        return
    together: dict[str, list[str]] = {}
    plain = 0
    for stage in graph.stages:
        for block in stage.blocks:
            if block.shortcut:
                together.setdefault(shortcut_reason(block, graph), []).append(block.name)
            else:
                plain += 1
    for reason, names in together.items():
        yield f"{', '.join(names)}: {reason}"
    if plain:
        yield f"{plain} blocks join x as it is: same channels, same size, nothing to learn on the shortcut"


def shortcut_reason(block: Block, graph: Graph) -> str:
    """Why a block's shortcut is not x itself, and what it is instead."""
    stride = max(op.stride for op in (*block.branch, *block.shortcut))
    causes: list[str] = []
    if block.c_in != block.c_out:
        causes.append(f"channels go from {block.c_in} to {block.c_out}")
    if stride > 1:
        causes.append(f"the map shrinks by {stride}")
    cause = " and ".join(causes) or (
        "shortcut=C projects always" if graph.spec.shortcut == "C" else "written so, although the shapes agree"
    )
    return (
        f"{cause}, so x cannot join as it is; {shortcut_kind(block)}" if causes else f"{cause}; {shortcut_kind(block)}"
    )


def shortcut_kind(block: Block) -> str:
    """What a changed shortcut does, in words."""
    kinds = [op.kind for op in block.shortcut]
    if "zero_pad" in kinds:
        return "zeros fill the new channels (option A), without weights"
    conv = next(op for op in block.shortcut if op.kind == "conv")
    kernel = f"{conv.kernel}x{conv.kernel}"
    if any(kind in POOLS for kind in kinds):
        return f"an average pool, then a {kernel} convolution, projects it (D)"
    return f"a {kernel} convolution projects it"


def giga(value: int) -> str:
    """`4.089`: thousand millions, three digits."""
    return f"{value / 1e9:.3f}"
