"""What stands beside a file: the config.json of Hugging Face, or the bundle that the file belongs to."""

from __future__ import annotations

import json
import math
from typing import Any

from plusx.bundles import Bundle, is_bundle, open_bundle
from plusx.bundles.bundle import WEIGHTS
from plusx.errors import DataError
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.weights.families import Family
from plusx.weights.labelling import names_of
from plusx.weights.stored import StoredFile

MOST_BYTES = 4 << 20


def _config(stored: StoredFile, family: Family) -> dict[str, Any]:
    """The config.json beside a Hugging Face file, where it is one of a ResNet; else nothing."""
    path = stored.path.parent / "config.json"
    if not family.config_file or not path.is_file():
        return {}
    try:
        found = json.loads(read_regular(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get("model_type") == "resnet" else {}


def config_fields(stored: StoredFile, family: Family) -> dict[str, tuple[Any, Message]]:
    """Fields of the spec that the config tells, each with its reason."""
    config, why = _config(stored, family), _("config.json beside the file")
    found: dict[str, tuple[Any, Message]] = {}
    if isinstance(config.get("downsample_in_bottleneck"), bool):
        found["stride_in"] = ("1x1" if config["downsample_in_bottleneck"] else "3x3", why)
    if config.get("downsample_in_first_stage") is True and isinstance(config.get("depths"), list):
        found["strides"] = ((2,) * len(config["depths"]), why)
    if config.get("hidden_act") == "relu":
        found["act"] = ("relu", why)
    return found


def config_refusal(stored: StoredFile, family: Family) -> Message | None:
    """Why plusx has no such network: another activation reaches only stem and ends of blocks there."""
    act = _config(stored, family).get("hidden_act", "relu")
    return (
        None
        if act == "relu"
        else _("its config.json has hidden_act {act!s:.40}, which reaches only a part of the layers", act=act)
    )


def config_classes(stored: StoredFile, family: Family, classes: int) -> tuple[str, ...] | None:
    """The names in the config's id2label, where it has as many as the network has classes."""
    table = _config(stored, family).get("id2label")
    if not isinstance(table, dict):
        return None
    try:
        names = tuple(names_of(table, stored.path))
    except DataError:
        return None
    return names if len(names) == classes else None


def config_preprocessing(stored: StoredFile) -> Preprocessing | None:
    """What timm's config.json beside the file says of its input, where it is one."""
    path = stored.path.parent / "config.json"
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        asked = json.loads(path.read_text(encoding="utf-8"))["pretrained_cfg"]
        crop_px = int(asked["input_size"][1])
        mean, std = (tuple(float(value) for value in asked[name]) for name in ("mean", "std"))
        return Preprocessing(
            "RGB", math.floor(crop_px / float(asked["crop_pct"])), crop_px, asked["interpolation"], mean=mean, std=std
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, ArithmeticError, RecursionError, DataError):
        return None


def bundle_around(stored: StoredFile) -> Bundle | None:
    """The bundle whose weights the file is: its spec counts more than shapes. Raises BundleError for a corrupt one."""
    folder = stored.path.parent
    return open_bundle(folder) if stored.path.name == WEIGHTS and is_bundle(folder) else None
