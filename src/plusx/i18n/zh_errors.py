"""Chinese for the errors of analysis, svg, recipes and the command line."""

from __future__ import annotations

TEXTS = {
    # what is unknown (errors.unknown)
    "preset": "预设",
    "key": "键",
    "ecosystem": "生态",
    # the language
    "an empty line names no network; write a preset like resnet50 (plusx presets lists them)": "空行没有指明网络；请写一个预设，如 resnet50（plusx presets 可列出全部）",
    "There is no preset {}. The nearest are {}. plusx presets lists all {}.": "没有预设 {0}。最接近的是 {1}。plusx presets 可列出全部 {2} 个。",
    "{} is a second preset. Write one preset, then words like {}.": "{0} 是第二个预设。请只写一个预设，其后写 {1} 这样的词。",
    "{} is not a key=value word. Write words like {}.": "{0} 不是 key=value 形式的词。请写 {1} 这样的词。",
    "{} is written twice ({} and {}). Leave one out.": "{0} 写了两次（{1} 和 {2}）。请去掉一个。",
    "{} takes {}, not {}.": "{0} 应为{1:t}，而不是 {2}。",
    "{} is written {} in plusx. Write {}.": "{0} 在 plusx 中写作 {1}。请写 {2}。",
    "{} is written {} in plusx. Write it like {}.": "{0} 在 plusx 中写作 {1}。写法如 {2}。",
    "{} is written output_stride in plusx. Write output_stride=16 to dilate the last stage, or output_stride=8 to dilate the last two.": "{0} 在 plusx 中写作 output_stride。请写 output_stride=16 使最后一个阶段膨胀，或 output_stride=8 使最后两个阶段膨胀。",
    "{} is written stride_in in plusx. Write stride_in=3x3 for pytorch, or stride_in=1x1 for caffe.": "{0} 在 plusx 中写作 stride_in。pytorch 风格请写 stride_in=3x3，caffe 风格请写 stride_in=1x1。",
    "{} is written padding in plusx. Write padding=valid for the trackers' cropped maps.": "{0} 在 plusx 中写作 padding。跟踪网络裁剪后的特征图请写 padding=valid。",
    '{} is no key of a network. Trained weights stand beside its words: weights="FILE" in Python, --weights FILE on the command line.': '{0} 不是网络的键。训练好的权重写在网络之外：Python 中用 weights="FILE"，命令行用 --weights FILE。',
    '{} is no key of a network. Its maps come from plusx.features(net, ("layer2", "layer3")), and until=layer3 cuts it there.': '{0} 不是网络的键。中间特征图用 plusx.features(net, ("layer2", "layer3")) 取得，until=layer3 则在该处截断。',
    "{} is no key of a network. It stands in the preset's name, like resnet50, or in depths=3,4,6,3.": "{0} 不是网络的键。它写在预设的名字里，如 resnet50，或写作 depths=3,4,6,3。",
    "{} is no key of a network. Give the input's size as --size 224, or as plusx.analyse(network, 224).": "{0} 不是网络的键。输入尺寸请写 --size 224，或 plusx.analyse(network, 224)。",
    "{} is no key of a network. The name of a preset is the first word, like resnet50 stem=deep.": "{0} 不是网络的键。预设的名字是第一个词，如 resnet50 stem=deep。",
    "The recipe {} has no name ({}). Write {}.": "配方 {0} 没有名字（{1}）。请写 {2}。",
    "{} cuts {} into parts of fewer than 2 images. Write {} or less.": "{0} 把 {1} 分成了不足 2 张图像的部分。请写 {2} 或更小。",
    "{} is no key of a recipe. Write it beside the recipe: --seed 1.": "{0} 不是配方的键。请写在配方之外：--seed 1。",
    "{} is written warmup in plusx, as a share of all steps. Write warmup=0.05.": "{0} 在 plusx 中写作 warmup，是占全部步数的比例。请写 warmup=0.05。",
    "recipe key": "配方键",
    "batch norm needs two images": "批归一化需要两张图像",
    # sizes
    # commands
    "{} stands for both {} and {}; give keys of tensors instead of ops": "{0} 同时指 {1} 和 {2}；请给张量的键而不是算子",
}  # fmt: skip
