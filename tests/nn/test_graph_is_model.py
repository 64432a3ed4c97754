"""The graph says what the model does: shapes by forward hooks, attributes of the modules, MACs by torch's own counter."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import plusx
from plusx.analysis import analyse
from plusx.errors import GeometryError, SpecError
from plusx.graph import lower
from plusx.nn.layers import FrozenBatchNorm, SpatialGate
from plusx.specs import PRESETS
from randomspecs import PAIRED, Count, wishes

pytestmark = pytest.mark.filterwarnings("ignore:join=mul")

KINDS = {
    "conv": nn.Conv2d, "batch_norm": nn.BatchNorm2d, "group_norm": nn.GroupNorm, "frozen_norm": FrozenBatchNorm,
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "silu": nn.SiLU, "gelu": nn.GELU, "hardswish": nn.Hardswish,
    "max_pool": nn.MaxPool2d, "avg_pool": nn.AvgPool2d, "global_avg_pool": nn.AdaptiveAvgPool2d, "linear": nn.Linear,
    "dropout": nn.Dropout,
}  # fmt: skip


def check(words, size):
    """Build, run once, and compare with the analysis. Raises AssertionError at the first lie."""
    graph = lower(words)
    found, net = analyse(graph, size), plusx.build(graph).eval()
    modules = dict(net.named_modules())
    shapes = defaultdict(list)
    handles = [
        m.register_forward_hook(lambda m, a, out, path=p: shapes[path].append(out.shape)) for p, m in modules.items()
    ]
    x = torch.randn(2, graph.spec.in_channels, *found.size_px)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        out = net(x)
    for handle in handles:
        handle.remove()
    assert counter.get_total_flops() == 2 * found.totals.macs * len(x)
    assert {k: tuple(v.shape) for k, v in net.state_dict().items()} == {k: t.shape for k, t in graph.tensors()}
    assert {k for k, _ in net.named_parameters()} == {k for k, t in graph.tensors() if t.trained}
    expected = defaultdict(list)
    for row in found.rows:
        if row.op.path is not None:
            expected[row.op.path].append((len(x), row.op.c_out, *row.out))
            same_attributes(row.op, modules[row.op.path])
    for path, sizes in expected.items():
        real = [tuple(shape) if len(shape) == 4 else (*shape, 1, 1) for shape in shapes[path]]  # after the pool: (n, c)
        assert real == sizes, path
    assert out.shape[1] == graph.c_out
    if graph.spec.until:
        assert tuple(out.shape[2:]) == found.rows[-1].out
    else:
        assert out.ndim == 2
    return net


def same_attributes(op, module):
    assert isinstance(module, KINDS.get(op.kind, nn.Module)), op.name
    if op.kind == "conv":
        real = (
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
            module.bias is not None,
        )
        assert real == (
            (op.kernel,) * 2,
            (op.stride,) * 2,
            (op.padding,) * 2,
            (op.dilation,) * 2,
            op.groups,
            op.bias,
        ), op.name
    elif op.kind == "max_pool":
        assert (module.kernel_size, module.stride, module.padding, module.ceil_mode) == (
            3,
            op.stride,
            op.padding,
            op.ceil,
        )
    elif op.kind == "cbam":
        spatial = next(m for m in module.modules() if isinstance(m, SpatialGate))
        assert spatial.conv.conv.dilation == (op.gate.step, op.gate.step)
    elif op.kind == "drop_path":
        assert module.rate == op.rate


def preset(name):
    """Above 40 blocks it is more of the same."""
    return pytest.param(name, marks=[pytest.mark.slow] * (sum(lower(name).spec.depths) > 40))


@pytest.mark.parametrize("name", [preset(n) for n in PRESETS if n not in ("resnet1202", "preresnet1001")])
def test_presets(name):
    small = {32: 32, 224: 65, 255: 127}[PRESETS[name].size_px]
    check(name, small)


def run(examples):
    count = Count()

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(wishes())
    def every_spec(keys):
        spec = count.spec(keys)
        if spec is None:
            return
        try:
            graph = lower(spec)
        except SpecError:
            count.refused += 1
            return
        try:
            check(graph, (63, 70))
        except GeometryError:
            count.refused += 1
            return
        count.add(spec)

    every_spec()
    return count


def test_random_specs():
    count = run(60)
    assert count.built > 48
    assert count.refused <= 0.2 * (count.built + count.refused)


@pytest.mark.slow
def test_many_random_specs_of_every_value():
    count = run(800)
    print(f"\n{count.built} built, {count.refused} refused")
    for (name, value), times in sorted(count.values.items()):
        print(f"{name}={value}: {times}")
    assert count.built >= 500 and count.refused < 0.2 * (count.built + count.refused)
    rare = {
        pair: n
        for pair, n in count.values.items()
        if n < 5 and pair[0] not in ("depths", "widths", "strides", "until", "multi_grid")
    }
    assert not rare, rare
    possible = {name: {v for n, v in count.values if n == name} for name in PAIRED}
    for i, a in enumerate(PAIRED):
        for b in PAIRED[i + 1 :]:
            for x in possible[a]:
                for y in possible[b]:
                    impossible = {a: x, b: y}.get("shortcut") == "none" and {a: x, b: y}.get("gate", "none") != "none"
                    assert impossible or count.pairs[a, x, b, y], f"{a}={x} with {b}={y} was never built"
