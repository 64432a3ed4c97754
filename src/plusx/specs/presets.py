"""The named networks as data: words on top of the defaults, the side of the input, and the source of the network."""

from __future__ import annotations

from typing import NamedTuple

from plusx.i18n import Message, _


class Preset(NamedTuple):
    """A named network: key=value words, the side of its square input in pixels, and its paper or code."""

    words: str
    size_px: int
    source: str
    """A paper, a repository, or a message that names both."""


PAPER = "He et al. 2015, arXiv 1512.03385"
TIMM = "timm models/resnet.py"
TORCHVISION = "torchvision models/resnet.py"


TABLE_1 = _("table 1")


def _classical(words: str, table: Message = TABLE_1) -> Preset:
    source = _("{paper}, {table}; stride in the 3x3 as {repository}", paper=PAPER, table=table, repository=TORCHVISION)
    return Preset(words, 224, source)


def _cifar(n: int, shortcut: str) -> Preset:
    words = f"depths={n},{n},{n} widths=16,32,64 block=basic stem=3x3 stem_width=16 shortcut={shortcut} classes=10"
    return Preset(words, 32, _("{paper}, section 4.2", paper=PAPER))


def _preact(n: int, words: str) -> Preset:
    line = f"depths={n},{n},{n} widths=16,32,64 {words} stem=3x3 stem_width=16 order=pre classes=10"
    return Preset(
        line, 32, "He et al. 2016, arXiv 1603.05027; KaimingHe/resnet-1k-layers, fb.resnet.torch preresnet.lua"
    )


def _wide(n: int, k: int) -> Preset:
    widths = f"{16 * k},{32 * k},{64 * k}"
    words = f"depths={n},{n},{n} widths={widths} block=basic stem=3x3 stem_width=16 order=pre classes=10"
    return Preset(words, 32, "Zagoruyko & Komodakis 2016, arXiv 1605.07146")


def _caffe(depths: str, bias: str = "") -> Preset:
    words = f"depths={depths} stride_in=1x1 stem_pool=caffe{bias}"
    return Preset(words, 224, "KaimingHe/deep-residual-networks prototxt")


def _tracker(until: str, source: str) -> Preset:
    words = f"shortcut_kernel=3x3 strides=1,2,1,1 dilations=1,1,2,4 dilate=contract padding=valid until={until}"
    return Preset(words, 255, source)


BASIC_18, BASIC_34 = "depths=2,2,2,2 block=basic", "depths=3,4,6,3 block=basic"

PRESETS: dict[str, Preset] = {
    "resnet18": _classical(BASIC_18),
    "resnet34": _classical(BASIC_34),
    "resnet50": _classical("depths=3,4,6,3"),
    "resnet101": _classical("depths=3,4,23,3"),
    "resnet152": _classical("depths=3,8,36,3"),
    "resnet200": Preset("depths=3,24,36,3", 224, "fb.resnet.torch models/resnet.lua; timm"),
    "resnet200_paddle": Preset("depths=3,12,48,3 stem=deep shortcut=D", 224, "PaddleClas ResNet200_vd"),
    "plain18": _classical(f"{BASIC_18} shortcut=none", _("table 2")),
    "plain34": _classical(f"{BASIC_34} shortcut=none", _("figure 3, table 2")),
    **{f"resnet{6 * n + 2}": _cifar(n, "A") for n in (3, 5, 7, 9, 18, 200)},
    **{f"plain{6 * n + 2}": _cifar(n, "none") for n in (3, 5, 7, 9, 18)},
    "preresnet110": _preact(18, "block=basic shortcut=A"),
    "preresnet164": _preact(18, "stride_in=1x1"),
    "preresnet1001": _preact(111, "stride_in=1x1"),
    "resnetv2_50": Preset("order=pre", 224, "timm models/resnetv2.py resnetv2_50"),
    "resnext50_32x4d": Preset("groups=32 width_per_group=4", 224, f"Xie et al. 2016, arXiv 1611.05431; {TORCHVISION}"),
    "resnext101_32x8d": Preset("depths=3,4,23,3 groups=32 width_per_group=8", 224, TORCHVISION),
    "resnext101_64x4d": Preset("depths=3,4,23,3 groups=64 width_per_group=4", 224, TORCHVISION),
    "wide_resnet50_2": Preset("width_per_group=128", 224, f"arXiv 1605.07146; {TORCHVISION}"),
    "wide_resnet101_2": Preset("depths=3,4,23,3 width_per_group=128", 224, TORCHVISION),
    "wrn_28_10": _wide(4, 10),
    "wrn_40_4": _wide(6, 4),
    "resnet50c": Preset("stem=deep", 224, f"He et al. 2018, arXiv 1812.01187; {TIMM} resnet50c"),
    "resnet50d": Preset("stem=deep shortcut=D", 224, f"arXiv 1812.01187; {TIMM} resnet50d"),
    "resnet50s": Preset("stem=deep stem_width=128", 224, f"{TIMM} resnet50s"),
    "resnet50t": Preset("stem=tiered shortcut=D", 224, f"{TIMM} resnet50t"),
    "resnet18d": Preset(f"{BASIC_18} stem=deep shortcut=D", 224, f"{TIMM} resnet18d"),
    "resnet34d": Preset(f"{BASIC_34} stem=deep shortcut=D", 224, f"{TIMM} resnet34d"),
    "seresnet50": Preset("gate=se", 224, f"Hu et al. 2017, arXiv 1709.01507; {TIMM} seresnet50"),
    "ecaresnet50": Preset("gate=eca", 224, f"Wang et al. 2019, arXiv 1910.03151; {TIMM} layers/eca.py"),
    "resnet50_caffe": _caffe("3,4,6,3", " stem_bias=yes"),
    "resnet101_caffe": _caffe("3,4,23,3"),
    "resnet152_caffe": _caffe("3,8,36,3"),
    "resnet18_paddle": Preset(f"{BASIC_18} first_shortcut=project", 224, "PaddleClas ResNet18 (use_first_short_conv)"),
    "resnet34_paddle": Preset(f"{BASIC_34} first_shortcut=project", 224, "PaddleClas ResNet34 (use_first_short_conv)"),
    "resnet50_siamrpn": _tracker("layer4", "STVIR/pysot models/backbone/resnet_atrous.py"),
    "resnet50_siammask": _tracker("layer3", "foolwood/SiamMask experiments/siammask_sharp/resnet.py"),
}
