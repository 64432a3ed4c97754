"""A way of naming a ResNet's tensors, read backwards: regular expressions made from the templates of `plusx.names`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from plusx.names.dialects import Dialect

PLACES = {
    "s": r"[1-6]", "s0": r"[0-5]", "s1": r"[2-7]", "i": r"\d{1,4}", "i1": r"\d{1,4}", "k": r"[1-3]", "k0": r"[0-2]",
    "abc": r"[abc]", "block": r"[a-z]\d{0,3}", "flat": r"\d{1,4}", "n": r"[0-2]", "n1": r"[1-3]", "n3": r"[036]",
    "n31": r"[147]", "m": r"[01]", "m1": r"[12]", "t": r"\d{1,2}", "c": r"[036]", "c1": r"[147]",
}  # fmt: skip
"""What stands for each placeholder. {t}: a stage's place in a Sequential; {c}, {c1}: a convolution's or norm's place in one."""

OURS = {
    "stem.conv": "conv1", "stem.norm": "bn1", "deep.conv": "conv1.{n3}", "deep.norm": "conv1.{n31}", "deep.last": "conv1.{n31}",
    "conv": "{stage}.{i}.conv{k}", "norm": "{stage}.{i}.bn{k}", "gate": "{stage}.{i}.se",
    "shortcut.conv": "{stage}.{i}.downsample.0", "shortcut.norm": "{stage}.{i}.downsample.1",
    "pooled.conv": "{stage}.{i}.downsample.1", "pooled.norm": "{stage}.{i}.downsample.2", "last.norm": "norm", "fc": "fc",
}  # fmt: skip
NDIMS = {"conv": (4, 5), "norm": (0, 1), "linear": (2, 4), "gate": (0, 1, 2, 3, 4)}


@dataclass(frozen=True)
class Rule:
    """One tensor's name: `template` is theirs (without prefix), `role` and `tensor` say what it is.

    Patterns are compiled when they are first used: a file needs those of its own naming alone.
    """

    template: str
    role: str
    holder: str
    tensor: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What fits the whole name."""
        return re.compile(pattern_of(self.template))

    @cached_property
    def ending(self) -> re.Pattern[str]:
        """What fits the end of a path, from a part on."""
        return re.compile(f"(?:^|[./]){pattern_of(self.template)}$")

    def ours(self, found: re.Match[str]) -> str:
        """Plusx's key; the stage is `layer1` … or, where the name does not number stages, `flat` or `place` and a number."""
        return f"{OURS[self.role].format(**_numbers(found.groupdict()))}.{self.tensor}"


@dataclass(frozen=True)
class Naming:
    """All rules of one way of naming. `inside` fits what belongs to blocks and stem; `beside` are heads that lie outside."""

    name: str
    rules: tuple[Rule, ...]
    inside: re.Pattern[str]
    beside: tuple[Rule, ...] = ()
    clean: Callable[[str], str] = str
    """From a stored name to the one that the rules read (`conv1_conv/conv1_conv/kernel:0` to `conv1_conv/kernel`)."""
    kernel: str = "OIHW"
    dense: str = "OI"

    def shape(self, key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A stored shape in torch's order of axes, for the tensor that plusx calls `key`."""
        if len(shape) == 4 and self.kernel == "HWIO":
            return (shape[3], shape[2], shape[0], shape[1])
        if key == "fc.weight" and len(shape) == 2 and self.dense == "IO":
            return (shape[1], shape[0])
        return shape

    def prefix(self, key: str) -> str | None:
        """What stands before the first convolution of a block that `key` names, or None."""
        if self._any_kernel.search(key):
            for found in (rule.ending.search(key) for rule in self._kernels):
                if found:
                    start = found.start()
                    return key[: start + (key[start] in "./")]
        return None

    @cached_property
    def _kernels(self) -> tuple[Rule, ...]:
        """The rules of kernels in blocks."""
        return tuple(rule for rule in self.rules if rule.role == "conv" and rule.tensor == "weight")

    @cached_property
    def _any_kernel(self) -> re.Pattern[str]:
        """What fits the end of a path wherever a rule of `_kernels` does."""
        endings = "|".join(re.sub(r"\?P<\w+>", "?:", pattern_of(rule.template)) for rule in self._kernels)
        return re.compile(f"(?:^|[./])(?:{endings})$")

    def read(self, key: str, ndim: int, rules: Iterable[Rule] | None = None) -> tuple[str, Rule] | None:
        """Plusx's key and the rule for a name without its prefix, or None."""
        for rule in self.rules if rules is None else rules:
            if ndim in (NDIMS[rule.holder] if rule.tensor == "weight" or rule.holder in ("norm", "gate") else (1,)):
                found = rule.pattern.fullmatch(key)
                if found:
                    return rule.ours(found), rule
        return None


def rules_of(*dialects: Dialect, prefix: str = "") -> tuple[Rule, ...]:
    """The rules of dialects, each once; `prefix` is what their templates begin with and files may lack."""
    made: dict[tuple[str, str], Rule] = {}
    for dialect in dialects:
        for full_role, template in dialect.ops.items():
            role = full_role.partition(",")[0]
            holder = _holder(role)
            if role not in OURS or holder not in dialect.tensors:
                continue
            for tensor, shape in dialect.tensors[holder].items():
                name = template.removeprefix(prefix)
                scale = f"scale{name.removeprefix('bn')}"
                text = shape.replace("{name}", name).replace("{scale}", scale)
                made.setdefault((role, text), Rule(text, role, holder, tensor))
    return tuple(made.values())


def pattern_of(template: str) -> str:
    """The regular expression of a template; a slash stands for a slash or a dot, since trees are joined by dots.

    >>> pattern_of("layer{s}.{i}.conv{k}.weight")
    'layer(?P<s>[1-6])\\\\.(?P<i>\\\\d{1,4})\\\\.conv(?P<k>[1-3])\\\\.weight'
    """
    parts: list[str] = []
    for text, name in re.findall(r"([^{}]*)(?:\{(\w+)\})?", template):
        parts.append(re.escape(text).replace("/", "[./]"))
        if name:
            parts.append(f"(?P<{name}>{PLACES[name]})")
    return "".join(parts)


def _holder(role: str) -> str:
    if role == "fc":
        return "linear"
    return "gate" if role == "gate" else "conv" if role.endswith("conv") else "norm"


def _numbers(groups: dict[str, str | None]) -> dict[str, int | str]:
    has = {name: text for name, text in groups.items() if text is not None}
    numbers: dict[str, int | str] = {}
    for name, source, scale, shift in (
        ("s", "s", 1, 0), ("s", "s0", 1, 1), ("s", "s1", 1, -1), ("i", "i", 1, 0), ("i", "i1", 1, -1), ("k", "k", 1, 0),
        ("k", "k0", 1, 1), ("n", "n", 1, 0), ("n", "n1", 1, -1),
    ):  # fmt: skip
        if source in has:
            numbers[name] = int(has[source]) * scale + shift
    if "n3" in has or "n31" in has:
        numbers["n"] = int(has.get("n3", has.get("n31", "0"))) // 3
    if "c" in has or "c1" in has:
        numbers["k"] = int(has.get("c", has.get("c1", "0"))) // 3 + 1
    if "abc" in has:
        numbers["k"] = "abc".index(has["abc"]) + 1
    if "block" in has:
        letter, number = has["block"][0], has["block"][1:]
        numbers["i"] = int(number) if number else ord(letter) - ord("a")
    numbers.setdefault("k", 1)  # a norm that is not numbered is the first of its block
    numbers["stage"] = f"layer{numbers.get('s')}"
    if "flat" in has:
        numbers |= {"stage": "flat", "i": int(has["flat"])}
    if "t" in has:
        numbers["stage"] = f"place{has['t']}"
    if "n" in numbers:
        numbers |= {"n3": 3 * int(numbers["n"]), "n31": 3 * int(numbers["n"]) + 1}
    return numbers
