"""The words of a drawing in each language. Ops keep their notation everywhere (`Conv 3x3, c512, s2, p1`)."""

from __future__ import annotations

from typing import NamedTuple

from plusx.errors import PlusxError, unknown


class Labels(NamedTuple):
    """Texts with their places for values. Shortcut kinds stand in `shortcuts`, keys as `drawing.shortcut_kind` says them."""

    stem: str
    stage: str
    head: str
    input: str
    classes: str
    features: str
    map_out: str
    params: str
    macs: str
    convention: str
    field: str
    blocks: str
    shortcuts: dict[str, str]
    no_shortcut: str
    repeat: str
    downsampling: str
    pooling: str
    dilated: str
    gate: str
    norm: str
    activation: str
    dropout: str
    pre: str
    changed: str
    cut: str
    basic: str
    bottleneck: str
    against: str
    details: tuple[str, str, str]
    fold_hint: str
    table: tuple[str, ...]
    total: str
    whole: str


EN = Labels(
    stem="Stem",
    stage="Stage {}",
    head="Head",
    input="input",
    classes="{} classes",
    features="{} features",
    map_out="map {}",
    params="{} params",
    macs="{} MACs",
    convention="conv + linear",
    field="field {} px",
    blocks="{} blocks",
    shortcuts={
        "identity": "identity",
        "projection": "projection",
        "zeros": "zero padding",
        "pooled": "pooled projection",
    },
    no_shortcut="no shortcut: F(x) alone",
    repeat="= n equal blocks, separate weights",
    downsampling="downsampling",
    pooling="pooling",
    dilated="dilated",
    gate="gate",
    norm="norm ({})",
    activation="activation ({})",
    dropout="dropout",
    pre="pre-activation: norm and activation stand before their convolution",
    changed="changed",
    cut="cut: until={}",
    basic="Basic block",
    bottleneck="Bottleneck",
    against="{} against {}",
    details=("stages", "blocks", "ops"),
    fold_hint="Click a stage's name to fold or unfold it.",
    table=("part", "blocks", "output", "stride", "field", "params", "MACs", "share"),
    total="total",
    whole="From {} on every cell sees the whole image; the field given is the local one.",
)
ZH = Labels(
    stem="输入层",
    stage="阶段 {}",
    head="输出层",
    input="输入",
    classes="{} 类",
    features="{} 维特征",
    map_out="特征图 {}",
    params="{} 参数",
    macs="{} MACs",
    convention="卷积 + 全连接",
    field="感受野 {} 像素",
    blocks="{} 个残差块",
    shortcuts={"identity": "恒等", "projection": "投影", "zeros": "补零", "pooled": "池化加投影"},
    no_shortcut="无捷径：仅 F(x)",
    repeat="= n 个相同的块，权重各自独立",
    downsampling="下采样",
    pooling="池化",
    dilated="空洞卷积",
    gate="门控",
    norm="归一化（{}）",
    activation="激活（{}）",
    dropout="随机失活",
    pre="预激活：归一化与激活在各自的卷积之前",
    changed="有改动",
    cut="截断：until={}",
    basic="基本块",
    bottleneck="瓶颈块",
    against="{} 对比 {}",
    details=("阶段", "块", "算子"),
    fold_hint="点击阶段名称可折叠或展开。",
    table=("部分", "块数", "输出", "步长", "感受野", "参数", "MACs", "占比"),
    total="合计",
    whole="自 {} 起，每个位置都能看到整张图；表中为局部感受野。",
)
LABELS = {"en": EN, "zh": ZH}


def labels(lang: str) -> Labels:
    """The words of a language. Raises PlusxError with the nearest."""
    if lang not in LABELS:
        raise PlusxError(unknown("language", lang, LABELS))
    return LABELS[lang]


def count(number: int) -> str:
    """A count in three figures.

    >>> count(25_557_032), count(4_089_184_256), count(999_999), count(640)
    ('25.6 M', '4.09 G', '1.00 M', '640')
    """
    if number < 1000:
        return str(number)
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        value = number / size
        if value < 999.5 or unit == "T":
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"
