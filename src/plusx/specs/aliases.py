"""Names and values of torchvision, timm, Keras and mmpretrain, and what plusx writes instead of them."""

from __future__ import annotations

from plusx.i18n import Message, _

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
"""Another library's name to the key of the same meaning."""

WEIGHTS = _(
    "{key} is not a key of a network. Give trained weights beside its words: "
    'weights="FILE" in Python, or --weights FILE on the command line.'
)
FEATURES = _(
    '{key} is not a key of a network. Use plusx.features(net, ("layer2", "layer3")) for feature maps, '
    "or until=layer3 to end the network there."
)
DEPTH = _("{key} is not a key of a network. Write the name of a preset, like resnet50, or depths=3,4,6,3.")
SIZE = _(
    "{key} is not a key of a network. Give the size of the input as --size 224, or as plusx.analyse(network, 224)."
)
NAME = _("{key} is not a key of a network. Write the name of a preset as the first word, like resnet50 stem=deep.")
TRAINING = _(
    "{key} is not a key of a network but of a recipe. Write it behind --recipe, like --recipe 'epochs=3 lr=0.02'."
)

ELSEWHERE: dict[str, Message] = {
    **dict.fromkeys(
        (
            "epochs",
            "batch",
            "batch_size",
            "lr",
            "learning_rate",
            "optimiser",
            "optimizer",
            "opt",
            "schedule",
            "momentum",
            "weight_decay",
            "warmup",
            "label_smoothing",
            "mixup",
            "cutmix",
            "ema",
            "policy",
            "erase",
            "clip",
            "loss",
        ),
        TRAINING,
    ),
    **dict.fromkeys(("pretrained", "weights", "checkpoint", "checkpoint_path", "init_cfg"), WEIGHTS),
    **dict.fromkeys(("out_indices", "features_only", "return_layers", "return_nodes"), FEATURES),
    **dict.fromkeys(("depth", "num_layers", "n_layers"), DEPTH),
    **dict.fromkeys(("size", "image_size", "img_size", "input_size", "resolution", "input_shape"), SIZE),
    "replace_stride_with_dilation": _(
        "{key} is written output_stride in plusx. Write output_stride=16 to dilate the last stage, "
        "or output_stride=8 to dilate the last two."
    ),
    "deep_stem": _("{key} is written stem in plusx. Write stem=deep."),
    "avg_down": _("{key} is written shortcut in plusx. Write shortcut=D."),
    "style": _("{key} is written stride_in in plusx. Write stride_in=3x3 for pytorch, or stride_in=1x1 for caffe."),
    "crop": _("{key} is written padding in plusx. Write padding=valid for the cropped maps of trackers."),
    **dict.fromkeys(("name", "model", "arch", "model_name"), NAME),
}
"""Names that are not keys of a network, and what to write; `{key}` is the name as it was written."""

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
