"""The graph as an object, and `lower` as the door to it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import plusx
from counting import calls
from plusx.errors import GeometryError, SpecError
from plusx.graph import lower


def test_every_way_to_name_a_network_is_the_same():
    spec = plusx.spec("resnet18 classes=7")
    graph = lower(spec)
    assert lower("resnet18 classes=7") == graph == lower(graph) == lower(SimpleNamespace(spec=spec))
    with pytest.raises(SpecError, match="int is not a network"):
        lower(18)


def test_names_are_unique_and_found():
    for name in ("resnet50", "preresnet110", "resnet50d gate=cbam", "resnet50 drop_path=0.1 block_dropout=0.1"):
        graph = lower(name)
        assert len({op.name for op in graph.ops}) == len(graph.ops)
        assert all(graph[op.name] is op for op in graph.ops)
    with pytest.raises(GeometryError, match=r"Did you mean 'layer3.0.conv2'"):
        lower("resnet50")["layer3.0.conv22"]


def test_lowering_and_analysis_are_linear():
    for work in (
        lambda n: lower(f"resnet20 depths={n}").ops,
        lambda n: plusx.analyse(f"resnet20 depths={n}", 32).depth,
    ):
        work(10)
        assert calls(lambda: work(5000)) < 10.5 * calls(lambda: work(500))  # noqa: B023
