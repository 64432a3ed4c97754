"""The pretrained weights that plusx knows by name: docs/hub-table.md and its Chinese, made from `hub.entries.ENTRIES`.

python scripts/hub_table.py            writes both files
python scripts/hub_table.py check      exit 1 if a committed file is not current
"""

from __future__ import annotations

import sys
from pathlib import Path

from plusx.cli.weights.list import VERDICTS
from plusx.i18n import translate
from plusx.weights.hub.entries import ENTRIES
from plusx.weights.hub.entry import IMAGENET_MEAN, Entry

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEADS = {
    "en": (
        "# Pretrained weights by name",
        "`plusx weights list` shows this table, and [docs/hub.md](hub.md) says how names are used. A dash or *unknown* stands for what "
        "could not be verified. *Hash* is what the publisher states: torchvision's file names hold the first eight digits of the sha256. "
        "*Input* is the shorter side after resizing, the centre crop and the filter; top-1 is percent on ImageNet-1k with this input. "
        "*Frozen* says how well a linear classifier on the frozen network works on other images "
        "([arXiv 2010.16402](https://arxiv.org/abs/2010.16402)).",
        ("name", "network", "hash", "licence", "input", "top-1", "MiB", "frozen"),
        "Sources",
    ),
    "zh": (
        "# 按名称使用的预训练权重",
        "`plusx weights list` 会显示此表，[docs/hub.zh.md](hub.zh.md) 说明如何使用名称。短横线或“未知”表示未能核实。“哈希”是发布者公布的值：torchvision "
        "的文件名含 sha256 的前八位。“输入”依次为缩放后的短边、中心裁剪边长和插值方法；top-1 是以此输入在 ImageNet-1k 上的百分比。“冻结特征”表示在冻结网络的特征上训练线性分类器，"
        "用于别的图像时效果如何（[arXiv 2010.16402](https://arxiv.org/abs/2010.16402)）。",
        ("名称", "网络", "哈希", "许可", "输入", "top-1", "MiB", "冻结特征"),
        "来源",
    ),
}  # fmt: skip
SOURCES = {
    "en": (
        "- torchvision: the weights enums of `torchvision.models` (0.29.2) hold address, hash, accuracy, input and size. torchvision states "
        "no licence for weights; timm's cards give BSD-3-Clause for the same files.",
        "- timm: `pretrained_cfg` (1.0.31) holds address, licence and input; top-1 stands in the comparison table of its model cards.",
        "- Microsoft's repositories: `models/resnet/convert_resnet_to_pytorch.py` of transformers converted weights of timm and took the "
        "input of ConvNeXt. Which weights, and their licence, could not be verified.",
        "- Keras: `applications/resnet.py` holds address and md5, and keras.io/api/applications accuracy and size.",
    ),
    "zh": (
        "- torchvision：`torchvision.models`（0.29.2）的权重枚举含网址、哈希、准确率、输入和大小。torchvision 没有说明权重的许可；timm 的模型卡对同样的文件写的是 BSD-3-Clause。",
        "- timm：`pretrained_cfg`（1.0.31）含网址、许可和输入；top-1 见其模型卡的比较表。",
        "- Microsoft 的仓库：由 transformers 的 `models/resnet/convert_resnet_to_pytorch.py` 从 timm 的权重转换而来，输入取自 ConvNeXt。是哪份权重、许可为何，未能核实。",
        "- Keras：`applications/resnet.py` 含网址和 md5，准确率和大小见 keras.io/api/applications。",
    ),
}  # fmt: skip


def page(lang: str) -> str:
    """The page in a language: one row for each entry, then the sources."""
    title, intro, heads, sources = HEADS[lang]
    rows = [f"| {' | '.join(row(entry, lang))} |" for entry in ENTRIES.values()]
    table = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]
    return "\n".join([title, "", intro, "", *table, "", f"## {sources}", "", *SOURCES[lang], ""])


def row(entry: Entry, lang: str) -> tuple[str, ...]:
    asked = entry.input
    size = f"{asked.resize_px}, {asked.crop_px}, {asked.interpolation}"
    if asked.mean != IMAGENET_MEAN:
        size += f", mean {' '.join(f'{value:g}' for value in asked.mean)}, std {' '.join(f'{value:g}' for value in asked.std)}"
    network = f"`{entry.words}`" if entry.words else translate(entry.refuses or "", lang)
    verdict, why = translate(VERDICTS[entry.frozen.verdict], lang), translate(entry.frozen.why, lang)
    return (
        f"[`{entry.name}`]({entry.files[0].url})",
        network,
        "-" if entry.digest is None else str(entry.digest),
        translate(entry.licence, lang),
        size,
        "-" if entry.top1 is None else f"{entry.top1:.2f}",
        "-" if entry.mib is None else f"{entry.mib:.0f}",
        f"{verdict}：{why}" if lang == "zh" else f"{verdict}: {why}",
    )


PAGES = {"hub-table.md": "en", "hub-table.zh.md": "zh"}


def main() -> int:
    stale = [
        name for name, lang in PAGES.items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text(encoding="utf-8") != page(lang)
    ]  # fmt: skip
    if sys.argv[1:] == ["check"]:
        print("\n".join(f"docs/{name} is not current" for name in stale) or "the pages are current")
        return 1 if stale else 0
    for name, lang in PAGES.items():
        (DOCS / name).write_text(page(lang), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
