"""Names of what lies beside a ResNet in a file: training state, other heads, class names. One table for every family."""

from __future__ import annotations

import re

from plusx.i18n import Message, _

KINDS: tuple[tuple[str, Message], ...] = (
    (r"(^|\.)(total_ops|total_params)$", _("THOP counters")),
    (r"(^|\.)n_averaged$", _("EMA counter")),
    (r"_momentum$", _("training state")),
    (r"(^|\.)(optimizer|optim|optimizer_states|optimizer_state_dict|lr_schedulers?|scheduler|scaler|adamw?|sgd)[./]", _("training state")),
    (r"(^|\.)(queue|queue_ptr)$", _("MoCo's queue")),
    (r"(^|\.)(encoder_k|momentum_encoder|target_encoder|key_encoder)\.", _("momentum encoder")),
    (r"(^|\.)(projection_head|projector|projection|proj_head)\.", _("projection head")),
    (r"(^|\.)(predictor|online_predictor|prediction_head)\.", _("prediction head")),
    (r"(^|\.)prototypes\d*\.", _("SwAV's prototypes")),
    (r"(^|\.)attnpool\.", _("attention pool")),
    (r"(^|\.)(\w*fpn\w*)\.", _("feature pyramid")),
    (r"(^|\.)(\w*rpn\w*|proposal_generator)\.", _("region proposals")),
    (r"(^|\.)(roi_heads?|bbox_head|mask_head|\w*cls_score\w*|\w*bbox_pred\w*|\w*mask_net\w*)\.", _("detection head")),
    (r"(^|\.)(decoder|segmentation_head|decode_head|auxiliary_head|aux_classifier)\.", _("decoder")),
    (r"(^|\.)(\w*deconv\w*)\.", _("deconvolutions")),
    (r"(^|\.)(student|model_?student)\.", _("student")),
    (r"(^|\.)(teacher|model_?teacher)\.", _("teacher")),
    (r"(^|\.)(model_ema|ema_state_dict|state_dict_ema|ema|ema_model)\.", _("EMA")),
    (r"(^|\.)(fc|mlp|head)\.(\w+\.)?\d+\.", _("MLP head")),
    (r"(^|\.)(fc|head|classifier|linear)\.", _("head of another shape")),
)  # fmt: skip
"""Patterns of tensors' lower-case paths, the first that is found, and what such tensors are."""

TRAINING_STATE = re.compile(r"((^|\.)(total_ops|total_params|n_averaged)|_momentum)$")
"""Counters and training state that lie among a network's own tensors and change nothing."""

SEGMENTATION_HEAD = re.compile(
    r"aspp|decode_head\.|psp_modules|(^|\.)ppm\.|segmentation_head\.|aux_classifier\.|conv2d_list"
)
"""Tensors of heads for dense prediction, which often stand on dilated stages."""

CLASS_WORDS = ("class", "label", "categor", "names")
"""Words in the key of a list that may name the classes."""


def kind_of(name: str) -> Message:
    """What a tensor beside a network is, by its path.

    >>> kind_of("model_ema.conv1.weight"), kind_of("a.b.c")
    ('EMA', 'others under a.b')
    """
    lowered = name.lower()
    for pattern, kind in KINDS:
        if re.search(pattern, lowered):
            return kind
    parts = re.split(r"([./])", name)
    return _("others under {path}", path="".join(parts[:3]) if len(parts) > 3 else parts[0])
