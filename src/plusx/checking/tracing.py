"""From a torch module to plain ops: its graph by torch.export, or by tracing it on real tensors where export fails.

This runs in the child process, because it runs the user's forward pass.
"""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

PASSED = {
    "detach", "alias", "contiguous", "clone", "to", "_to_copy", "lift_fresh_copy", "lift_fresh", "expand", "view_as", "identity",
    "positive", "dropout_off",
}  # fmt: skip
"""Ops that leave every value as it is."""
ACTIVATIONS = {
    "relu": "relu", "leaky_relu": "leaky_relu", "silu": "silu", "gelu": "gelu", "hardswish": "hardswish", "hardtanh": "relu6",
    "relu6": "relu6", "elu": "elu", "selu": "selu", "prelu": "prelu", "sigmoid": "sigmoid", "hardsigmoid": "sigmoid",
    "tanh": "tanh", "mish": "mish", "softplus": "softplus", "rrelu": "rrelu", "celu": "celu",
    "softmax": "softmax", "log_softmax": "log_softmax",
}  # fmt: skip
SHAPES = {"flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "permute", "transpose", "unflatten"}
MAKES_ZEROS = {"zeros_like", "new_zeros", "zeros", "zero_", "zero"}


def trace(net: nn.Module, x: Tensor) -> tuple[fx.Graph, dict[str, Tensor], str]:
    """The ATen graph, the tensors by the names of the nodes that read them, and why torch.export was not used (or "").

    Raises what the forward pass raises.
    """
    try:
        program = torch.export.export(net, (x,), strict=False)
    except Exception as error:
        with torch.no_grad():
            net(x)  # a fault of the network rather than of export
        return _traced(net, x, _short(error))
    signature = program.graph_signature
    held = {**program.state_dict, **program.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    ours = {name: _lookup(net, target) for name, target in names.items()}
    tensors = {name: held[target] if ours[name] is None else ours[name] for name, target in names.items()}
    return program.graph, tensors, ""


def _traced(net: nn.Module, x: Tensor, why: str) -> tuple[fx.Graph, dict[str, Tensor], str]:
    from torch.fx.experimental.proxy_tensor import make_fx

    with _Values():
        traced = make_fx(net, tracing_mode="real", pre_dispatch=True)(x)
    tensors = {
        node.name: getattr(traced, str(node.target))
        for node in traced.graph.nodes
        if node.op == "get_attr" and isinstance(getattr(traced, str(node.target), None), Tensor)
    }
    return traced.graph, tensors, why


class _Values(TorchFunctionMode):
    """Computes what leaves the tensors, like the condition of an `if`, outside of the trace."""

    LEAVING = (
        Tensor.__bool__,
        Tensor.item,
        Tensor.__float__,
        Tensor.__int__,
        Tensor.__index__,
        Tensor.tolist,
        Tensor.numpy,
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

        if func in self.LEAVING:
            with disable_proxy_modes_tracing():
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _lookup(net: nn.Module, name: str) -> Any:
    """The network's own tensor of that name, whose identity tells shared ones, or None."""
    owner, _dot, last = name.rpartition(".")
    try:
        return getattr(net.get_submodule(owner), last)
    except AttributeError:
        return None


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]


class Translator:
    """Plain ops of an ATen graph. Values that do not depend on the input are constants, and are no ops."""

    def __init__(self, net: nn.Module, tensors: dict[str, Tensor], folder: str) -> None:
        self.net, self.tensors, self.folder = net, tensors, folder
        self.names: dict[int, list[str]] = {}
        for source in (net.named_parameters(remove_duplicate=False), net.named_buffers(remove_duplicate=False)):
            for name, tensor in source:
                self.names.setdefault(id(tensor), []).append(name)
        self.hidden = {tensor.data_ptr(): name for name, tensor in hidden(net)}
        self.values: dict[fx.Node, int] = {}
        self.zeros: set[fx.Node] = set()
        self.read: set[str] = set()
        self.ops: list[dict[str, Any]] = []
        self.shapes: dict[int, list[int]] = {}

    def translate(self, graph: fx.Graph) -> list[int]:
        """Fills `ops`; the values of the outputs come back."""
        for node in graph.nodes:
            if node.op == "placeholder" and node.name not in self.tensors:
                self.values[node] = 0
                self.shapes[0] = _shape(node)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                return list(dict.fromkeys(self.values[each] for each in node.all_input_nodes if each in self.values))
        return []

    def _call(self, node: fx.Node) -> None:
        inputs: list[int] = []
        for each in node.all_input_nodes:
            if each in self.values:
                inputs.append(self.values[each])
            for name in self.names.get(id(self.tensors.get(each.name)), []):
                self.read.add(name)
        name = _name(node)
        if not inputs:
            if name in MAKES_ZEROS:
                self.zeros.add(node)
            return
        if name in MAKES_ZEROS:
            self.zeros.add(node)
            return
        if name in PASSED or name == "getitem":
            source = next(each for each in node.all_input_nodes if each in self.values)
            self.values[node] = self.values[source]
            return
        kind, attrs, tensors = self._read(name, node)
        if kind == "zeros":
            self.zeros.add(node)
            return
        value = len(self.ops) + 1
        self.values[node] = value
        held = {key: self._keys(each) for key, each in tensors.items() if each is not None}
        weight = self.tensors.get(tensors["weight"].name) if tensors.get("weight") is not None else None
        if kind == "batch_norm" and held.get("weight") and not isinstance(weight, nn.Parameter):
            kind = "frozen_norm"
        module, where = _module(node), self._where(node)
        if kind in ("conv", "linear") and weight is None and not held.get("weight"):
            attrs["made"] = True
        stands = None if weight is None or held.get("weight") else self.hidden.get(weight.data_ptr())
        if stands is not None:
            module = stands.rpartition(".")[0]
        elif not module and held.get("weight"):
            module = held["weight"][0].rpartition(".")[0]
        self.ops.append(
            {
                "id": value,
                "kind": kind,
                "inputs": inputs if len(inputs) > 1 or kind != "add" else inputs * _times(node),
                "attrs": attrs,
                "module": module,
                "where": where,
                "tensors": held,
                "identity": None if weight is None else id(weight),
                "out": _shape(node),
            }
        )

    def _shape(self, node: fx.Node) -> list[int]:
        """The shape of a weight, which is a tensor of the network or computed from one."""
        tensor = self.tensors.get(node.name)
        return _shape(node) if tensor is None else list(tensor.shape)

    def _keys(self, node: fx.Node) -> list[str]:
        """The names of a tensor; of one that is computed from others, the names of these."""
        tensor = self.tensors.get(node.name)
        if tensor is not None:
            return self.names.get(id(tensor), [])
        return list(dict.fromkeys(name for each in node.all_input_nodes for name in self._keys(each)))

    def _read(self, name: str, node: fx.Node) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The kind of an op, its attributes and the nodes of its tensors."""
        args = _arguments(node)
        in_place = name.endswith("_")
        plain = name.rstrip("_")
        if plain in ("conv2d", "convolution", "conv1d"):
            return "conv" if plain != "conv1d" else "conv1d", self._conv(args), _tensors(args, "weight", "bias")
        if plain in ("batch_norm", "instance_norm", "group_norm", "layer_norm", "native_batch_norm"):
            kind = plain.removeprefix("native_")
            attrs = {
                "training": bool(args.get("training", args.get("use_input_stats", False))),
                "momentum": args.get("momentum"),
                "eps": args.get("eps"),
                "affine": args.get("weight") is not None,
                "groups": args.get("num_groups", 1),
            }
            return kind, attrs, _tensors(args, "weight", "bias", "running_mean", "running_var")
        if plain == "linear":
            weight = self._shape(args["weight"])
            attrs = {"c_in": weight[1], "c_out": weight[0], "bias": args.get("bias") is not None}
            return "linear", attrs, _tensors(args, "weight", "bias")
        if plain in ACTIVATIONS:
            return ACTIVATIONS[plain], {"inplace": in_place}, {}
        if plain == "clamp_min" or (plain == "clamp" and args.get("min") == 0 and args.get("max") is None):
            return "relu", {"inplace": in_place}, {}
        if plain in ("max_pool2d", "avg_pool2d", "max_pool2d_with_indices"):
            kernel = _one(args["kernel_size"])
            attrs = {
                "kernel": kernel,
                "stride": _one(args.get("stride") or kernel),
                "padding": _one(args.get("padding", 0)),
                "dilation": _one(args.get("dilation", 1)),
                "ceil": bool(args.get("ceil_mode", False)),
            }
            return plain[:3] + "_pool", attrs, {}
        if plain in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            size = _one(args["output_size"])
            if size == 1 and "avg" in plain:
                return "global_avg_pool", {}, {}
            return plain.removesuffix("2d"), {"size": size}, {}
        if plain in ("mean", "amax"):
            return self._reduced(plain, args, node)
        if plain in ("dropout", "feature_dropout", "alpha_dropout"):
            return "dropout", {"rate": args.get("p"), "training": bool(args.get("train"))}, {}
        if plain in SHAPES:
            whole = plain == "squeeze" and args.get("dim") is None
            return "reshape", {"op": plain, "whole": whole}, {}
        if plain in ("pad", "constant_pad_nd"):
            return "pad", {"pad": list(args["pad"])}, {}
        if plain == "slice":
            return "slice", {"dim": args.get("dim", 0), "step": args.get("step", 1)}, {}
        if plain in ("add", "sub", "mul", "div"):
            return self._arithmetic(plain, args, node)
        if plain in ("cat", "concat"):
            zeros = [each in self.zeros for each in node.args[0]]  # pyright: ignore[reportArgumentType, reportOptionalIterable, reportGeneralTypeIssues]
            return "cat", {"zeros": zeros, "dim": args.get("dim", 0)}, {}
        return plain, {}, {}

    def _conv(self, args: dict[str, Any]) -> dict[str, Any]:
        weight = self._shape(args["weight"])
        kernel, dilation = weight[2:], args.get("dilation", [1])
        padding = args.get("padding", 0)
        if isinstance(padding, str):
            dilations = list(dilation) * len(kernel) if len(dilation) == 1 else list(dilation)
            padding = [d * (k - 1) // 2 if padding == "same" else 0 for k, d in zip(kernel, dilations, strict=True)]
        groups = args.get("groups", 1)
        return {
            "c_in": weight[1] * groups,
            "c_out": weight[0],
            "kernel": _one(kernel),
            "stride": _one(args.get("stride", 1)),
            "padding": _one(padding),
            "dilation": _one(dilation),
            "groups": groups,
            "bias": args.get("bias") is not None,
        }

    def _reduced(self, name: str, args: dict[str, Any], node: fx.Node) -> tuple[str, dict[str, Any], dict[str, Any]]:
        source = next(each for each in node.all_input_nodes if each in self.values)
        rank = len(_shape(source))
        dims = args.get("dim")
        places = sorted(d % rank for d in ([dims] if isinstance(dims, int) else dims or range(rank)))
        if rank == 4 and places == [2, 3]:
            return ("global_avg_pool" if name == "mean" else "adaptive_max_pool"), {"size": 1}, {}
        return name, {"dims": places}, {}

    def _arithmetic(self, name: str, args: dict[str, Any], node: fx.Node) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """An add or mul of two values; `shift` or `scale` by a number or by tensors that do not depend on the input."""
        other = args.get("other")
        operands = [each for each in (args.get("self"), args.get("input"), other) if isinstance(each, fx.Node)]
        live = [each for each in operands if each in self.values]
        if (any(each in self.zeros for each in operands) and name == "mul") or (name == "mul" and other == 0):
            return "zeros", {}, {}
        if len(live) == 2:
            return name, {"alpha": args.get("alpha", 1), "inplace": _name(node).endswith("_")}, {}
        number = other if isinstance(other, int | float) else None
        return ("scale" if name in ("mul", "div") else "shift"), {"by": number}, {}

    def _where(self, node: fx.Node) -> str:
        """The innermost line of the user's own code on the way to this op."""
        found = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
        for file, line in reversed(found):
            if os.path.dirname(os.path.abspath(file)).startswith(self.folder) and "site-packages" not in file:
                return f"{os.path.basename(file)}:{line}"
        return ""


def _name(node: fx.Node) -> str:
    """`add_` of aten.add_.Tensor."""
    target = node.target
    if isinstance(target, str):
        return target
    return getattr(target, "__name__", str(target)).partition(".")[0]


def _arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by their names in the operator's schema."""
    schema = getattr(node.target, "_schema", None)
    names = [each.name for each in schema.arguments] if schema is not None else []
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def _tensors(args: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: args.get(name) for name in names}


def _times(node: fx.Node) -> int:
    """How often the one value is read: twice in x + x."""
    return max(sum(isinstance(each, fx.Node) for each in node.args), 1)


def _shape(node: Any) -> list[int]:
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    value = value[0] if isinstance(value, tuple | list) else value
    return [int(n) for n in getattr(value, "shape", ())]


def _one(value: Any) -> Any:
    """The number where all entries are equal, else the list."""
    if isinstance(value, list | tuple):
        entries = [int(each) for each in value]
        return entries[0] if entries and len(set(entries)) == 1 else entries
    return value


def _module(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    last = list(stack.values())[-1] if stack else ("",)
    return str(last[0]).partition("@")[0]


def source_line(where: str, folder: str) -> str:
    """The text of a line `file:number`."""
    file, _colon, number = where.rpartition(":")
    return linecache.getline(os.path.join(folder, file), int(number)).strip() if number.isdigit() else ""


def unused(net: nn.Module, read: set[str]) -> Iterator[tuple[str, str]]:
    """(path, class) of modules with parameters of their own that no op reads."""
    seen: set[int] = set()
    for path, module in net.named_modules():
        names = [f"{path}.{name}" if path else name for name, _p in module.named_parameters(recurse=False)]
        own = [id(parameter) for parameter in module.parameters(recurse=False)]
        if names and not read & set(names) and not seen & set(own):
            yield path, type(module).__name__
        seen.update(own)


def hidden(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors of modules that stand in lists, tuples or dicts of Python, where torch does not see them: `blocks[0].conv1.weight`."""
    for path, module in net.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, each in pairs:
                if isinstance(each, nn.Module):
                    start = f"{path}.{name}[{key!r}]" if path else f"{name}[{key!r}]"
                    yield from ((f"{start}.{rest}", tensor) for rest, tensor in each.named_parameters())
