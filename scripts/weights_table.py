"""Which networks other systems can hold: docs/weights-table.md and its Chinese, made from `targets.expressible`.

python scripts/weights_table.py            writes both files
python scripts/weights_table.py check      exit 1 if a committed file is not current
"""

from __future__ import annotations

import sys
from pathlib import Path

from plusx.i18n import translate
from plusx.specs import parse
from plusx.weights.conversion.target_systems import TARGETS, expressible

DOCS = Path(__file__).resolve().parents[1] / "docs"
SPECS = (
    "resnet18", "resnet50", "resnet101 classes=7 in_channels=4", "resnet50 stride_in=1x1", "resnet50_caffe",
    "resnet50 stride_in=1x1 stem_bias=yes", "resnet50 stem_bias=yes", "resnet50 norm=none",
    "resnet50 norm=none stride_in=1x1", "resnet50 norm=group", "resnet50 norm=group16", "resnet50 norm=frozen",
    "resnet50c", "resnet50d", "resnet50t", "seresnet50", "ecaresnet50", "resnext50_32x4d", "wide_resnet50_2",
    "resnetv2_50", "resnet20", "plain18", "resnet50 output_stride=8", "resnet50 act=silu", "resnet50 join=modulate",
    "resnet50 shortcut=C", "resnet18 widths=8,16,32,64 stem_width=8", "resnet50 until=layer3",
)  # fmt: skip
HEADS = {
    "en": (
        "# Which networks other systems can hold",
        "`plusx weights convert FILE --to TARGET` writes a network where its cell says **yes** or **folded**. A folded "
        "network computes the same after its biases moved into norms. Where a cell says *no*, the reason stands below. "
        "plusx's own files hold every network, and Paddle's and Caffe's files are only read.",
        "Reasons", "network", {"expressible": "**yes**", "after folding": "**folded**", "refused": "no"}, ": ",
    ),
    "zh": (
        "# 其他系统能容纳哪些网络",
        "单元格为**是**或**折叠**时，`plusx weights convert FILE --to TARGET` 可写出该网络。折叠后的网络把偏置并入归一化层，"
        "计算结果相同。单元格为“否”时，原因见下文。plusx 自己的文件容纳所有网络，Paddle 和 Caffe 的文件只能读取。",
        "原因", "网络", {"expressible": "**是**", "after folding": "**折叠**", "refused": "否"}, "：",
    ),
}  # fmt: skip


def page(lang: str) -> str:
    """The page in a language: one row a network, one column a target, then the reasons."""
    title, intro, reasons_title, network, words, colon = HEADS[lang]
    targets = [target for target in TARGETS.values() if target.ecosystem]
    lines = [title, "", intro, "", f"| {network} | {' | '.join(target.name for target in targets)} |"]
    lines.append("|---" * (len(targets) + 1) + "|")
    reasons: list[str] = []
    for text in SPECS:
        answers = {target.name: expressible(parse(text), target) for target in targets}
        lines.append(f"| `{text}` | {' | '.join(words[answer] for answer, _ in answers.values())} |")
        by_reason: dict[str, list[str]] = {}
        for name, (answer, why) in answers.items():
            if answer != "expressible":
                by_reason.setdefault(translate(why, lang), []).append(name)
        if by_reason:
            parts = ("；" if lang == "zh" else "; ").join(
                f"{', '.join(names)}{colon}{why}" for why, names in by_reason.items()
            )
            reasons.append(f"- `{text}`{colon}{parts}")
    return "\n".join([*lines, "", f"## {reasons_title}", "", *reasons, ""])


PAGES = {"weights-table.md": "en", "weights-table.zh.md": "zh"}


def main() -> int:
    stale = [
        name for name, lang in PAGES.items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text(encoding="utf-8") != page(lang)
    ]  # fmt: skip
    if sys.argv[1:] == ["check"]:
        print("\n".join(f"docs/{name} is not current: run scripts/weights_table.py" for name in stale) or "current")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(page(PAGES[name]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
