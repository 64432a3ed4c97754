"""Chinese for the errors of analysis, svg, recipes and the command line."""

from __future__ import annotations

TEXTS = {
    # what is unknown (errors.unknown)
    "preset": "预设",
    "format": "格式",
    "command": "命令",
    "word for plusx {}": "plusx {0} 的参数",
    # recipes
    "The recipe {} has no name ({}). Write {}.": "配方 {0} 没有名字（{1}）。请写 {2}。",
    "{} cuts {} into parts of fewer than 2 images. Write {} or less.": "{0} 把 {1} 分成了不足 2 张图像的部分。请写 {2} 或更小。",
    "{} is no key of a recipe. Write it beside the recipe: --seed 1.": "{0} 不是配方的键。请写在配方之外：--seed 1。",
    "{} is written warmup in plusx, as a share of all steps. Write warmup=0.05.": "{0} 在 plusx 中写作 warmup，是占全部步数的比例。请写 warmup=0.05。",
    "recipe key": "配方键",
    "batch norm needs two images": "批归一化需要两张图像",
    # sizes
    "size {}; write a side in pixels like 224, or height x width like 480x640": "尺寸 {0}；请写像素边长，如 224，或 高x宽，如 480x640",
    # commands
    "plusx diff takes two networks ({} words here); quote each, like plusx diff \"resnet50 stem=deep\" resnet50": "plusx diff 要两个网络（这里有 {0} 个词）；请分别加引号，如 plusx diff \"resnet50 stem=deep\" resnet50",
    "--format torch prints every module and no sizes; leave out {}": "--format torch 打印每个模块而不含尺寸；请去掉 {0}",
    "{} holds no spec. Give a bundle or a run that plusx wrote.": "{0} 中没有规格。请给 plusx 写出的 bundle 或 run。",
    "{} is neither a bundle nor a run (no bundle.json, no run.json); give a preset, a file or a bundle": "{0} 既不是 bundle 也不是 run（没有 bundle.json 和 run.json）；请给预设、文件或 bundle",
    "stopped": "已停止",
}  # fmt: skip
