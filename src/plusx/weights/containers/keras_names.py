"""Names and facts of Keras files: the same layer and weight names whatever version wrote the file.

Keras 1 and 2 keep a list `weight_names` on each layer's group. Keras 3's `.weights.h5` numbers layers by class and weights
by place (`layers/conv2d_3/vars/0`) and keeps the layer's name on `vars`, since 3.3; before, the configuration has it.
Sources: keras/src/legacy/saving/legacy_h5_format.py, keras/src/saving/saving_lib.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plusx.weights.stored import LayerFacts

MOST_LAYERS = 20_000
WEIGHTS = {
    "conv2d": ("kernel", "bias"), "dense": ("kernel", "bias"), "group_normalization": ("gamma", "beta"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}  # fmt: skip
KINDS = {
    "Conv2D": "Conv2d", "BatchNormalization": "BatchNorm2d", "Dense": "Linear", "MaxPooling2D": "MaxPool2d",
    "AveragePooling2D": "AvgPool2d", "GlobalAveragePooling2D": "AdaptiveAvgPool2d", "ZeroPadding2D": "ZeroPad2d",
    "GroupNormalization": "GroupNorm", "ReLU": "ReLU",
}  # fmt: skip
ACTIVATIONS = {
    "relu": "ReLU",
    "silu": "SiLU",
    "swish": "SiLU",
    "gelu": "GELU",
    "leaky_relu": "LeakyReLU",
    "hard_silu": "Hardswish",
}


def keras_names(
    paths: Iterable[str], texts: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any] | None
) -> dict[str, str]:
    """Path in the file to the name by layer and weight; a path that follows no rule of Keras stays as it is."""
    by_list = _by_list(texts)
    numbered = _numbered(config)
    found: dict[str, str] = {}
    for path in paths:
        new = by_list.get(path) or _by_place(path, texts, numbered) or path
        found[path] = new
    return found


def _by_list(texts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for group, attributes in texts.items():
        for name in _names_in(attributes):
            found[f"{group}/{name}".lstrip("/")] = name.removesuffix(":0")
    return found


def _names_in(attributes: Mapping[str, Any]) -> list[str]:
    """The list `weight_names`, which Keras cuts into `weight_names0`, `weight_names1`, … where it is too long for HDF5."""
    lists = [attributes.get("weight_names"), *(attributes.get(f"weight_names{k}") for k in range(len(attributes)))]
    return [name for names in lists if isinstance(names, list) for name in names]


def _by_place(path: str, texts: Mapping[str, Mapping[str, Any]], numbered: Mapping[str, str]) -> str | None:
    """`layers/conv2d_3/vars/0` as `conv2_block1_1_conv/kernel`."""
    match = re.fullmatch(r"(?:(.*)/)?([^/]+)/vars/(\d+)", path)
    if not match or (match[1] or "").startswith("optimizer"):
        return None
    group, place = path.rsplit("/", 1)[0], int(match[3])
    weights = WEIGHTS.get(re.sub(r"_\d+$", "", match[2]), ())
    layer = texts.get(group, {}).get("name") or numbered.get(match[2])
    if not isinstance(layer, str):
        layer = match[2]
    return f"{layer}/{weights[place] if place < len(weights) else place}"


def layers_of(config: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Every layer's configuration, those of nested models too, in the model's order."""
    waiting: list[Any] = [config]
    for _ in range(MOST_LAYERS):
        if not waiting:
            return
        item = waiting.pop()
        if not isinstance(item, Mapping):
            continue
        inner = item.get("config")
        layers = inner.get("layers") if isinstance(inner, Mapping) else inner
        if isinstance(layers, list):
            waiting.extend(reversed(layers))
        elif isinstance(inner, Mapping):
            yield item


def _numbered(config: Mapping[str, Any] | None) -> dict[str, str]:
    """`conv2d_3` to its layer's name: Keras 3 counts the layers of each class in the model's order."""
    counts: Counter[str] = Counter()
    found: dict[str, str] = {}
    for layer in layers_of(config):
        kind, name = layer.get("class_name"), layer["config"].get("name")
        if not isinstance(kind, str) or not isinstance(name, str):
            continue
        base = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", re.sub(r"\W+", "", kind)).lower()
        base = base.replace("conv2_d", "conv2d")
        found[f"{base}_{counts[base]}" if counts[base] else base] = name
        counts[base] += 1
    return found


def keras_facts(config: Mapping[str, Any] | None) -> dict[str, LayerFacts]:
    """What a model's configuration says of its layers, by their names."""
    found: dict[str, LayerFacts] = {}
    for layer in layers_of(config):
        kind, said = layer.get("class_name"), layer["config"]
        name = said.get("name")
        if not isinstance(kind, str) or not isinstance(name, str):
            continue
        if kind == "Activation":
            word = said.get("activation")
            found[name] = LayerFacts(ACTIVATIONS.get(word, word) if isinstance(word, str) else "Activation")
            continue
        words = {
            "strides": "stride", "kernel_size": "kernel_size", "pool_size": "kernel_size", "dilation_rate": "dilation",
            "groups": "num_groups" if kind == "GroupNormalization" else "groups", "epsilon": "eps", "padding": "padding",
            "use_bias": "bias", "units": "out_features", "filters": "out_channels", "activation": "activation",
            "data_format": "data_format",
        }  # fmt: skip
        attributes = {ours: _plain(said[theirs]) for theirs, ours in words.items() if _simple(said.get(theirs))}
        found[name] = LayerFacts(KINDS.get(kind, kind), attributes)
    return found


def _simple(value: Any) -> bool:
    return isinstance(value, bool | int | float | str) or (isinstance(value, list) and len(str(value)) < 100)


def _plain(value: Any) -> Any:
    return tuple(_plain(each) for each in value) if isinstance(value, list) else value
