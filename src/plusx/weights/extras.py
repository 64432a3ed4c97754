"""What lies beside a network in its file: named groups, and the names of classes."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from plusx.weights.flattening import FlatFile

KINDS: tuple[tuple[str, str], ...] = (
    (r"(^|\.)(total_ops|total_params)$", "THOP counters"),
    (r"(^|\.)n_averaged$", "EMA counter"),
    (r"_momentum$", "training state"),
    (r"(^|\.)(optimizer|optim|optimizer_states|optimizer_state_dict|lr_schedulers?|scheduler|scaler)\.", "training state"),
    (r"(^|\.)(queue|queue_ptr)$", "MoCo's queue"),
    (r"(^|\.)(encoder_k|momentum_encoder|target_encoder|key_encoder)\.", "momentum encoder"),
    (r"(^|\.)(projection_head|projector|projection|proj_head)\.", "projection head"),
    (r"(^|\.)(predictor|online_predictor|prediction_head)\.", "prediction head"),
    (r"(^|\.)prototypes\d*\.", "SwAV's prototypes"),
    (r"(^|\.)attnpool\.", "attention pool"),
    (r"(^|\.)(\w*fpn\w*)\.", "feature pyramid"),
    (r"(^|\.)(\w*rpn\w*|proposal_generator)\.", "region proposals"),
    (r"(^|\.)(roi_heads?|bbox_head|mask_head|\w*cls_score\w*|\w*bbox_pred\w*|\w*mask_net\w*)\.", "detection head"),
    (r"(^|\.)(decoder|segmentation_head|decode_head|auxiliary_head|aux_classifier)\.", "decoder"),
    (r"(^|\.)(\w*deconv\w*)\.", "deconvolutions"),
    (r"(^|\.)(student|model_?student)\.", "student"),
    (r"(^|\.)(teacher|model_?teacher)\.", "teacher"),
    (r"(^|\.)(model_ema|ema_state_dict|state_dict_ema|ema|ema_model)\.", "EMA"),
    (r"(^|\.)(fc|mlp|head)\.(\w+\.)?\d+\.", "MLP head"),
    (r"(^|\.)(fc|head|classifier|linear)\.", "head of another shape"),
)  # fmt: skip
CLASS_WORDS = ("class", "label", "categor", "names")


class Group(NamedTuple):
    """Tensors set aside: what they are called together, and their paths."""

    name: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({len(self.keys)}: {', '.join(self.keys[:2])}{', …' if self.keys[2:] else ''})"


def groups_of(flat: FlatFile, taken: set[str]) -> tuple[Group, ...]:
    """All tensors that are not `taken`, by what they are."""
    groups: dict[str, list[str]] = {}
    for name in flat.tensors:
        if name not in taken:
            groups.setdefault(_kind(name), []).append(name)
    return tuple(Group(name, tuple(keys)) for name, keys in groups.items())


def _kind(name: str) -> str:
    lowered = name.lower()
    for pattern, kind in KINDS:
        if re.search(pattern, lowered):
            return kind
    parts = name.split(".")
    return f"others under {'.'.join(parts[:2]) if len(parts) > 2 else parts[0]}"


def class_names(flat: FlatFile, classes: int) -> tuple[str, ...] | None:
    """The one list of as many names as there are classes, under a key that speaks of classes; None where it is not one."""
    found: set[tuple[str, ...]] = {
        value
        for key, value in flat.facts.items()
        if _is_names(value, classes) and any(word in key.lower() for word in CLASS_WORDS)
    }
    return found.pop() if len(found) == 1 else None


def _is_names(value: Any, classes: int) -> bool:
    return isinstance(value, tuple) and len(value) == classes > 0  # pyright: ignore[reportUnknownArgumentType]
