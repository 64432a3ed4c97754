"""The figures of a network in sentences: why 50, why 4.09 and 3.86, why 427 and 483, why a shortcut projects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from plusx.analysis import Analysis, analyse
from plusx.analysis.diff import last_field
from plusx.errors import PlusxError
from plusx.graph import Block, Graph
from plusx.graph.kinds import POOLS
from plusx.i18n import Message, _, _n
from plusx.specs import ResNetSpec
from plusx.text.network_table import layer_note, whole_reason

PAPER_GMACS = {"resnet18": "1.8", "resnet34": "3.6", "resnet50": "3.8", "resnet101": "7.6", "resnet152": "11.3"}
"""arXiv 1512.03385, table 1, in 1e9 multiply-adds; the three deep ones downsample in the first 1x1."""

TORCHVISION_GMACS = {
    "resnet18": "1.814", "resnet34": "3.664", "resnet50": "4.089", "resnet101": "7.801", "resnet152": "11.514",
    "resnext50_32x4d": "4.23", "resnext101_32x8d": "16.414", "resnext101_64x4d": "15.46", "wide_resnet50_2": "11.398",
    "wide_resnet101_2": "22.753",
}  # fmt: skip
"""`_ops` in the metadata of torchvision 0.29's weights, at 224."""

CLASSICAL_SIZE = (224, 224)


class Topic(NamedTuple):
    """A heading and the sentences below it."""

    title: str
    lines: list[str]


def explain_network(analysis: Analysis) -> list[Topic]:
    """Depth, multiply-adds, receptive field and shortcuts of a network, each in a few sentences."""
    return [
        Topic(_("depth"), list(_about_depth(analysis))),
        Topic(_("multiply-adds"), list(_about_macs(analysis))),
        Topic(_("receptive field"), list(_about_field(analysis))),
        Topic(_("shortcuts"), list(_about_shortcuts(analysis.graph))),
    ]


def _about_depth(analysis: Analysis) -> Iterator[Message]:
    graph, depth = analysis.graph, analysis.depth
    blocks = sum(len(stage.blocks) for stage in graph.stages)
    per_block = 2 if graph.spec.block == "basic" else 3
    yield _("The counted depth is {sum}.", sum=depth.sum)
    if blocks:
        yield _(
            "1 is the stem, {per_block} is the number of convolutions on the branch of a block, and {blocks} is the number "
            "of blocks.",
            per_block=per_block, blocks=blocks,
        )  # fmt: skip
    if sum(op.kind == "conv" for op in graph.stem) > 1:
        yield _("A stem of several convolutions counts once, like the 7x7 convolution that it replaces.")
    if "projections" in depth.sum:
        yield _("This family counts its projections and does not count fc (6n + 4).")
    elif any(op.kind == "conv" for stage in graph.stages for block in stage.blocks for op in block.shortcut):
        yield _("Projections on shortcuts have weights too, but the paper does not count them.")
    yield layer_note(analysis)
    yield _("Norms, activations, pools and joins are never counted.")


def _about_macs(analysis: Analysis) -> Iterator[Message]:
    macs, (h, w) = analysis.totals.macs, analysis.size_px
    yield _(
        "{macs:,} at {h}x{w} ({giga} G). One multiplication with its addition counts as one, and only convolutions and linear "
        "layers count.",
        macs=macs, h=h, w=w, giga=_giga(macs),
    )  # fmt: skip
    yield from _about_stride(analysis, "macs")
    yield _(
        "FLOPs that count multiplications and additions apart (torch's FlopCounterMode) are twice that: {flops:,}.",
        flops=2 * macs,
    )
    if countable(analysis):
        norms, pooled = fvcore_extra(analysis)
        yield _(
            "fvcore reports {total:,}: it adds {norms:,} for batch norms (2 a value) and {pooled:,} for the global pool.",
            total=macs + norms + pooled, norms=norms, pooled=pooled,
        )  # fmt: skip
        extra = torchinfo_extra(analysis)
        yield _(
            "torchinfo reports {total:,}: it adds {extra:,}, which is the parameters of norms and the bias of fc, each once.",
            total=macs + extra, extra=extra,
        )  # fmt: skip
    if analysis.size_px == CLASSICAL_SIZE:
        yield from _published(analysis.graph.spec)


def _published(spec: ResNetSpec) -> Iterator[Message]:
    """The figures that others publish for this very network at 224, or for the one with its stride moved."""
    text, other = str(spec), _other_stride(spec)
    if text == "resnet50":
        yield _("ptflops reports 4.12 G: it also counts norms, activations and pools.")
    if text in TORCHVISION_GMACS:
        yield _("torchvision's weights give {giga} G (_ops): the same count, rounded.", giga=TORCHVISION_GMACS[text])
    bare = {"stem_bias": False, "stem_pool": "max"}  # the differences of the Caffe network cost no multiplication
    name = next((n for n in (text, str(other), str(other.replace(**bare)) if other else "") if n in PAPER_GMACS), None)
    if name is None:
        return
    if spec.block == "basic":
        yield _("The paper's table gives {giga} G: the same count, truncated.", giga=PAPER_GMACS[name])
    else:
        v1 = analyse(spec.replace(stride_in="1x1"), CLASSICAL_SIZE).totals.macs
        yield _(
            "The paper's table gives {giga} G for the network that downsamples in the first 1x1 ({v1} G), truncated.",
            giga=PAPER_GMACS[name], v1=_giga(v1),
        )  # fmt: skip


def _about_stride(analysis: Analysis, what: str) -> Iterator[Message]:
    """The effect of moving the stride of the bottlenecks; nothing where it cannot be moved."""
    spec = analysis.graph.spec
    other = _other_stride(spec)
    if other is None:
        return
    there = analyse(other, analysis.size_px)
    v1, v15 = (analysis, there) if spec.stride_in == "1x1" else (there, analysis)
    version = "v1" if v1 is analysis else "v1.5"
    if what == "macs" and v1.totals.macs != v15.totals.macs:
        more = v15.totals.macs - v1.totals.macs
        yield _(
            "{v1} G with the stride in the first 1x1 (v1: paper, Caffe) become {v15} G with the stride in the 3x3 (v1.5: "
            "torchvision, timm): {more:,} more, {percent:.1f} %. This network is {version}.",
            v1=_giga(v1.totals.macs), v15=_giga(v15.totals.macs), more=more, percent=100 * more / v1.totals.macs,
            version=version,
        )  # fmt: skip
    if what == "field" and last_field(v1) != last_field(v15):
        yield _(
            "It is {v1} px with the stride in the first 1x1 (v1) and {v15} px with the stride in the 3x3 (v1.5), because a later "
            "stride leaves the cells finer for one more 3x3. This network is {version}.",
            v1=last_field(v1), v15=last_field(v15), version=version,
        )  # fmt: skip


def _other_stride(spec: ResNetSpec) -> ResNetSpec | None:
    """The same network with the stride of its bottlenecks in the other convolution, or None."""
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
    """The operations that only fvcore 0.1.5 counts: two a value of each batch norm, one a value that the global pool reads."""
    norms = sum(2 * row.op.c_out * row.out[0] * row.out[1] for row in analysis.rows if row.op.kind == "batch_norm")
    h, w = next(row.out for row in reversed(analysis.stages) if row.name != "head")
    return norms, analysis.graph.stages[-1].c_out * h * w


def torchinfo_extra(analysis: Analysis) -> int:
    """The operations that only torchinfo 1.8 counts: one for each parameter of the batch norms and each bias."""
    norms = sum(row.params for row in analysis.rows if row.op.kind == "batch_norm")
    return norms + analysis.graph.spec.classes


def _about_field(analysis: Analysis) -> Iterator[Message]:
    last = [row for row in analysis.stages if row.name != "head"][-1]
    h, w = analysis.size_px
    yield _(
        "The receptive field of a cell of {part} is {rf}x{rf} px of a {h}x{w} input. The stride from cell to cell is {stride} px, "
        "and the first centre lies at {start:g} px.",
        part=last.name, rf=last.rf, h=h, w=w, stride=last.jump, start=last.start,
    )  # fmt: skip
    yield from _about_stride(analysis, "field")
    spec = analysis.graph.spec
    if spec.output_stride is not None or set(spec.dilations) != {1}:
        natural = spec.replace(
            output_stride="natural", dilations=(1,) * len(spec.depths), strides=_natural_strides(spec)
        )
        strided = last_field(analyse(natural, analysis.size_px))
        if strided == last.rf:
            yield _("Dilation keeps the receptive field: it is {rf} px with dilation and without it.", rf=last.rf)
        else:
            yield _(
                "dilate={dilate} changes the receptive field: it is {without} px without dilation and {rf} px with it.",
                dilate=spec.dilate, without=strided, rf=last.rf,
            )  # fmt: skip
    if last.whole:
        yield _(
            "This is the local receptive field: {op} ({reason}) makes every cell depend on the whole image.",
            op=last.whole, reason=whole_reason(analysis, last.whole),
        )  # fmt: skip


def _natural_strides(spec: ResNetSpec) -> tuple[int, ...]:
    return (1,) + (2,) * (len(spec.depths) - 1)


def _about_shortcuts(graph: Graph) -> Iterator[Message]:
    """Which blocks change x on the shortcut and why; one line for each reason."""
    if graph.spec.shortcut == "none":
        yield _("This is a plain network: no block has a shortcut, and the output of a block is F(x) alone.")
        return
    together: dict[Message, list[str]] = {}
    unchanged = 0
    for stage in graph.stages:
        for block in stage.blocks:
            if block.shortcut:
                together.setdefault(shortcut_reason(block, graph), []).append(block.name)
            else:
                unchanged += 1
    for reason, names in together.items():
        yield _("{blocks}: {reason}", blocks=", ".join(names), reason=reason)
    if unchanged:
        yield _n(
            "In {n} block the shortcut is x itself: channels and size stay the same, so the shortcut has nothing to learn.",
            "In {n} blocks the shortcut is x itself: channels and size stay the same, so the shortcut has nothing to learn.",
            unchanged,
        )


def shortcut_reason(block: Block, graph: Graph) -> Message:
    """Why the shortcut of a block is not x itself, and what it is instead."""
    stride = max(op.stride for op in (*block.branch, *block.shortcut))
    channels = {"c_in": block.c_in, "c_out": block.c_out}
    if block.c_in != block.c_out and stride > 1:
        cause = _(
            "Channels go from {c_in} to {c_out} and the map shrinks by {stride}, so x does not fit.",
            stride=stride,
            **channels,
        )
    elif block.c_in != block.c_out:
        cause = _("Channels go from {c_in} to {c_out}, so x does not fit.", **channels)
    elif stride > 1:
        cause = _("The map shrinks by {stride}, so x does not fit.", stride=stride)
    elif graph.spec.shortcut == "C":
        cause = _("shortcut=C always projects.")
    else:
        cause = _("The spec asks for it, although the shapes agree.")
    return _("{cause} {operation}", cause=cause, operation=_shortcut_operation(block))


def _shortcut_operation(block: Block) -> Message:
    """The operation on a shortcut that is not x itself."""
    kinds = [op.kind for op in block.shortcut]
    if "zero_pad" in kinds:
        return _("Zeros fill the new channels (option A), without weights.")
    conv = next(op for op in block.shortcut if op.kind == "conv")
    kernel = f"{conv.kernel}x{conv.kernel}"
    if any(kind in POOLS for kind in kinds):
        return _("An average pool and a {kernel} convolution project it (option D).", kernel=kernel)
    return _("A {kernel} convolution projects it.", kernel=kernel)


def _giga(value: int) -> str:
    """`4.089`: thousand millions, three digits."""
    return f"{value / 1e9:.3f}"
