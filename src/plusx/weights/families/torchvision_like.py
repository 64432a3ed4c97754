"""torchvision's way of naming (`layer1.0.conv1`), and all that write it with small differences."""

from __future__ import annotations

import re

from plusx.i18n import Message, _
from plusx.names.dialects import (
    MMDETECTION,
    MMPRETRAIN,
    NO_COUNT,
    TIMM,
    TIMM_GATES,
    TORCH,
    TORCH_NORM,
    TORCHVISION,
    Dialect,
)
from plusx.weights.families.family import BICUBIC, CAFFE_STRIDE, DETECTRON_MEAN, IMAGENET, PLAIN, SMALL, Family, Seen
from plusx.weights.families.naming import Naming, rules_of

TORCH_TENSORS = {"conv": TORCH, "norm": TORCH_NORM, "linear": TORCH, "gate": TIMM_GATES}
STEMS = tuple(
    Dialect(name, "post", {"stem.conv": f"{stem}conv1", "stem.norm": f"{stem}bn1", **deep}, TORCH_TENSORS)
    for name, stem, deep in (
        ("own stems", "layer0.", {"deep.conv": "layer0.{n3}", "deep.norm": "layer0.{n31}"}),
        ("maskrcnn-benchmark", "stem.", {}),
        ("semseg", "", {"deep.conv": "conv{n1}", "deep.norm": "bn{n1}"}),
    )
)
SHORTCUTS = Dialect(
    "CIFAR",
    "post",
    {"shortcut.conv": "layer{s}.{i}.shortcut.0", "shortcut.norm": "layer{s}.{i}.shortcut.1", "last.norm": "norm"},
    TORCH_TENSORS,
)
HEADS = ("fc", "linear", "last_linear", "head.fc", "classifier", "head", "classifier.1", "cls_head.fc", "model.fc")
BESIDE = rules_of(*(Dialect("heads", "post", {"fc": name}, {"linear": TORCH}) for name in HEADS))
CADENE_SE = Dialect(
    "Cadene", "post", {"gate": "layer{s}.{i}.se_module"},
    {"gate": {name: template for name, template in TIMM_GATES.items() if name.startswith("fc")}},
)  # fmt: skip

CLASSIC = Naming(
    "torchvision",
    (
        *rules_of(TORCHVISION, TIMM),
        *rules_of(MMDETECTION, MMPRETRAIN, prefix="backbone."),
        *rules_of(*STEMS, SHORTCUTS, CADENE_SE),
    ),
    re.compile(r"(layer[1-6]\.\d|layer0|conv\d|bn\d|stem)\b"),
    BESIDE,
)

SEQUENTIAL = Naming(
    "Sequential",
    rules_of(
        Dialect(
            "Sequential",
            "post",
            {
                "stem.conv": "0", "stem.norm": "1", "deep.conv": "0.{n3}", "deep.norm": "0.{n31}",
                "conv": "{t}.{i}.conv{k}", "norm": "{t}.{i}.bn{k}", "gate": "{t}.{i}.se",
                "shortcut.conv": "{t}.{i}.downsample.0", "shortcut.norm": "{t}.{i}.downsample.1",
                "pooled.conv": "{t}.{i}.downsample.1", "pooled.norm": "{t}.{i}.downsample.2",
            },
            TORCH_TENSORS,
        )
    ),
    re.compile(r"\d+\b"),
    BESIDE,
)  # fmt: skip

WEIAICUNZAI = Naming(
    "weiaicunzai",
    rules_of(
        Dialect(
            "weiaicunzai",
            "post",
            {
                "stem.conv": "conv1.0", "stem.norm": "conv1.1", "conv": "conv{s1}_x.{i}.residual_function.{c}",
                "norm": "conv{s1}_x.{i}.residual_function.{c1}", "shortcut.conv": "conv{s1}_x.{i}.shortcut.0",
                "shortcut.norm": "conv{s1}_x.{i}.shortcut.1", "fc": "fc",
            },
            {"conv": TORCH, "norm": TORCH_NORM | NO_COUNT, "linear": TORCH},
        )
    ),
    re.compile(r"conv\d(_x)?\."),
)  # fmt: skip

NAMINGS = (CLASSIC, SEQUENTIAL, WEIAICUNZAI)


def _clip(seen: Seen) -> Message | None:
    return _("an attention pool (attnpool)") if seen.some_around(f"{seen.prefix}attnpool.") else None


def _mm(seen: Seen) -> Message | None:
    theirs = seen.theirs.values()
    if any(re.search(r"\.gn\d\.|^stem\.\d\.conv|\.se_layer\.", name) for name in theirs):
        return _("names gn1, stem.0.conv or se_layer")
    meta = any(key.startswith("meta.") for key in seen.facts)
    if meta and (seen.prefix.endswith("backbone.") or any("mm" in key or "CLASSES" in key for key in seen.facts)):
        return _("the file's meta")
    if any(name.startswith("stem.0.") for name in theirs):
        return _("the stem is named stem.0")
    head = seen.theirs.get("fc.weight", "")
    if seen.prefix.endswith("backbone.") and (
        head.endswith("head.fc.weight") or seen.some_around("bbox_head.", "decode_head.")
    ):
        return _("backbone. and its head's name")
    return None


def _mm_caffe(seen: Seen) -> Message | None:
    config = str(seen.facts.get("meta.config", ""))
    return _("style='caffe' in the file's own config") if "style='caffe'" in config and _mm(seen) else None


def _maskrcnn(seen: Seen) -> Message | None:
    return (
        _("the stem is named stem.conv1 beside layer1")
        if seen.theirs.get("conv1.weight") == "stem.conv1.weight"
        else None
    )


def _semseg(seen: Seen) -> Message | None:
    names = (seen.theirs.get("conv1.3.weight", ""), seen.theirs.get("conv1.0.weight", ""))
    if names[0] == "conv2.weight" or (names[1] == "layer0.0.weight" and names[0] == "layer0.3.weight"):
        return _(
            "the stem's convolutions are named {first}, {second}, …",
            first=names[1].removesuffix(".weight"),
            second=names[0].removesuffix(".weight"),
        )
    return None


def _akamaster(seen: Seen) -> Message | None:
    plain = not any(".downsample." in key for key in seen.shapes)
    small = seen.stages == 3 and seen.shapes.get("conv1.weight", (0,))[:1] == (16,)
    return _("linear, three stages from 16 channels and no projection") if plain and small and _linear(seen) else None


def _kuangliu(seen: Seen) -> Message | None:
    return (
        _("linear and shortcut.0")
        if _linear(seen) and any(".shortcut." in name for name in seen.theirs.values())
        else None
    )


def _linear(seen: Seen) -> bool:
    return seen.theirs.get("fc.weight") == "linear.weight" and seen.shapes.get("conv1.weight", (0,))[-1] == 3


def _cadene_senet(seen: Seen) -> Message | None:
    if not any(".se_module." in name for name in seen.theirs.values()):
        return None
    conv2 = seen.shapes.get("layer1.0.conv2.weight", (1, 1))
    return _("gates are named se_module") if seen.bottleneck and conv2[0] == conv2[1] else None


def _cadene_seresnext(seen: Seen) -> Message | None:
    return _("gates are named se_module") if any(".se_module." in name for name in seen.theirs.values()) else None


def _cadene(seen: Seen) -> Message | None:
    if seen.theirs.get("fc.weight") == "last_linear.weight":
        return _("the head is named last_linear")
    return None


def _trackers(seen: Seen) -> Message | None:
    shape = seen.shapes.get("layer2.0.downsample.0.weight", (0,))
    if shape[-1] == 3 and seen.bottleneck and "fc.weight" not in seen.shapes:
        return _("3x3 shortcuts from layer2 on and no fc")
    return None


def _timm(seen: Seen) -> Message | None:
    if "conv1.0.weight" in seen.shapes and "conv1.0.weight" in seen.theirs.values():
        return _("the stem's convolutions are named conv1.0, conv1.3, …")
    if any(".se." in key for key in seen.shapes):
        return _("gates are named se")
    return _("pooled shortcuts count the pool") if any(".downsample.2." in key for key in seen.shapes) else None


SELF_SUPERVISED = {
    "MoCo": ("encoder_k.", "encoder_q.", "momentum_encoder.", "queue"), "BYOL": ("target_encoder.", "online_encoder."),
    "DINO": ("last_layer.", "dino_loss"), "SwAV": ("prototypes",), _("Barlow Twins, VICReg or SimCLR"): ("projector.", "projection_head"),
}  # fmt: skip


def _self_supervised(seen: Seen) -> Message | None:
    for name, parts in SELF_SUPERVISED.items():
        other = seen.some_around(*parts)
        if other or any(part in seen.prefix for part in parts[:2]):
            return _("{name}, by {key} in the file", name=name, key=other or seen.prefix)
    return None


def _smp(seen: Seen) -> Message | None:
    if seen.prefix.endswith("encoder.") and seen.some_around("decoder.", "segmentation_head."):
        return _("encoder. beside decoder. and segmentation_head.")
    return None


def _segmentation(seen: Seen) -> Message | None:
    start = seen.prefix.removesuffix("backbone.")
    if not seen.prefix.endswith("backbone.") or "fc.weight" in seen.shapes:
        return None
    beside = {name for name in seen.around if name.startswith(f"{start}classifier.")}
    last = f"{start}classifier.4.weight"  # what ends both of torchvision's heads, DeepLab's and FCN's
    return _("backbone. beside {last}", last=last) if last in beside else None


def _fastai(seen: Seen) -> Message | None:
    head = seen.some_around(f"{seen.prefix[: -len('0.')]}1.") if seen.prefix.endswith("0.") else None
    return _("body 0. beside head {head}", head=head) if head else None


def _always(seen: Seen) -> Message:
    return _("names of {naming}, and no sign of another system", naming=seen.naming)


TRACKERS = PLAIN | {
    "strides": ((1, 2, 1, 1), _("pysot and SiamMask stride to 8")), "dilations": ((1, 1, 2, 4), _("they dilate the last stages")),
    "padding": ("valid", _("their stem and strided 3x3 are not padded")), "dilate": ("contract", _("the first block of a stage keeps half the rate")),
}  # fmt: skip
SEGMENTATION = PLAIN | {
    "strides": ((1, 2, 1, 1), _("its segmentation networks keep stride 8")),
    "dilations": ((1, 1, 2, 4), _("its segmentation networks dilate the last two stages")),
    "dilate": ("previous", _("the first block of a stage keeps the rate before")),
}
OPTION_A = {
    "shortcut": ("A", _("its default shortcut fills channels with zeros")),
    "shortcut_align": ("centre", _("it fills as many channels in front as behind")),
    "stem_pool": ("none", _("nothing pools after a 3x3 stem")),
}
TV = "torchvision's weights IMAGENET1K_V1 (V2 resizes to 232)"
# Neither prepares sizes: segmentation_models_pytorch 0.6.0, encoders/_preprocessing.py, subtracts a mean and divides by a deviation
# that its hub's configs name; fastai 2.8, vision/learner.py, _resnet_meta, has imagenet_stats, and item_tfms of a user resize.
SMP = "smp's encoders/_preprocessing.py, which resizes nothing (256 and 224 are torchvision's)"
FASTAI = "fastai's imagenet_stats, which resize nothing (256 and 224 are torchvision's)"

# Cadene/pretrained-models.pytorch, models/senet.py: SENet.layer0 ends with MaxPool2d(3, 2, ceil_mode=True) in every network;
# SEResNetBottleneck strides in conv1, SEResNeXtBottleneck and SEBottleneck in conv2; RGB, 224, mean and std of ImageNet.
# hszhao/semseg, model/resnet.py: conv1, conv2, conv3 before maxpool(3, 2, padding 1), bottlenecks stride in conv2.
FAMILIES = (
    Family(Message("CLIP"), "torchvision", _clip, refuses=_("CLIP's ModifiedResNet pools by attention, and by averages before its strided convolutions")),
    Family(_("MMDetection or mmpretrain, style caffe"), "torchvision", _mm_caffe, PLAIN | CAFFE_STRIDE, "BGR", DETECTRON_MEAN, "mmdet configs with style='caffe'"),
    Family(_("MMDetection or mmpretrain"), "torchvision", _mm, PLAIN | {"norm": ("group32", _("its group norms have 32 groups"))}, "RGB", IMAGENET, "mmpretrain configs/_base_/datasets/imagenet_bs32.py"),
    Family(Message("maskrcnn-benchmark"), "torchvision", _maskrcnn, PLAIN | CAFFE_STRIDE, "BGR", DETECTRON_MEAN, "maskrcnn-benchmark config/defaults.py"),
    Family(Message("semseg"), "torchvision", _semseg, PLAIN, "RGB", IMAGENET, "hszhao/semseg"),
    Family(Message("akamaster"), "torchvision", _akamaster, PLAIN | OPTION_A, "RGB", SMALL, "akamaster/pytorch_resnet_cifar10 trainer.py"),
    Family(Message("kuangliu"), "torchvision", _kuangliu, PLAIN | {"stem_pool": ("none", _("nothing pools after a 3x3 stem"))}, "RGB", SMALL, "kuangliu/pytorch-cifar main.py"),
    Family(_("Cadene's SENet"), "torchvision", _cadene_senet, PLAIN | CAFFE_STRIDE | {"stem_pool": ("caffe", _("its pool rounds sizes up"))}, "RGB", IMAGENET, "Cadene/pretrained-models.pytorch"),
    Family(_("Cadene's SE-ResNeXt"), "torchvision", _cadene_seresnext, PLAIN | {"stem_pool": ("caffe", _("its pool rounds sizes up"))}, "RGB", IMAGENET, "Cadene/pretrained-models.pytorch"),
    Family(Message("Cadene"), "torchvision", _cadene, PLAIN, "RGB", IMAGENET, "Cadene/pretrained-models.pytorch"),
    Family(_("pysot or SiamMask"), "torchvision", _trackers, TRACKERS, "BGR", None, ""),
    Family(_("torchvision's segmentation"), "torchvision", _segmentation, SEGMENTATION, "RGB", IMAGENET, TV),
    Family(Message("timm"), "torchvision", _timm, PLAIN, "RGB", BICUBIC, "timm's default_cfg (a model's own pretrained_cfg decides)"),
    Family(_("self-supervised"), "torchvision", _self_supervised, PLAIN, "RGB", IMAGENET, TV, embeds=True),
    Family(Message("smp"), "torchvision", _smp, PLAIN, "RGB", IMAGENET, SMP),
    Family(Message("torchvision"), "torchvision", _always, PLAIN, "RGB", IMAGENET, TV),
    Family(Message("fastai"), "Sequential", _fastai, PLAIN, "RGB", IMAGENET, FASTAI),
    Family(_("Sequential of torchvision's children"), "Sequential", _always, PLAIN, "RGB", IMAGENET, TV),
    Family(Message("weiaicunzai"), "weiaicunzai", _always, PLAIN | {"stem_pool": ("none", _("nothing pools after a 3x3 stem"))}, "RGB", SMALL, "weiaicunzai/pytorch-cifar100"),
)  # fmt: skip
