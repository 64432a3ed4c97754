"""The process in which a user's own code runs: it imports the file, makes the network, reads it and writes JSON.

`main` is its whole life. What the user's code prints goes to stderr of the process, which the parent throws away; the
answer goes to a pipe of its own. Nothing here decides whether the network is right.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

SIZES = (32, 64, 224, 28, 96, 256, 299)
"""Sides of the input that are tried after the one that the first convolution suggests."""


class _Refused(Exception):
    """A fault that ends the reading: `kind` and the values of its message, which the parent knows."""

    def __init__(self, kind: str, **values: Any) -> None:
        super().__init__(kind)
        self.kind, self.values = kind, values


def main() -> None:
    """Reads a request from stdin, answers on stdout, and ends."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the user's code prints is not an answer
    request = json.loads(sys.stdin.readline())
    sys.stdin = open(os.devnull, encoding="utf-8")
    json.dump(answered(request), answer)
    answer.close()
    sys.stdout.flush()
    os._exit(0)  # threads of the user's code do not keep the process


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request: what was read, or why it was refused."""
    try:
        return {"read": _read(**request)}
    except _Refused as refused:
        return {"refused": refused.kind, "values": refused.values}


def _read(file: str, name: str, args: dict[str, Any], size: list[int] | None, side: int) -> dict[str, Any]:
    folder = os.path.dirname(os.path.abspath(file))
    named = _named(_module(file, folder), name, file)
    net = _network(named, name, args, folder)
    return read(net, name, folder, size, side)


def read(net: Any, name: str, folder: str, size: list[int] | None = None, side: int = 224) -> dict[str, Any]:
    """The record of a network: `record.ReadModule` as JSON. `side` is the input's where nothing says it."""
    import torch

    from plusx.checking import tracing

    net = net.eval().float()
    channels, first_side, assumed = _input(net, side)
    sides = [tuple(size)] if size else [(each, each) for each in dict.fromkeys((first_side, *SIZES))]
    if size:
        assumed.remove("size")
    failed = None
    for h, w in sides:
        x = torch.zeros(2, channels, h, w)
        try:
            if failed is not None or _is_lazy(net):  # cheaper than an export that fails; lazy layers get their shapes
                with torch.no_grad():
                    net(x)
            graph, tensors, why = tracing.trace(net, x)
        except Exception as error:
            failed = failed or (error, x)
            continue
        translator = tracing.Translator(net, tensors, folder)
        output = translator.translate(graph)
        return {
            "name": name,
            "type": type(net).__name__,
            "input": [2, channels, h, w],
            "assumed": assumed,
            "how": "trace" if why else "export",
            "why": why,
            "ops": translator.ops,
            "output": output,
            "unused": list(tracing.unused(net, translator.read)),
            "counted": _count(net),
            "fixed_size": any(op["kind"] == "avg_pool" for op in translator.ops) and not _runs_larger(net, x),
            "failure": None,
        }
    assert failed is not None
    failure = _failure(net, failed[1], folder)
    if not failure["error"]:
        raise _Refused("untraceable", error=_last_line(failed[0]))
    return {
        "name": name,
        "type": type(net).__name__,
        "input": list(failed[1].shape),
        "assumed": assumed,
        "how": "",
        "why": "",
        "ops": [],
        "output": [],
        "unused": [],
        "counted": _count(net),
        "failure": failure,
    }


# ---- the user's file ----


def _module(file: str, folder: str) -> Any:
    """The file as a module; a file of a package is imported as a part of it, so that its relative imports work."""
    name, root = os.path.splitext(os.path.basename(file))[0], folder
    while os.path.isfile(os.path.join(root, "__init__.py")):
        root, part = os.path.split(root)
        name = f"{part}.{name}"
    sys.path.insert(0, root)
    sys.argv = [file]
    if root != folder:
        with _explained("import", folder):
            return importlib.import_module(name)
    if name in sys.modules:  # a file of that name must not replace a module that is in use
        name = f"users_{name}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with _explained("import", folder):
        spec.loader.exec_module(module)
    return module


def _named(module: Any, name: str, file: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise _Refused("no_name", name=name, names=_candidates(module))
    return found


def _candidates(module: Any) -> list[str]:
    """Names of the file's own classes, functions and modules that could be a network."""
    from torch import nn

    own = {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", module.__name__) == module.__name__
    }
    classes = [key for key, value in own.items() if inspect.isclass(value) and issubclass(value, nn.Module)]
    others = [key for key, value in vars(module).items() if isinstance(value, nn.Module) and not key.startswith("_")]
    return [*classes, *others, *(key for key, value in own.items() if inspect.isfunction(value))]


def _network(named: Any, name: str, args: dict[str, Any], folder: str) -> Any:
    from torch import nn

    if isinstance(named, nn.Module):
        return named
    if not callable(named):
        raise _Refused("no_module", name=name, type=type(named).__name__)
    missing = _missing(named, args)
    if missing:
        raise _Refused("arguments", name=name, missing=missing, example=f"{missing[0]}=…")
    unknown = _unknown(named, args)
    if unknown:
        raise _Refused("unknown_argument", name=name, argument=unknown[0], known=unknown[1])
    with _explained("make", folder):
        made = named(**args)
    if not isinstance(made, nn.Module):
        raise _Refused("no_module", name=name, type=type(made).__name__)
    return made


def _parameters(named: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(named).parameters.values())
    except (TypeError, ValueError):
        return []


def _missing(named: Any, args: dict[str, Any]) -> list[str]:
    named_ones = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [
        each.name
        for each in _parameters(named)
        if each.default is each.empty and each.kind in named_ones and each.name not in args
    ]


def _unknown(named: Any, args: dict[str, Any]) -> tuple[str, list[str]] | None:
    found = _parameters(named)
    if not found or any(each.kind is each.VAR_KEYWORD for each in found):
        return None
    names = [each.name for each in found if each.kind is not each.VAR_POSITIONAL]
    return next(((key, names) for key in args if key not in names), None)


@contextlib.contextmanager
def _explained(step: str, folder: str) -> Iterator[None]:
    """What the user's code raises becomes a refusal with the last line of its traceback and its place."""
    try:
        yield
    except _Refused:
        raise
    except SystemExit as stop:
        raise _Refused("exit", code=str(stop.code), where=_last_place(stop, folder)[0]) from None
    except BaseException as error:
        where, _line = _last_place(error, folder)
        raise _Refused(step, error=_last_line(error), where=where) from None


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()[:300]


def _last_place(error: BaseException, folder: str) -> tuple[str, str]:
    """`file:line` of the innermost frame in the user's own code, and the text of that line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{os.path.basename(error.filename)}:{error.lineno}", (error.text or "").strip()
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename.startswith(folder) and "site-packages" not in each.filename]
    if not own:
        return "", ""
    return f"{os.path.basename(own[-1].filename)}:{own[-1].lineno}", own[-1].line or ""


# ---- the input ----


def _input(net: Any, side: int) -> tuple[int, int, list[str]]:
    """The channels and the side of the input that the first convolution suggests, and what was assumed."""
    from torch import nn

    first = next((each for each in net.modules() if isinstance(each, nn.Conv2d)), None)
    if first is None:
        return 3, side, ["channels", "size"]
    small = first.stride[0] == 1 and first.kernel_size[0] <= 5
    if not first.in_channels:  # a lazy layer
        return 3, 32 if small else side, ["channels", "size"]
    return first.in_channels, 32 if small else side, ["size"]


def _is_lazy(net: Any) -> bool:
    from torch.nn.parameter import is_lazy

    return any(is_lazy(each) for each in net.parameters())


def _count(net: Any) -> int:
    """The registered parameters that have a shape, each tensor once."""
    from torch.nn.parameter import is_lazy

    return sum(each.numel() for each in net.parameters() if not is_lazy(each))


def _runs_larger(net: Any, x: Any) -> bool:
    """Whether the network takes an input of twice the size; computed on the meta device, which costs nothing."""
    import copy

    import torch

    try:
        twin = copy.deepcopy(net).to("meta")
    except Exception:
        return True
    large = torch.empty(2, x.shape[1], 2 * x.shape[2], 2 * x.shape[3], device="meta")
    same = torch.empty(*x.shape, device="meta")
    try:
        with torch.no_grad():
            expected = twin(same)
    except Exception:
        return True
    try:
        with torch.no_grad():
            found = twin(large)
    except Exception:
        return False
    shapes = [getattr(each, "shape", None) for each in (expected, found)]
    return shapes[0] is None or len(shapes[0]) != 2 or shapes[0] == shapes[1]


# ---- a forward pass that fails ----


def _failure(net: Any, x: Any, folder: str) -> dict[str, Any]:
    """Runs the forward pass once more with hooks: what was called until it failed, and where."""
    import torch
    from torch import nn

    calls: list[dict[str, Any]] = []
    running: list[tuple[str, int | None]] = []
    names = {id(each): name for name, each in net.named_modules()}

    def before(module: nn.Module, args: Any) -> None:
        index = None
        if not list(module.children()):
            index = len(calls)
            calls.append(
                {
                    "module": names.get(id(module), ""),
                    "type": type(module).__name__,
                    "attrs": _attributes(module),
                    "before": list(args[0].shape) if args and isinstance(args[0], torch.Tensor) else None,
                    "after": None,
                }
            )
        running.append((names.get(id(module), ""), index))

    def after(module: nn.Module, args: Any, result: Any) -> None:
        _name, index = running.pop()
        if index is not None and isinstance(result, torch.Tensor):
            calls[index]["after"] = list(result.shape)

    for each in net.modules():
        each.register_forward_pre_hook(before)
        each.register_forward_hook(after)
    try:
        with torch.no_grad():
            net(x)
    except Exception as error:
        where, line = _last_place(error, folder)
        failed = {"error": _last_line(error), "where": where, "line": line}
    else:
        failed = {"error": "", "where": "", "line": ""}
    return {**failed, "modules": [name for name, _index in running], "calls": calls}


def _attributes(module: Any) -> dict[str, Any]:
    """The numbers of a layer that decide shapes."""
    found: dict[str, Any] = {}
    for name in ("kernel_size", "stride", "padding", "dilation"):
        value = getattr(module, name, None)
        if value is not None:
            value = value[0] if isinstance(value, tuple) else value
            found[name.removesuffix("_size")] = value
    for name in ("in_channels", "out_channels", "num_features", "in_features", "out_features"):
        if hasattr(module, name):
            found[name] = getattr(module, name)
    return found
