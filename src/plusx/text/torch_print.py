"""The text of `print(plusx.build(N))`, made from the graph alone in the format of torch modules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from plusx.graph import Block, Graph, Op, lower
from plusx.graph.lower import Network

BLOCKS = {
    ("basic", "post"): "BasicBlock",
    ("bottleneck", "post"): "Bottleneck",
    ("basic", "pre"): "PreActBasicBlock",
    ("bottleneck", "pre"): "PreActBottleneck",
}
EPS = "eps=1e-05"
Child = tuple[str, list[str]]


def torch_print(network: Network) -> str:
    """The text of `print(plusx.build(network))`. Raises SpecError."""
    graph = lower(network)
    return "\n".join(_module("ResNet", [*_stem(graph), *_stages(graph), *_head(graph)]))


def _module(name: str, children: Sequence[Child]) -> list[str]:
    """A module with children, as nn.Module.__repr__ lays it out."""
    if not children:
        return [f"{name}()"]
    lines = [f"{name}("]
    for child, text in children:
        lines.append(f"  ({child}): {text[0]}")
        lines += [f"  {line}" for line in text[1:]]
    return [*lines, ")"]


def _stem(graph: Graph) -> list[Child]:
    """nn/resnet.py names the last activation before the stages, also where a pre-activation net computes it in its head."""
    acts = [op for op in (*graph.stem, *graph.head) if op.path == "relu"][:1]
    relu = [("relu", leaf(op)) for op in acts]
    return [*_sequence(graph.stem, "conv1"), *_named(graph.stem, ("bn1",)), *relu, *_named(graph.stem, ("maxpool",))]


def _stages(graph: Graph) -> list[Child]:
    kind = BLOCKS[graph.spec.block, graph.spec.order]
    found: list[Child] = []
    for stage in graph.stages:
        blocks = [(str(number), _module(kind, _block(block, graph))) for number, block in enumerate(stage.blocks)]
        found.append((stage.name, _module("Sequential", blocks)))
    return found


def _head(graph: Graph) -> list[Child]:
    return _named(graph.head, ("norm", "avgpool", "dropout", "fc"))


def _named(ops: Sequence[Op], paths: Sequence[str]) -> list[Child]:
    by_path = {op.path: op for op in ops}
    return [(path, leaf(by_path[path])) for path in paths if path in by_path]


def _block(block: Block, graph: Graph) -> list[Child]:
    """Children in the order in which nn/blocks.py assigns them."""
    parts = {op.local_name: op for op in block.ops}
    order = [name for number in (1, 2, 3) for name in _pair(number, graph.spec.order)]
    basic_post = graph.spec.block == "basic" and graph.spec.order == "post"
    found: list[Child] = []
    for name in order:
        if name in parts:
            found.append((name, leaf(parts[name])))
        elif name.startswith("bn") and f"conv{name[2:]}" in parts:
            found.append((name, ["Identity()"]))
        if basic_post and name == "bn1":
            found.append(("relu", _act(block, parts)))
    if not basic_post:
        found.append(("relu", _act(block, parts)))
    found += [(name, leaf(parts[name])) for name in ("dropout", "se", "drop_path") if name in parts]
    return found + _sequence(block.shortcut, f"{block.name}.downsample")


def _pair(number: int, order: str) -> tuple[str, str]:
    names = f"conv{number}", f"bn{number}"
    return names if order == "post" else (names[1], names[0])


def _act(block: Block, parts: dict[str, Op]) -> list[str]:
    """The block's one activation; in place unless its input may be the block's own (no norm before it)."""
    return leaf(parts["relu1"], in_place=(block.before or block.branch)[0] is not parts["relu1"])


def _sequence(ops: Sequence[Op], prefix: str) -> list[Child]:
    """The ops at `prefix.0`, `prefix.1`, … as one Sequential, gaps as Identity; the op at `prefix` as it is."""
    by_path = {op.path: op for op in ops if op.path and (op.path == prefix or op.path.startswith(f"{prefix}."))}
    name = prefix.rpartition(".")[2]
    if prefix in by_path:
        return [(name, leaf(by_path[prefix]))]
    if not by_path:
        return []
    last = max(int(path.rpartition(".")[2]) for path in by_path)
    paths = [f"{prefix}.{number}" for number in range(last + 1)]
    children = [(str(n), leaf(by_path[p]) if p in by_path else ["Identity()"]) for n, p in enumerate(paths)]
    return [(name, _module("Sequential", children))]


def leaf(op: Op, *, in_place: bool = True) -> list[str]:
    """How torch prints the module of one op, line by line."""
    if op.kind == "conv":
        return [_conv(op.c_in, op.c_out, op.kernel, op.stride, op.padding, op.dilation, op.groups, bias=op.bias)]
    if op.kind in GATES:
        return GATES[op.kind](op)
    return [_simple(op, in_place)]


def _simple(op: Op, in_place: bool) -> str:
    k, s, p, c = op.kernel, op.stride, op.padding, op.c_out
    written = {
        "batch_norm": lambda: f"BatchNorm2d({c}, {EPS}, momentum=0.1, affine=True{_bias()}, track_running_stats=True)",
        "group_norm": lambda: f"GroupNorm({op.groups}, {c}, {EPS}, affine=True{_bias()})",
        "frozen_norm": lambda: f"FrozenBatchNorm({c}, {EPS})",
        "relu": lambda: f"ReLU({'inplace=True' if in_place else ''})",
        "leaky_relu": lambda: f"LeakyReLU(negative_slope=0.01{', inplace=True' if in_place else ''})",
        "silu": lambda: "SiLU()",
        "gelu": lambda: "GELU(approximate='none')",
        "hardswish": lambda: "Hardswish()",
        "max_pool": lambda: f"MaxPool2d(kernel_size={k}, stride={s}, padding={p}, dilation=1, ceil_mode={op.ceil})",
        "avg_pool": lambda: f"AvgPool2d(kernel_size={k}, stride={s}, padding={p})",
        "same_avg_pool": lambda: "SameAvgPool()",
        "dilated_avg_pool": lambda: f"DilatedAvgPool(dilation={op.dilation})",
        "zero_pad": lambda: f"ZeroPad(stride={s}, front={p}, back={c - op.c_in - p})",
        "global_avg_pool": lambda: "AdaptiveAvgPool2d(output_size=(1, 1))",
        "linear": lambda: f"Linear(in_features={op.c_in}, out_features={c}, bias=True)",
        "dropout": lambda: f"Dropout(p={op.rate}, inplace=False)",
        "drop_path": lambda: f"DropPath(rate={op.rate})",
    }
    return written[op.kind]()


def _conv(
    c_in: int, c_out: int, kernel: int, stride: int, padding: int, dilation: int, groups: int, *, bias: bool, axes: int = 2
) -> str:  # fmt: skip
    def pair(value: int) -> str:
        return f"({', '.join([str(value)] * axes)}{',' if axes == 1 else ''})"

    parts = [str(c_in), str(c_out), f"kernel_size={pair(kernel)}", f"stride={pair(stride)}"]
    optional = (("padding", padding, 0), ("dilation", dilation, 1))
    parts += [f"{name}={pair(value)}" for name, value, default in optional if value != default]
    parts += [f"groups={groups}"] if groups != 1 else []
    parts += [] if bias else ["bias=False"]
    return f"Conv{axes}d({', '.join(parts)})"


def _se(op: Op) -> list[str]:
    return _module("SqueezeExcite", _perceptron(op, bias=True))


def _eca(op: Op) -> list[str]:
    conv = _conv(1, 1, op.gate.kernel, 1, op.gate.kernel // 2, 1, 1, bias=False, axes=1)
    return _module("EfficientAttention", [("conv", [conv])])


def _cbam(op: Op) -> list[str]:
    k, step = op.gate.kernel, op.gate.step
    norm = _simple(Op("bn", "bn", op.gate.norm, 1, 1), False) if op.gate.norm else "Identity()"
    conv = _conv(2, 1, k, 1, k // 2 * step, step, 1, bias=op.gate.bias)
    spatial = _module("SpatialGate", [("conv", _module("Sequential", [("conv", [conv]), ("bn", [norm])]))])
    channel = _module("ChannelGate", _perceptron(op, bias=False))
    return _module("Sequential", [("channel", channel), ("spatial", spatial)])


def _perceptron(op: Op, *, bias: bool) -> list[Child]:
    """fc1 and fc2 of a gate: 1x1 convolutions through its squeezed channels."""
    c, squeezed = op.c_out, op.gate.squeezed
    sizes = (("fc1", c, squeezed), ("fc2", squeezed, c))
    return [(name, [_conv(a, b, 1, 1, 0, 1, 1, bias=bias)]) for name, a, b in sizes]


GATES = {"se": _se, "eca": _eca, "cbam": _cbam}


@cache
def _bias() -> str:
    """Whether the installed torch writes a norm's bias (from about 2.12 on). Read from its source, so that torch is not imported."""
    found = find_spec("torch")
    for place in (found.submodule_search_locations or []) if found else []:
        source = Path(place) / "nn" / "modules" / "batchnorm.py"
        if source.is_file():
            return ", bias=True" if "bias={use_bias}" in source.read_text(encoding="utf-8") else ""
    return ", bias=True"
