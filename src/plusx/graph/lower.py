"""From a specification to its graph: stem, stages and head, or the part up to a cut."""

from __future__ import annotations

from typing import Protocol

from plusx.errors import SpecError
from plusx.graph import ops
from plusx.graph.blocks import BlockConfig, make_block
from plusx.graph.dilations import block_dilations, geometry_of_stages
from plusx.graph.model import Block, Graph, Op, Stage
from plusx.i18n import _
from plusx.specs import ResNetSpec, parse


class HasSpec(Protocol):
    """A built network, or anything else with a spec."""

    spec: ResNetSpec


Network = str | ResNetSpec | Graph | HasSpec


def lower(network: Network) -> Graph:
    """The graph of a network: every number and name is decided, while the sizes of maps are not. Raises SpecError.

    >>> lower("resnet50")["layer3.0.conv2"].stride
    2
    """
    if isinstance(network, Graph):
        return network
    spec = spec_of(network)
    stem = _stem(spec)
    stages = _stages(spec, stem[-1].c_out)
    if spec.until is not None:
        return Graph(spec, stem, _cut(stages, spec.until), ())
    return Graph(spec, stem, stages, _head(spec, stages[-1].c_out))


def spec_of(network: Network) -> ResNetSpec:
    """The spec of a network given as words, a spec, a graph or a built network. Raises SpecError."""
    spec = parse(network) if isinstance(network, str) else getattr(network, "spec", network)
    if not isinstance(spec, ResNetSpec):
        raise SpecError(
            _(
                "{kind} is not a network. Give words like 'resnet50 stem=deep', a spec or a built network.",
                kind=type(network).__name__,
            )
        )
    return spec


def _stem(spec: ResNetSpec) -> tuple[Op, ...]:
    width = spec.stem_width
    widths = {
        "deep": (width // 2, width // 2, width),
        "deep2": (width // 2, width),
        "tiered": (width // 2 // 4 * 3, width // 2, width),  # timm resnet.py, stem_type='deep_tiered'
    }.get(spec.stem)
    bias = spec.stem_bias or spec.norm == "none"
    if widths is None:
        kernel, stride = (7, 2) if spec.stem == "7x7" else (3, 1)
        found: list[Op] = [
            ops.conv("conv1", spec.in_channels, width, kernel, bias=bias, stride=stride, padded=spec.padding == "same")
        ]
    else:
        found, c_in = [], spec.in_channels
        for number, c_out in enumerate(widths):
            found.append(ops.conv(f"conv1.{3 * number}", c_in, c_out, 3, bias=bias, stride=1 if number else 2))
            c_in = c_out
            if number < len(widths) - 1:
                found += ops.norm(spec, f"conv1.{3 * number + 1}", c_out)
                found.append(ops.act(spec, f"conv1.{3 * number + 2}", c_out))
    if (
        spec.order == "post"
    ):  # a pre-activation network normalises in its first block (timm resnetv2.py create_resnetv2_stem)
        found += [*ops.norm(spec, "bn1", width), ops.act(spec, "relu", width)]
    if spec.stem_pool != "none":
        caffe = spec.stem_pool == "caffe"
        found.append(Op("maxpool", "maxpool", "max_pool", width, width, 3, 2, 0 if caffe else 1, ceil=caffe))
    return tuple(found)


def _stages(spec: ResNetSpec, c_in: int) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    total, done = sum(spec.depths), 0
    geometry = geometry_of_stages(spec)
    for index, depth in enumerate(spec.depths):
        blocks: list[Block] = []
        for number in range(depth):
            config = BlockConfig(
                name=f"layer{index + 1}.{number}",
                c_in=c_in,
                width=spec.widths[index],
                stride=1 if number else geometry[index].stride,
                dilations=block_dilations(spec, geometry[index], number, last_stage=index == len(spec.depths) - 1),
                stage=geometry[index],
                first=number == 0,
                first_stage=index == 0,
                drop_path=spec.drop_path * done / max(total - 1, 1),
            )
            blocks.append(make_block(spec, config))
            c_in, done = config.c_out(spec), done + 1
        stages.append(Stage(f"layer{index + 1}", tuple(blocks)))
    return tuple(stages)


def _cut(stages: tuple[Stage, ...], until: str) -> tuple[Stage, ...]:
    if until == "stem":
        return ()
    stage_name, _, block = until.partition(".")
    kept = stages[: int(stage_name.removeprefix("layer"))]
    if block:
        last = kept[-1]
        kept = (*kept[:-1], Stage(last.name, last.blocks[: int(block) + 1]))
    return kept


def _head(spec: ResNetSpec, c: int) -> tuple[Op, ...]:
    found: list[Op] = []
    if spec.order == "pre":
        found += [*ops.norm(spec, "norm", c), ops.act(spec, "relu", c)]
    found.append(Op("avgpool", "avgpool", "global_avg_pool", c, c))
    if spec.classes:
        found += [*ops.dropout("dropout", "dropout", c, spec.head_dropout), ops.linear("fc", c, spec.classes)]
    return tuple(found)
