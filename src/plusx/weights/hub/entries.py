"""The shipped table of pretrained ResNets. What could not be verified says so; nothing is guessed.

Sources. torchvision: `torchvision.models` at 0.29.2, whose weights enums hold address, hash, accuracy, input and size.
timm: `pretrained_cfg` of 1.0.31 for address, licence and input, and the comparison table of its model cards for top-1.
transformers: models/resnet/convert_resnet_to_pytorch.py, which converted timm's weights; it does not say which.
Keras: applications/resnet.py for address and md5, keras.io/api/applications for accuracy and size.
tests/weights/hub/test_entries.py compares each row with torchvision and timm themselves.
"""

from __future__ import annotations

from typing import NamedTuple

from plusx.i18n import _
from plusx.weights.hub.entry import Entry, FrozenFeatures, InputFacts
from plusx.weights.hub.remote import Digest, RemoteFile, hub_file

# ---- how well frozen features transfer (Kornblith et al., arXiv 2010.16402: label smoothing and mixing cost them most) ----

PLAIN_LOSS = FrozenFeatures("good", _("trained with plain cross-entropy"))
NEW_RECIPE = FrozenFeatures("poor", _("trained with label smoothing, mixup and cutmix"))
STRIKES_BACK = FrozenFeatures("poor", _("trained with binary cross-entropy, label smoothing, mixup and cutmix"))
UNSTATED = FrozenFeatures("unknown", _("the publisher does not state the loss"))
UNMEASURED = FrozenFeatures("unknown", _("no comparison was found"))
WHICH = FrozenFeatures("unknown", _("converted from weights of timm, and it is not stated which"))

# ---- input ----

V1_INPUT = InputFacts(256, 224, "bilinear")
V2_INPUT = InputFacts(232, 224, "bilinear")
CROP_95 = InputFacts(235, 224, "bicubic")
"""timm's crop_pct 0.95: 224 / 0.95, rounded down."""
CROP_875 = InputFacts(256, 224, "bicubic")
BIT_INPUT = InputFacts(256, 224, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
KERAS_INPUT = InputFacts(224, 224, "bilinear", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), 1.0)

# ---- torchvision ----


class TorchvisionRow(NamedTuple):
    sha256: str
    top1: float
    mib: float
    input: InputFacts
    frozen: FrozenFeatures


TORCHVISION = {
    "resnet18:IMAGENET1K_V1": TorchvisionRow("f37072fd", 69.758, 44.661, V1_INPUT, PLAIN_LOSS),
    "resnet34:IMAGENET1K_V1": TorchvisionRow("b627a593", 73.314, 83.275, V1_INPUT, PLAIN_LOSS),
    "resnet50:IMAGENET1K_V1": TorchvisionRow("0676ba61", 76.130, 97.781, V1_INPUT, PLAIN_LOSS),
    "resnet50:IMAGENET1K_V2": TorchvisionRow("11ad3fa6", 80.858, 97.790, V2_INPUT, NEW_RECIPE),
    "resnet101:IMAGENET1K_V1": TorchvisionRow("63fe2227", 77.374, 170.511, V1_INPUT, PLAIN_LOSS),
    "resnet101:IMAGENET1K_V2": TorchvisionRow("cd907fc2", 81.886, 170.530, V2_INPUT, NEW_RECIPE),
    "resnet152:IMAGENET1K_V1": TorchvisionRow("394f9c45", 78.312, 230.434, V1_INPUT, PLAIN_LOSS),
    "resnet152:IMAGENET1K_V2": TorchvisionRow("f82ba261", 82.284, 230.474, V2_INPUT, NEW_RECIPE),
    "resnext50_32x4d:IMAGENET1K_V1": TorchvisionRow("7cdf4587", 77.618, 95.789, V1_INPUT, PLAIN_LOSS),
    "resnext50_32x4d:IMAGENET1K_V2": TorchvisionRow("1a0047aa", 81.198, 95.833, V2_INPUT, NEW_RECIPE),
    "resnext101_32x8d:IMAGENET1K_V1": TorchvisionRow("8ba56ff5", 79.312, 339.586, V1_INPUT, PLAIN_LOSS),
    "resnext101_32x8d:IMAGENET1K_V2": TorchvisionRow("110c445d", 82.834, 339.673, V2_INPUT, NEW_RECIPE),
    "resnext101_64x4d:IMAGENET1K_V1": TorchvisionRow("173b62eb", 83.246, 319.318, V2_INPUT, NEW_RECIPE),
    "wide_resnet50_2:IMAGENET1K_V1": TorchvisionRow("95faca4d", 78.468, 131.820, V1_INPUT, PLAIN_LOSS),
    "wide_resnet50_2:IMAGENET1K_V2": TorchvisionRow("9ba9bcbe", 81.602, 263.124, V2_INPUT, NEW_RECIPE),
    "wide_resnet101_2:IMAGENET1K_V1": TorchvisionRow("32ee1156", 78.848, 242.896, V1_INPUT, PLAIN_LOSS),
    "wide_resnet101_2:IMAGENET1K_V2": TorchvisionRow("d733dc28", 82.510, 484.747, V2_INPUT, NEW_RECIPE),
}  # fmt: skip
"""The first eight digits of the sha256 stand in the file's name. The first wide networks are stored in float16."""


def _torchvision(name: str, row: TorchvisionRow) -> Entry:
    network = name.partition(":")[0]
    url = f"https://download.pytorch.org/models/{network}-{row.sha256}.pth"
    return Entry(
        f"torchvision/{name}", network, (RemoteFile(url),), Digest("sha256", row.sha256), "unknown", row.input, row.top1,
        row.mib, row.frozen, "torchvision.models",
    )  # fmt: skip


# ---- timm ----


class TimmRow(NamedTuple):
    words: str
    top1: float | None
    licence: str
    input: InputFacts
    frozen: FrozenFeatures


APACHE, BSD, NON_COMMERCIAL = "apache-2.0", "bsd-3-clause", "cc-by-nc-4.0"
TIMM = {
    "resnet18.a1_in1k": TimmRow("resnet18", 71.49, APACHE, CROP_95, STRIKES_BACK),
    "resnet34.a1_in1k": TimmRow("resnet34", 76.42, APACHE, CROP_95, STRIKES_BACK),
    "resnet50.a1_in1k": TimmRow("resnet50", 80.38, APACHE, CROP_95, STRIKES_BACK),
    "resnet50.tv_in1k": TimmRow("resnet50", 76.13, BSD, V1_INPUT, PLAIN_LOSS),
    "resnet50d.ra2_in1k": TimmRow("resnet50d", 80.53, APACHE, CROP_875, UNSTATED),
    "resnet101.a1h_in1k": TimmRow("resnet101", 81.93, APACHE, CROP_95, STRIKES_BACK),
    "resnet152.a1h_in1k": TimmRow("resnet152", 82.80, APACHE, CROP_95, STRIKES_BACK),
    "wide_resnet50_2.racm_in1k": TimmRow("wide_resnet50_2", 81.45, APACHE, CROP_875, UNSTATED),
    "resnet18.fb_swsl_ig1b_ft_in1k": TimmRow("resnet18", 73.28, NON_COMMERCIAL, V1_INPUT, UNMEASURED),
    "resnet18.fb_ssl_yfcc100m_ft_in1k": TimmRow("resnet18", 72.60, NON_COMMERCIAL, V1_INPUT, UNMEASURED),
    "resnetv2_50x1_bit.goog_in21k": TimmRow("", None, APACHE, BIT_INPUT, UNMEASURED),
}  # fmt: skip


def _timm(name: str, row: TimmRow) -> Entry:
    return Entry(
        f"timm/{name}", row.words, (hub_file(f"timm/{name}", "model.safetensors"),), None, row.licence, row.input, row.top1,
        None, row.frozen, "timm", labels="imagenet-1k" if row.words else "",
        refuses=None if row.words else _("BiT standardises its weights in every pass"),
    )  # fmt: skip


# ---- Hugging Face's conversions of the paper's networks ----

MICROSOFT = {
    "resnet-18": "resnet18",
    "resnet-26": "resnet18 block=bottleneck",
    "resnet-34": "resnet34",
    "resnet-50": "resnet50",
    "resnet-101": "resnet101",
    "resnet-152": "resnet152",
}


def _microsoft(name: str, words: str) -> Entry:
    repo = f"microsoft/{name}"
    files = (hub_file(repo, "model.safetensors"), hub_file(repo, "pytorch_model.bin"))
    return Entry(f"hf:{repo}", words, files, None, "unknown", CROP_875, None, None, WHICH, "transformers")


# ---- Keras ----


class KerasRow(NamedTuple):
    md5: str
    top1: float
    mib: float


KERAS = {
    "resnet50": KerasRow("2cb95161c43110f7111970584f804107", 74.9, 98),
    "resnet101": KerasRow("f1aeb4b969a6efcfb50fad2f0c20cfc5", 76.4, 171),
    "resnet152": KerasRow("100835be76be38e30d865e96f2aaae62", 76.6, 232),
}


def _keras(name: str, row: KerasRow) -> Entry:
    url = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{name}_weights_tf_dim_ordering_tf_kernels.h5"
    return Entry(
        f"keras/{name}", f"{name} stride_in=1x1", (RemoteFile(url),), Digest("md5", row.md5), "unknown", KERAS_INPUT, row.top1,
        row.mib, UNSTATED, "keras.applications", colour="BGR",
    )  # fmt: skip


ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        *(_torchvision(name, row) for name, row in TORCHVISION.items()),
        *(_timm(name, row) for name, row in TIMM.items()),
        *(_microsoft(name, words) for name, words in MICROSOFT.items()),
        *(_keras(name, row) for name, row in KERAS.items()),
    )
}
"""Name to weights, in the order in which they are listed."""


def entry_of_sha256(digest: str) -> Entry | None:
    """The weights whose published hash is the beginning of this one."""
    for entry in ENTRIES.values():
        if entry.digest is not None and entry.digest.kind == "sha256" and digest.startswith(entry.digest.start):
            return entry
    return None
