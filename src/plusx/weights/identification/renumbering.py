"""From names that number things in their own way to plusx's: flat blocks, places in a Sequential, stems, pooled shortcuts."""

from __future__ import annotations

import re
from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]


def straighten(shapes: Shapes) -> dict[str, str]:
    """Plusx's key to the provisional one, for every key that has a place in a network."""
    names = {key: key for key in shapes}
    for step in (_flat_blocks, _places, _stem, _pooled, _end):
        names = step(names, shapes)
    return names


def _flat_blocks(names: dict[str, str], shapes: Shapes) -> dict[str, str]:
    """Blocks counted through the whole network (Paddle): a stage begins where channels change, or where a block projects."""
    numbers = sorted({int(key.split(".")[1]) for key in names if key.startswith("flat.")})
    where: dict[int, tuple[int, int]] = {}
    projects = {number for number in numbers if f"flat.{number}.downsample.0.weight" in names}
    stage = place = before = 0
    for number in numbers:
        channels = _channels(number, names, shapes)
        begins = channels != before or (number in projects and len(projects) < len(numbers))
        stage, place = (stage + 1, 0) if begins else (stage, place + 1)
        where[number], before = (stage, place), channels
    renamed: dict[str, str] = {}
    for key, old in names.items():
        found = re.match(r"flat\.(\d+)\.", key)
        stage, place = where[int(found[1])] if found else (0, 0)
        renamed[f"layer{stage}.{place}.{key[found.end() :]}" if found else key] = old
    return renamed


def _channels(number: int, names: dict[str, str], shapes: Shapes) -> int:
    """What the last convolution of a flat block gives; 0 where it has none."""
    keys = [f"flat.{number}.conv{k}.weight" for k in (3, 2, 1)]
    return next((shapes[names[key]][0] for key in keys if key in names), 0)


def _places(names: dict[str, str], shapes: Shapes) -> dict[str, str]:
    """Stages by their place in a Sequential: the first place that has blocks is stage 1."""
    places = sorted({int(found[1]) for key in names if (found := re.match(r"place(\d+)\.", key))})
    stage = {place: number for number, place in enumerate(places, 1)}
    return {
        re.sub(r"^place(\d+)\.", lambda found: f"layer{stage[int(found[1])]}.", key): old for key, old in names.items()
    }


def _stem(names: dict[str, str], shapes: Shapes) -> dict[str, str]:
    """A stem of several convolutions is `conv1.0`, `conv1.3`, …, and its last norm `bn1`, whatever their names were."""
    first = names.get("conv1.weight")
    second = names.get("conv1.3.weight")
    if first and second:
        a, b = shapes[first], shapes[second]
        if a[-1] == 3 and b[-1] == 3 and b[1] == a[0]:  # conv1, conv2, conv3 one after the other
            names = {_renamed(key, {"conv1": "conv1.0", "bn1": "conv1.1"}): old for key, old in names.items()}
        else:  # a convolution that only bears such a name
            names = {key: old for key, old in names.items() if not re.match(r"conv1\.\d", key)}
    elif first:
        names = {key: old for key, old in names.items() if not re.match(r"conv1\.\d", key)}
    convs = [int(found[1]) for key in names if (found := re.fullmatch(r"conv1\.([036])\.weight", key))]
    if convs and "bn1.weight" not in names and f"conv1.{max(convs) + 1}.weight" in names:
        names = {_renamed(key, {f"conv1.{max(convs) + 1}": "bn1"}): old for key, old in names.items()}
    if convs == [0]:  # a Sequential around one convolution and its norm
        names = {_renamed(key, {"conv1.0": "conv1"}): old for key, old in names.items()}
    return names


def _renamed(key: str, parts: Mapping[str, str]) -> str:
    path, _, tensor = key.rpartition(".")
    return f"{parts[path]}.{tensor}" if path in parts else key


def _pooled(names: dict[str, str], shapes: Shapes) -> dict[str, str]:
    """Where one shortcut has a pool before its convolution, all of them are numbered as if they had."""
    pooled = any(re.search(r"downsample\.1\.weight$", key) and len(shapes[old]) > 2 for key, old in names.items())
    if not pooled:
        return names
    renamed: dict[str, str] = {}
    behind = {key.rpartition(".downsample.")[0] for key in names if key.endswith("downsample.0.weight")}
    for key, old in names.items():
        block, _, rest = key.rpartition(".downsample.")
        if block in behind and rest:
            number, _, tensor = rest.partition(".")
            key = f"{block}.downsample.{int(number) + 1}.{tensor}"
        renamed[key] = old
    return renamed


def _end(names: dict[str, str], shapes: Shapes) -> dict[str, str]:
    """A norm at the end belongs to pre-activation nets, which have none behind the stem; elsewhere it only bears that name."""
    return {key: old for key, old in names.items() if not (key.startswith("norm.") and "bn1.weight" in names)}
