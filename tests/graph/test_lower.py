"""The graph as an object, and `lower` as the door to it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

import plusx
from plusx.errors import GeometryError, SpecError
from plusx.graph import lower


def test_every_way_to_name_a_network_is_the_same():
    spec = plusx.spec("resnet18 classes=7")
    graph = lower(spec)
    assert lower("resnet18 classes=7") == graph == lower(graph) == lower(SimpleNamespace(spec=spec))
    with pytest.raises(SpecError, match="int is no network"):
        lower(18)


def test_names_are_unique_and_found():
    for name in ("resnet50", "preresnet110", "resnet50d gate=cbam", "resnet50 drop_path=0.1 block_dropout=0.1"):
        graph = lower(name)
        assert len({op.name for op in graph.ops}) == len(graph.ops)
        assert all(graph[op.name] is op for op in graph.ops)
    with pytest.raises(GeometryError, match=r"did you mean 'layer3.0.conv2'"):
        lower("resnet50")["layer3.0.conv22"]


def test_lowering_is_linear():
    """10,000 layers cost ten times what 1,000 cost, within a wide margin for a shared machine."""
    lower("resnet20")

    def seconds(blocks):
        begin = time.perf_counter()
        assert len(lower(f"resnet20 depths={blocks}").ops) > 5 * blocks
        return time.perf_counter() - begin

    assert min(seconds(5000) for _ in range(3)) < 40 * min(seconds(500) for _ in range(3))
