"""Reads `file.py:Name`: starts the process in which the user's code runs, and waits for a limited time."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from plusx.checking.record import ReadModule
from plusx.errors import RunError, SpecError, closest, missing, nearest
from plusx.i18n import Message, _

LIMIT_S = 120
"""Seconds that importing, making and reading a network may take by the clock on the wall."""
SIDE = 224
"""The side of the input where the first convolution looks like ImageNet's."""


def read_module(
    word: str, *, size: tuple[int, int] | None = None, args: str = "", limit_s: float = LIMIT_S
) -> ReadModule:
    """The network that `file.py:Name` names. The file's code runs, in a process of its own that is ended after `limit_s`.

    Raises SpecError for what the file lacks or its code raises, RunError where it takes too long.
    """
    file, name = _split(word)
    if importlib.util.find_spec("torch") is None:
        raise missing("torch")
    request = {"file": str(file.resolve()), "name": name, "args": read_arguments(args), "size": size, "side": SIDE}
    answer = _ask(request, str(file), limit_s)
    if "refused" in answer:
        raise SpecError(_refusal(answer["refused"], answer["values"], str(file)))
    return ReadModule.from_json(answer["read"])


def _split(word: str) -> tuple[Path, str]:
    text, _colon, name = word.rpartition(":") if not word.endswith(".py") else (word, "", "")
    file = Path(text)
    if not file.is_file():
        raise SpecError(_("There is no file {path}. Check the path.", path=text))
    if not name:
        found = _defined(file)
        example = found[0] if found else "Net"
        raise SpecError(
            _("{file} is Python. Name the network in it, like {file}:{example}.", file=text, example=example)
        )
    return file, name


def _defined(file: Path) -> list[str]:
    """Classes and functions at the top of a file, classes that derive from something first; it is not executed."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    classes = [node.name for node in body if isinstance(node, ast.ClassDef) and node.bases]
    return [*reversed(classes), *(node.name for node in body if isinstance(node, ast.FunctionDef))]


def read_arguments(text: str) -> dict[str, Any]:
    """Keyword arguments as in a Python call: `num_classes=10, layers=[2, 2]`. Only literals are read. Raises SpecError.

    >>> read_arguments("num_classes=10, name='a'")
    {'num_classes': 10, 'name': 'a'}
    """
    wrong = _(
        "--args {text!r} is not a list of arguments. Write literals, like 'num_classes=10, in_channels=1'.", text=text
    )
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        if call.args or any(each.arg is None for each in call.keywords):
            raise SpecError(wrong)
        return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError, TypeError):
        raise SpecError(wrong) from None


def _ask(request: dict[str, Any], file: str, limit_s: float) -> dict[str, Any]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from plusx.checking.child import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    try:
        out, _err = child.communicate(json.dumps(request).encode() + b"\n", timeout=limit_s)
    except subprocess.TimeoutExpired:
        _end(child)
        raise RunError(
            _(
                "{file} was stopped after {seconds:g} s: importing it, making the network or running it takes too long. "
                "Move what trains or downloads below if __name__ == '__main__'.",
                file=file,
                seconds=limit_s,
            )
        ) from None
    except BaseException:
        _end(child)
        raise
    try:
        return json.loads(out)
    except ValueError:
        raise SpecError(
            _(
                "The process that ran {file} ended with status {code} before it answered. Run the file with Python to see why.",
                file=file,
                code=child.returncode,
            )
        ) from None


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and what it started."""
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.communicate()


def _refusal(kind: str, values: dict[str, Any], file: str) -> Message:
    if kind == "no_name":
        names, name = values["names"], values["name"]
        listed = ", ".join(closest(name, names)) if names else ""
        near = nearest(name, names)
        if near:
            return _(
                "{file} has no {name}. Did you mean {near}? It has {names}.",
                file=file,
                name=name,
                near=near,
                names=listed,
            )
        if names:
            return _("{file} has no {name}. It has {names}.", file=file, name=name, names=listed)
        return _("{file} has no {name}, and no other class or function that could be a network.", file=file, name=name)
    if kind == "no_module":
        return _(
            "{name} of {file} is of type {type}, which is not a torch.nn.Module. Name a class, a function that returns one, "
            "or a module.",
            file=file, name=values["name"], type=values["type"],
        )  # fmt: skip
    if kind == "arguments":
        return _(
            "{name} of {file} needs the arguments {missing}. Give them like --args '{example}'.",
            file=file, name=values["name"], missing=", ".join(values["missing"]), example=values["example"],
        )  # fmt: skip
    if kind == "unknown_argument":
        return _(
            "{name} of {file} takes no argument {argument}. It takes {known}.",
            file=file, name=values["name"], argument=values["argument"], known=", ".join(values["known"]) or "none",
        )  # fmt: skip
    if kind == "untraceable":
        return _(
            "The network of {file} runs, but neither torch.export nor a trace can read it: {error}. Remove what depends on values from forward.",
            file=file, error=values["error"],
        )  # fmt: skip
    where = values["where"] or file
    if kind == "exit":
        return _(
            "{where} calls exit({code}), so the network cannot be read. Remove it.", where=where, code=values["code"]
        )
    if kind == "import":
        return _("{file} cannot be imported: {error} ({where}).", file=file, error=values["error"], where=where)
    return _("The network of {file} cannot be made: {error} ({where}).", file=file, error=values["error"], where=where)
