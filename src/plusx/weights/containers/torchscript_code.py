"""TorchScript's code read as text: for each class its parameters, its constants and the operators that it calls.

The code in an archive is a subset of Python that torch prints (torch/csrc/jit/serialization/python_print.cpp). It is searched
for a few forms, literals are taken apart by hand, and nothing of it is compiled or evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from plusx.weights.containers.torchscript_operators import OPERATORS, facts_of
from plusx.weights.stored import LayerFacts

MOST_TEXT = 8 << 20
_MOST_CALL = 1500
_TOP = re.compile(r"^(class|def) (\w+)", re.MULTILINE)
_LIST = re.compile(r"^  __(parameters|buffers)__ = \[([^\]\n]*)\]", re.MULTILINE)
_FINAL = re.compile(r"^  (\w+) : Final\[[^\n=]*\] = ([^\n]*)$", re.MULTILINE)
_ALIAS = re.compile(r"^ +(_\d+) = __torch__\.torch\.nn\.functional\.(\w+)$", re.MULTILINE)
_CALL = re.compile(r"(?:\btorch\.(?:nn\.functional\.)?(\w+)|(?<![\w.])(_\d+))\(")
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
_CLOSING = {"(": ")", "[": "]"}


@dataclass
class ScriptClass:
    """One class of an archive. `calls` are the operators of its methods in the order of the text, with their arguments."""

    saved: frozenset[str] | None = None
    """Its parameters and buffers; None where the code does not say."""
    finals: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, list[Any]]] = field(default_factory=list)

    def operators(self) -> list[LayerFacts]:
        return [facts for name, args in self.calls if (facts := facts_of(name, args)) is not None]


@dataclass(frozen=True, slots=True)
class Text:
    """An argument that is an expression and no literal, as it is written."""

    text: str


def classes_of(sources: Mapping[str, str]) -> dict[str, ScriptClass]:
    """The classes of an archive by their full names; `sources` maps `__torch__/a/b.py` to text."""
    found: dict[str, ScriptClass] = {}
    for file, text in sources.items():
        module = file.removesuffix(".py").replace("/", ".")
        heads = list(_TOP.finditer(text))
        for head, after in zip_longest(heads, heads[1:]):
            if head[1] == "class":
                body = text[head.end() : after.start() if after else len(text)]
                found[f"{module}.{head[2]}"] = _class(body)
    return found


def _class(body: str) -> ScriptClass:
    made = ScriptClass()
    lists = {found[1]: re.findall(r'"([^"\\]*)"', found[2]) for found in _LIST.finditer(body)}
    if "parameters" in lists and "buffers" in lists:
        made.saved = frozenset(lists["parameters"] + lists["buffers"])
    for found in _FINAL.finditer(body):
        value = literal(found[2])
        if not isinstance(value, Text):
            made.finals[found[1]] = tuple(value) if isinstance(value, list) else value
    aliases = {found[1]: found[2] for found in _ALIAS.finditer(body)}
    for found in _CALL.finditer(body):
        name = (found[1] or aliases.get(found[2], "")).strip("_")
        if name in OPERATORS:
            args = list(_arguments(body[found.end() : found.end() + _MOST_CALL]))
            made.calls.append((name, [literal(text) for text in args]))
    return made


def _arguments(text: str) -> Iterator[str]:
    """The arguments of a call whose opening bracket was just read; none of a call that does not end in time."""
    parts, begin, at, open_brackets = [], 0, 0, []
    while at < len(text):
        sign = text[at]
        if sign in "\"'":
            at = _after_string(text, at)
            continue
        if sign in _CLOSING:
            open_brackets.append(_CLOSING[sign])
        elif open_brackets and sign == open_brackets[-1]:
            open_brackets.pop()
        elif sign in ",)" and not open_brackets:
            if part := text[begin:at].strip():
                parts.append(part)
            begin = at + 1
            if sign == ")":
                yield from parts
                return
        at += 1


def _after_string(text: str, at: int) -> int:
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at + 1


def literal(text: str, depth: int = 0) -> Any:
    """A number, text, truth value, None, or a list or tuple of them; Text for anything else.

    >>> literal("[2, 2]"), literal("(1, -1.5)"), literal("annotate(List[int], [])"), literal("self.x")
    ([2, 2], (1, -1.5), [], Text(text='self.x'))
    """
    text = text.strip()
    if text in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[text]
    if len(text) <= 40 and (number := _NUMBER.fullmatch(text)):
        return float(text) if number[1] or number[2] else int(text)
    if len(text) >= 2 and text[0] == text[-1] == '"' and "\\" not in text and '"' not in text[1:-1]:
        return text[1:-1]
    if text.startswith("annotate(") and depth < 4:
        parts = list(_arguments(text[len("annotate(") :]))
        return literal(parts[1], depth + 1) if len(parts) == 2 else Text(text)
    if text[:1] in _CLOSING and text[-1:] == _CLOSING[text[0]] and depth < 4:
        parts = [literal(part, depth + 1) for part in _arguments(f"{text[1:-1]})")]
        if not any(isinstance(part, Text) for part in parts):
            return parts if text[0] == "[" else tuple(parts)
    return Text(text)
