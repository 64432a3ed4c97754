"""A network as a line that can be pasted: a command, Python, TOML, and the call of torchvision or timm that builds the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from plusx.specs import ResNetSpec
from plusx.specs.files import to_toml
from plusx.specs.parsing import read_words

TORCHVISION = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip
TIMM = (
    *TORCHVISION, "resnet200", "resnet50c", "resnet50d", "resnet50s", "resnet50t", "resnet18d", "resnet34d", "seresnet50",
    "resnetv2_50",
)  # fmt: skip
DILATED = {8: "[False, True, True]", 16: "[False, False, True]"}
TIMM_DILATES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet50d", "resnet18d", "resnet34d")
"""Presets of which timm's `output_stride` is compared with plusx's dilate=previous (tests/parity/test_timm.py)."""


def snippets(spec: ResNetSpec, size: str = "") -> dict[str, str]:
    """Form to text. `size` is the input's, where it is not the preset's. torchvision and timm only where one exists.

    >>> from plusx import spec
    >>> snippets(spec("resnet18 classes=10"))["torchvision"]
    'torchvision.models.resnet18(num_classes=10)'
    """
    text = str(spec)
    sized = f" --size {size}" if size else ""
    found = {
        "text": text,
        "command": f"plusx show {' '.join(map(shlex.quote, text.split()))}{sized}",
        "python": f"import plusx\n\nnet = plusx.build({json.dumps(text)})",
        "toml": _toml(spec),
    }
    calls = {"torchvision": torchvision_call(spec), "timm": timm_call(spec)}
    return found | {form: call for form, call in calls.items() if call is not None}


def _toml(spec: ResNetSpec) -> str:
    """The preset and the keys that differ from it, where TOML has a value for each of them; else all fields."""
    preset, words = _words(spec)
    values = spec.to_dict()
    if not words.keys() <= values.keys():
        return to_toml(spec)
    return "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in [("preset", preset), *((k, values[k]) for k in words)]
    )


def _words(spec: ResNetSpec) -> tuple[str, Mapping[str, object]]:
    preset, *words = str(spec).split()
    return preset, read_words(words)


def torchvision_call(spec: ResNetSpec) -> str | None:
    """The call of torchvision.models that builds the same network, or None."""
    preset, words = _words(spec)
    if preset not in TORCHVISION:
        return None
    given: list[str] = []
    rest = dict(words)
    if rest.pop("classes", None):
        given.append(f"num_classes={spec.classes}")
    if rest.pop("zero_init", False):
        given.append("zero_init_residual=True")
    if spec.block == "bottleneck" and spec.output_stride in DILATED and spec.dilate == "previous":
        given.append(f"replace_stride_with_dilation={DILATED[spec.output_stride]}")
        rest = {key: value for key, value in rest.items() if key not in ("output_stride", "dilate")}
    return None if rest or not _has_head(spec) else f"torchvision.models.{preset}({', '.join(given)})"


def timm_call(spec: ResNetSpec) -> str | None:
    """The call of timm.create_model that builds the same network, or None."""
    preset, words = _words(spec)
    if preset not in TIMM:
        return None
    given = [json.dumps(preset)]
    rest = dict(words)
    if rest.pop("in_channels", None):
        given.append(f"in_chans={spec.in_channels}")
    if "classes" in rest:
        given.append(f"num_classes={rest.pop('classes')}")
    if spec.output_stride in DILATED and spec.dilate == "previous" and preset in TIMM_DILATES:
        given.append(f"output_stride={spec.output_stride}")
        rest = {key: value for key, value in rest.items() if key not in ("output_stride", "dilate")}
    return None if rest else f"timm.create_model({', '.join(given)})"


def _has_head(spec: ResNetSpec) -> bool:
    return spec.until is None and spec.classes > 0
