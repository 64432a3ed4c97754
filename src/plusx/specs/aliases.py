"""What people write for a network's keys who know torchvision, timm, Keras or mmpretrain, and what plusx calls it."""

from __future__ import annotations

RENAMED: dict[str, str] = {
    **dict.fromkeys(
        ("num_classes", "n_classes", "nb_classes", "num_class", "class_num", "nclasses", "num_labels", "out_features"),
        "classes",
    ),
    **dict.fromkeys(
        (
            "in_chans",
            "in_ch",
            "in_channel",
            "input_channels",
            "channels",
            "num_channels",
            "n_channels",
            "num_input_channels",
        ),
        "in_channels",
    ),
    **dict.fromkeys(("act_layer", "activation", "act_cfg", "hidden_act", "nonlinearity"), "act"),
    **dict.fromkeys(("norm_layer", "norm_cfg", "normalization", "norm_type"), "norm"),
    **dict.fromkeys(("base_width", "group_width", "width_per_groups", "bottleneck_width"), "width_per_group"),
    **dict.fromkeys(("cardinality", "num_groups", "n_groups"), "groups"),
    **dict.fromkeys(("layers", "blocks", "num_blocks", "n_blocks", "stage_blocks", "blocks_per_stage"), "depths"),
    **dict.fromkeys(("hidden_sizes", "planes", "num_filters", "filters"), "widths"),
    **dict.fromkeys(("block_type", "layer_type"), "block"),
    **dict.fromkeys(("zero_init_residual", "zero_init_last", "zero_gamma"), "zero_init"),
    **dict.fromkeys(("drop_path_rate", "stochastic_depth", "stochastic_depth_prob"), "drop_path"),
    **dict.fromkeys(("drop_rate", "dropout", "dropout_rate"), "head_dropout"),
    **dict.fromkeys(("stem_type", "replace_stem"), "stem"),
    **dict.fromkeys(("attention", "attn", "attn_layer"), "gate"),
    **dict.fromkeys(("se_ratio", "reduction", "rd_ratio"), "gate_ratio"),
    **dict.fromkeys(("os", "outputstride"), "output_stride"),
    **dict.fromkeys(("stem_channels", "stem_chs", "embedding_size"), "stem_width"),
    "stride": "strides",
    "dilation": "dilations",
    "residual": "join",
}
"""Their name and ours, where the value means the same."""

WEIGHTS = (
    "{key} is no key of a network. Trained weights stand beside its words: "
    'weights="FILE" in Python, --weights FILE on the command line.'
)
FEATURES = (
    '{key} is no key of a network. Its maps come from plusx.features(net, ("layer2", "layer3")), '
    "and until=layer3 cuts it there."
)
DEPTH = "{key} is no key of a network. It stands in the preset's name, like resnet50, or in depths=3,4,6,3."
SIZE = "{key} is no key of a network. Give the input's size as --size 224, or as plusx.analyse(network, 224)."
NAME = "{key} is no key of a network. The name of a preset is the first word, like resnet50 stem=deep."

ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(("pretrained", "weights", "checkpoint", "checkpoint_path", "init_cfg"), WEIGHTS),
    **dict.fromkeys(("out_indices", "features_only", "return_layers", "return_nodes"), FEATURES),
    **dict.fromkeys(("depth", "num_layers", "n_layers"), DEPTH),
    **dict.fromkeys(("size", "image_size", "img_size", "input_size", "resolution", "input_shape"), SIZE),
    "replace_stride_with_dilation": "{key} is written output_stride in plusx. Write output_stride=16 to dilate the last "
    "stage, or output_stride=8 to dilate the last two.",
    "deep_stem": "{key} is written stem in plusx. Write stem=deep.",
    "avg_down": "{key} is written shortcut in plusx. Write shortcut=D.",
    "style": "{key} is written stride_in in plusx. Write stride_in=3x3 for pytorch, or stride_in=1x1 for caffe.",
    "crop": "{key} is written padding in plusx. Write padding=valid for the trackers' cropped maps.",
    **dict.fromkeys(("name", "model", "arch", "model_name"), NAME),
}
"""What is no key of a network, and where plusx has it."""

RESPELT: dict[str, dict[str, str]] = {
    "act": {
        "swish": "silu", "swish_1": "silu", "hard_swish": "hardswish", "h_swish": "hardswish", "hswish": "hardswish",
        "leakyrelu": "leaky_relu", "lrelu": "leaky_relu",
    },
    "norm": {
        "bn": "batch", "batchnorm": "batch", "batchnorm2d": "batch", "batch_norm": "batch", "gn": "group",
        "groupnorm": "group", "group_norm": "group", "frozen_bn": "frozen", "frozenbatchnorm2d": "frozen",
    },
    "block": {"basicblock": "basic", "basic_block": "basic", "bottleneckblock": "bottleneck"},
    "stem": {"cifar": "3x3", "deep_tiered": "tiered", "deep3": "deep"},
    "gate": {"squeeze_excite": "se", "senet": "se", "squeezeexcitation": "se", "efficient": "eca"},
    "join": {"sum": "add", "multiply": "mul"},
    "gate_ratio": {**{str(n): f"1/{n}" for n in (2, 4, 8, 16, 32)}, **{str(1 / n): f"1/{n}" for n in (2, 4, 8, 16, 32)}},
    "order": {"v1": "post", "v2": "pre", "preact": "pre"},
    "output_stride": {"none": "natural"},
    "padding": {"none": "valid", "no": "valid", "0": "valid"},
    "shortcut": {"pad": "A", "zero_pad": "A", "projection": "B", "a": "A", "b": "B", "c": "C", "d": "D", "plain": "none"},
}  # fmt: skip
"""Values that people write, by key."""
