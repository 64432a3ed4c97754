"""Chinese for the errors of analysis, svg, recipes and the command line."""

from __future__ import annotations

TEXTS = {
    # what is unknown (errors.unknown)
    "preset": "预设",
    "format": "格式",
    "detail": "细节层次",
    "language": "语言",
    "theme": "主题",
    "figure": "指标",
    "command": "命令",
    "word for plusx {}": "plusx {0} 的参数",
    # recipes
    "The recipe {} has no name ({}). Write {}.": "配方 {0} 没有名字（{1}）。请写 {2}。",
    "{} cuts {} into parts of fewer than 2 images. Write {} or less.": "{0} 把 {1} 分成了不足 2 张图像的部分。请写 {2} 或更小。",
    "{} is no key of a recipe. Write it beside the recipe: --seed 1.": "{0} 不是配方的键。请写在配方之外：--seed 1。",
    "{} is written warmup in plusx, as a share of all steps. Write warmup=0.05.": "{0} 在 plusx 中写作 warmup，是占全部步数的比例。请写 warmup=0.05。",
    "recipe key": "配方键",
    "batch norm needs two images": "批归一化需要两张图像",
    "{} needs {}, which is not installed; pip install '{}', or write .svg or .html": "{0} 需要 {1}，尚未安装；请 pip install '{2}'，或写 .svg 或 .html",
    "a PNG of {} pixels would be too tall, {} is the most; write .svg or .pdf": "{0} 像素的 PNG 太高，上限为 {1}；请写 .svg 或 .pdf",
    # sizes
    "an input of {} has no pixels; give a side of 1 or more": "{0} 的输入没有像素；边长至少为 1",
    "{} gets a map of {} and leaves nothing of it; give a larger input or strides of 1": "{0} 收到 {1} 的特征图，处理后不剩任何东西；请给更大的输入，或步长 1",
    "{} joins maps of {} and {}; give another input size": "{0} 要合并 {1} 与 {2} 的特征图；请换一个输入尺寸",
    "size {}; write a side in pixels like 224, or height x width like 480x640": "尺寸 {0}；请写像素边长，如 224，或 高x宽，如 480x640",
    # commands
    "condition {} cannot be read; write one like macs>+1%, params>0 or field<400": "条件 {0} 无法识别；请写 macs>+1%、params>0 或 field<400 这样的条件",
    "{}, and --fail-if {} forbids it; change the network or the condition": "{0:t}，而 --fail-if {1} 不允许；请改网络或条件",
    "{} went from {} to {} ({})": "{0:t} 从 {1} 变为 {2}（{3:t}）",
    "from nothing": "原为零",
    "macs": "MACs",
    "plusx diff takes two networks ({} words here); quote each, like plusx diff \"resnet50 stem=deep\" resnet50": "plusx diff 要两个网络（这里有 {0} 个词）；请分别加引号，如 plusx diff \"resnet50 stem=deep\" resnet50",
    "--format torch prints every module and no sizes; leave out {}": "--format torch 打印每个模块而不含尺寸；请去掉 {0}",
    "{} holds no spec. Give a bundle or a run that plusx wrote.": "{0} 中没有规格。请给 plusx 写出的 bundle 或 run。",
    "{} is neither a bundle nor a run (no bundle.json, no run.json); give a preset, a file or a bundle": "{0} 既不是 bundle 也不是 run（没有 bundle.json 和 run.json）；请给预设、文件或 bundle",
    "stopped": "已停止",
}  # fmt: skip
