"""Systems with names of their own: detectron2, MSRA and Detectron1, Hugging Face, timm's v2 nets, Keras, KerasHub, pycls, Haiku, Paddle, Caffe."""

from __future__ import annotations

import re

from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.names.dialects import (
    CAFFE,
    DETECTRON2,
    HUGGING_FACE,
    KERAS,
    MSRA,
    PADDLE,
    TIMM_V2,
    TORCH,
    TORCH_NORM,
    TORCHVISION,
    Dialect,
)
from plusx.weights.families.family import (
    BICUBIC,
    CAFFE_MEAN,
    CAFFE_STRIDE,
    DETECTRON_MEAN,
    IMAGENET,
    KERAS_MEAN,
    PLAIN,
    Family,
    Seen,
)  # fmt: skip
from plusx.weights.families.naming import Naming, rules_of
from plusx.weights.families.torchvision_like import BESIDE, CLASSIC

D2 = Naming(
    "detectron2",
    rules_of(DETECTRON2, prefix="backbone.bottom_up.") + rules_of(Dialect("d2", "post", {"fc": "linear"}, {"linear": TORCH})),
    re.compile(r"(res[2-7]|stem)\."),
)  # fmt: skip

AFFINE = {"weight": "{name}_s", "bias": "{name}_b"}
DETECTRON1 = Dialect("Detectron1", "post", MSRA.ops, {"norm": AFFINE})
FC1000 = Dialect("MSRA pkl", "post", {"fc": "fc1000"}, MSRA.tensors)
BLOBS = Naming("MSRA", rules_of(MSRA, DETECTRON1, FC1000), re.compile(r"(res\d_|res_conv1|conv1)"))

HF = Naming(
    "Hugging Face",
    rules_of(HUGGING_FACE, prefix="resnet."),
    re.compile(r"(encoder\.stages|embedder)\."),
    rules_of(HUGGING_FACE, Dialect("hf", "post", {"fc": "classifier"}, {"linear": TORCH})),
)
V2 = Naming("timm v2", rules_of(TIMM_V2), re.compile(r"(stages|stem|norm)\b"), BESIDE)


def keras_name(key: str) -> str:
    """`model.conv1_conv/conv1_conv/kernel:0` as `model.conv1_conv/kernel`: the layer once, and no output's number."""
    key = re.sub(r":\d+$", "", key)
    return re.sub(r"(^|[./])([^./]+)(?:[./]\2(?:_\d+)?)+(?=[./])", r"\1\2", key)


STATIC_NORM = {
    "weight": "{name}_scale", "bias": "{name}_offset", "running_mean": "{name}_mean", "running_var": "{name}_variance",
}  # fmt: skip
STATIC = {"conv": {"weight": "{name}_weights", "bias": "{name}_bias"}, "norm": STATIC_NORM}
PADDLE_STATIC = Dialect("Paddle static", "post", CAFFE.ops, STATIC)
PADDLE_HEAD = Dialect(
    "Paddle static", "post", {"fc": "fc_0"}, {"linear": {"weight": "{name}.w_0", "bias": "{name}.b_0"}}
)
PADDLE_VISION = Dialect("paddle.vision", "post", TORCHVISION.ops, PADDLE.tensors)
# facebookresearch/pycls, models/resnet.py and anynet.py: ResBlock has proj, bn and f, whose layers are a, a_bn, b, b_bn, c, c_bn;
# the first release numbers the stem as s1 (commit 1a1cf61), later ones call it stem. RegNet's blocks have the same names.
PYCLS_HEAD = {"fc": "head.fc"}
PYCLS = Dialect(
    "pycls", "post",
    PYCLS_HEAD | {
        "stem.conv": "stem.conv", "stem.norm": "stem.bn", "conv": "s{s}.b{i1}.f.{abc}", "norm": "s{s}.b{i1}.f.{abc}_bn",
        "shortcut.conv": "s{s}.b{i1}.proj", "shortcut.norm": "s{s}.b{i1}.bn",
    },
    {"conv": TORCH, "norm": TORCH_NORM, "linear": TORCH},
)  # fmt: skip
PYCLS_FIRST = Dialect(
    "pycls", "post",
    {
        role: template.replace("stem.", "s1.").replace("s{s}", "s{s1}") for role, template in PYCLS.ops.items()
    },
    PYCLS.tensors,
)  # fmt: skip
# dm-haiku, nets/resnet.py; a module made in a constructor has `~` in its path. DeepMind's BYOL is made of its blocks.
HAIKU_BLOCK = "block_group_{s0}/~/block_{i}/~/"
HAIKU = Dialect(
    "Haiku", "post",
    {"stem.conv": "initial_conv", "conv": f"{HAIKU_BLOCK}conv_{{k0}}", "shortcut.conv": f"{HAIKU_BLOCK}shortcut_conv"},
    {"conv": {"weight": "{name}/w"}},
)  # fmt: skip
HUB_STEM = {
    "stem.conv": "conv1_conv", "stem.norm": "conv1_bn", "deep.conv": "conv{n1}_conv", "deep.norm": "conv{n1}_bn",
    "conv": "stack{s0}_block{i}_{k}_conv", "shortcut.conv": "stack{s0}_block{i}_0_conv", "fc": "predictions",
}  # fmt: skip
HUB = Dialect(
    "KerasHub",
    "post",
    HUB_STEM | {"norm": "stack{s0}_block{i}_{k}_bn", "shortcut.norm": "stack{s0}_block{i}_0_bn"},
    KERAS.tensors,
)
HUB_V2 = Dialect(
    "KerasHub v2", "pre", HUB_STEM | {"norm": "stack{s0}_block{i}_{k0}_bn", "last.norm": "post_bn"}, KERAS.tensors
)
HUB_V2_FIRST = Dialect(
    "KerasHub v2", "pre", {"norm": "stack{s0}_block{i}_pre_activation_bn"}, {"norm": KERAS.tensors["norm"]}
)
PYCLS_INSIDE = re.compile(r"(s[1-7]|stem)\.")
HUB_INSIDE = re.compile(r"(conv\d|stack\d|post)_")
CAFFE_FACTOR = Dialect("Caffe", "post", CAFFE.ops, {"norm": {"factor": "{name}[2]"}})
KERAS_HEADS = rules_of(
    *(Dialect("Keras", "post", {"fc": name}, KERAS.tensors) for name in ("fc1000", "probs", "dense"))
)

NAMINGS = (
    D2,
    HF,
    V2,
    Naming("Keras", rules_of(KERAS) + KERAS_HEADS, re.compile(r"conv\d_"), clean=keras_name, kernel="HWIO", dense="IO"),
    Naming("KerasHub", rules_of(HUB), HUB_INSIDE, clean=keras_name, kernel="HWIO", dense="IO"),
    Naming("KerasHub v2", rules_of(HUB_V2, HUB_V2_FIRST), HUB_INSIDE, clean=keras_name, kernel="HWIO", dense="IO"),
    Naming("pycls", rules_of(PYCLS), PYCLS_INSIDE),
    Naming("pycls", rules_of(PYCLS_FIRST), PYCLS_INSIDE),
    Naming("Haiku", rules_of(HAIKU), re.compile(r"(block_group_\d|initial_)"), kernel="HWIO", dense="IO"),
    Naming("Paddle", rules_of(PADDLE), re.compile(r"(blocks|stem)\."), dense="IO"),
    Naming("paddle.vision", rules_of(PADDLE_VISION), CLASSIC.inside, dense="IO"),
    Naming("Paddle static", rules_of(PADDLE_STATIC, PADDLE_HEAD), re.compile(r"(res\d|bn\d|conv1|bn_conv1)"), dense="IO"),
    Naming("Caffe", rules_of(CAFFE, CAFFE_FACTOR), re.compile(r"(res\d|bn\d|scale\d|conv1|bn_conv1|scale_conv1)")),
    BLOBS,
)  # fmt: skip


def _always(seen: Seen) -> Message:
    return _("names of {naming}", naming=seen.naming)


def _from_torchvision(seen: Seen) -> Message | None:
    return _("its author is torchvision") if seen.facts.get("__author__") == "torchvision" else None


def _grouped(seen: Seen) -> Message | None:
    conv2 = seen.shapes.get("layer1.0.conv2.weight", (1, 1))
    return (
        _("grouped convolutions, whose configs stride in the 3x3") if seen.bottleneck and conv2[0] != conv2[1] else None
    )


def _detectron1(seen: Seen) -> Message | None:
    return (
        _("norms have a scale and an offset alone (_bn_s, _bn_b)")
        if any(name.endswith("_bn_s") for name in seen.theirs.values())
        else None
    )


def _bit(seen: Seen) -> Message | None:
    affine = "layer1.0.bn1.weight" in seen.shapes
    return (
        _("v2 names and norms without statistics")
        if affine and "layer1.0.bn1.running_mean" not in seen.shapes
        else None
    )


def _deep(seen: Seen) -> Message | None:
    return _("names of {naming} and a deep stem", naming=seen.naming) if "conv1.3.weight" in seen.shapes else None


def _regnet(seen: Seen) -> Message | None:
    small = seen.shapes.get("conv1.weight", (0,))[-1] == 3
    return _("names of pycls, a 3x3 stem and bottlenecks") if small and seen.bottleneck else None


def _pycls_1x1(seen: Seen) -> Message | None:
    """AnyNet, which made the published ResNets, always strides in the 3x3; its config still holds ResNet's default."""
    config = next((str(value) for key, value in seen.facts.items() if key.rpartition(".")[2] == "cfg"), "")
    asked = re.search(r"TYPE: resnet\b", config) and re.search(r"STRIDE_1X1: true", config, re.IGNORECASE)
    return _("names of pycls, and STRIDE_1X1 in the file's own config") if asked and seen.bottleneck else None


POOLED = {"shortcut": ("D", _("its deep stems come with average-pooled shortcuts (vd, resnetv2_50d)"))}
BESIDE_D = {"shortcut": ("B", _("its names are the same for a pooled shortcut, which comes with a deep stem"))}
HUB_D = {"shortcut": ("D", _("its deep stems come with average-pooled shortcuts (vd)"))}
HUB_IMAGES = Preprocessing("RGB", 224, 224, "bicubic")
HUB_SOURCE = "keras_hub utils/timm/preset_loader.py (a preset's own image_converter.json decides)"
FAMILIES = (
    Family(_("detectron2 from torchvision"), "detectron2", _from_torchvision, PLAIN, "RGB", IMAGENET, "detectron2 tools/convert-torchvision-to-d2.py"),
    Family(Message("detectron2 ResNeXt"), "detectron2", _grouped, PLAIN, "BGR", DETECTRON_MEAN, "detectron2 config/defaults.py"),
    Family(Message("detectron2"), "detectron2", _always, PLAIN | CAFFE_STRIDE, "BGR", DETECTRON_MEAN, "detectron2 config/defaults.py"),
    Family(Message("Hugging Face"), "Hugging Face", _always, PLAIN, "RGB", BICUBIC, "transformers' ConvNextImageProcessor of microsoft/resnet-50", config_file=True),
    Family(Message("BiT"), "timm v2", _bit, refuses=_("BiT standardises its weights in every pass")),
    Family(Message("timm v2"), "timm v2", _deep, PLAIN | POOLED, "RGB", BICUBIC, "timm's default_cfg"),
    Family(Message("timm v2"), "timm v2", _always, PLAIN | BESIDE_D, "RGB", BICUBIC, "timm's default_cfg"),
    Family(Message("Detectron1"), "MSRA", _detectron1, PLAIN | CAFFE_STRIDE, "BGR", CAFFE_MEAN, "Detectron core/config.py", zero_biases=True, affine_norms=True),
    Family(Message("MSRA"), "MSRA", _always, PLAIN | CAFFE_STRIDE, "BGR", DETECTRON_MEAN, "detectron2 config/defaults.py", zero_biases=True),
    Family(Message("Keras"), "Keras", _always, PLAIN | CAFFE_STRIDE, "BGR", KERAS_MEAN, "keras applications/imagenet_utils.py, mode caffe", eps=1.001e-5),
    Family(Message("KerasHub"), "KerasHub", _deep, PLAIN | HUB_D, "RGB", HUB_IMAGES, HUB_SOURCE),
    Family(Message("KerasHub"), "KerasHub", _always, PLAIN, "RGB", HUB_IMAGES, HUB_SOURCE),
    Family(Message("KerasHub v2"), "KerasHub v2", _always, PLAIN, "RGB", HUB_IMAGES, HUB_SOURCE),
    Family(_("RegNet of pycls"), "pycls", _regnet, refuses=_("RegNets stride in a stem of one 3x3 and in every stage, and pool nowhere")),
    Family(Message("pycls"), "pycls", _pycls_1x1, PLAIN | CAFFE_STRIDE, "BGR", IMAGENET, "pycls datasets/imagenet.py"),
    Family(Message("pycls"), "pycls", _always, PLAIN, "BGR", IMAGENET, "pycls datasets/imagenet.py"),
    Family(Message("Haiku"), "Haiku", _always, refuses=_("Haiku pads unevenly where it strides (SAME, as TensorFlow does), and plusx pads evenly")),
    Family(Message("Paddle"), "Paddle", _deep, PLAIN | POOLED, "RGB", IMAGENET, "PaddleClas configs"),
    Family(Message("Paddle"), "Paddle", _always, PLAIN | BESIDE_D, "RGB", IMAGENET, "PaddleClas configs"),
    Family(Message("paddle.vision"), "paddle.vision", _always, PLAIN, "RGB", IMAGENET, "PaddleClas configs (paddle.vision states none)"),
    Family(_("Paddle (static graph)"), "Paddle static", _always, PLAIN, "RGB", IMAGENET, "PaddleClas configs"),
    Family(Message("Caffe"), "Caffe", _always, PLAIN | CAFFE_STRIDE | {"stem_pool": ("caffe", _("its pools round sizes up"))}, "BGR", CAFFE_MEAN, "KaimingHe/deep-residual-networks (a mean image there)"),
)  # fmt: skip
