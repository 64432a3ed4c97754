"""The names of a ResNet's parts in ten ecosystems: templates as data, one dictionary for each ecosystem.

Placeholders: {s} stage from 1; {s0} and {s1} the same minus and plus one; {i} block from 0, {i1} from 1; {k} convolution of a
block from 1, {k0} from 0; {abc} its letter a, b, c; {block} Caffe's letter of a block; {flat} the number of the block in the
whole network; {n} convolution of a deep stem from 0, {n1} from 1, {n3} three times {n}, {n31} one more; {m}, {m1} the indices
of a pooled shortcut's convolution and norm in mmpretrain.
Roles: stem; deep (a stem of several convolutions, whose last norm has a role of its own); pooled (a D shortcut); `, group`
marks group norms.
Sources: the model definitions of each ecosystem (torchvision and timm models/resnet.py, timm models/resnetv2.py, mmdet and
mmpretrain models/backbones/resnet.py, detectron2 modeling/backbone/resnet.py, KaimingHe/deep-residual-networks prototxt,
transformers models/resnet/modeling_resnet.py, keras applications/resnet.py, PaddleClas arch/backbone/legendary_models/resnet.py)
and the keys of their published files.
"""

from __future__ import annotations

from typing import NamedTuple

Templates = dict[str, str]

TORCH_NORM = {
    name: "{name}." + name for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
}
NO_COUNT = {name: template for name, template in TORCH_NORM.items() if name != "num_batches_tracked"}
TORCH = {"weight": "{name}.weight", "bias": "{name}.bias"}
TIMM_GATES = {
    name: "{name}." + name
    for name in (
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "conv.weight", "channel.fc1.weight", "channel.fc2.weight",
        "spatial.conv.conv.weight", "spatial.conv.bn.weight", "spatial.conv.bn.bias", "spatial.conv.bn.running_mean",
        "spatial.conv.bn.running_var", "spatial.conv.bn.num_batches_tracked",
    )
}  # fmt: skip


class Dialect(NamedTuple):
    """The names of one ecosystem for networks of one `order`: ops by role, tensors by the kind of their op (conv, norm, linear, gate)."""

    ecosystem: str
    order: str
    ops: Templates
    tensors: dict[str, Templates]


def with_group_norm(ops: Templates, letter: str = "bn") -> Templates:
    """The templates, and those of group norms: like batch norms, with another prefix where the ecosystem has one."""
    norms = {role: template for role, template in ops.items() if role.endswith(("norm", "deep.last"))}
    return ops | {f"{role}, group": template.replace("bn", letter) for role, template in norms.items()}


TORCHVISION = Dialect(
    "torchvision",
    "post",
    with_group_norm({
        "stem.conv": "conv1", "stem.norm": "bn1", "stem.act": "relu", "stem.pool": "maxpool",
        "conv": "layer{s}.{i}.conv{k}", "norm": "layer{s}.{i}.bn{k}", "act": "layer{s}.{i}.relu", "out": "layer{s}.{i}.relu",
        "shortcut.conv": "layer{s}.{i}.downsample.0", "shortcut.norm": "layer{s}.{i}.downsample.1",
        "pool": "avgpool", "fc": "fc",
    }),
    {"conv": TORCH, "norm": TORCH_NORM, "linear": TORCH},
)  # fmt: skip

TIMM = Dialect(
    "timm",
    "post",
    with_group_norm({
        "stem.conv": "conv1", "deep.conv": "conv1.{n3}", "deep.norm": "conv1.{n31}", "stem.norm": "bn1", "stem.act": "act1",
        "stem.pool": "maxpool", "conv": "layer{s}.{i}.conv{k}", "norm": "layer{s}.{i}.bn{k}",
        "act": "layer{s}.{i}.act{k}", "out": "layer{s}.{i}.act{k}", "gate": "layer{s}.{i}.se",
        "shortcut.conv": "layer{s}.{i}.downsample.0", "shortcut.norm": "layer{s}.{i}.downsample.1",
        "pooled.pool": "layer{s}.{i}.downsample.0", "pooled.conv": "layer{s}.{i}.downsample.1",
        "pooled.norm": "layer{s}.{i}.downsample.2", "deep.last": "bn1", "pool": "global_pool", "fc": "fc",
    }),
    {"conv": TORCH, "norm": TORCH_NORM, "linear": TORCH, "gate": TIMM_GATES},
)  # fmt: skip

TIMM_V2 = Dialect(
    "timm",
    "pre",
    with_group_norm({
        "stem.conv": "stem.conv", "stem.pool": "stem.pool", "conv": "stages.{s0}.blocks.{i}.conv{k}",
        "norm": "stages.{s0}.blocks.{i}.norm{k}", "shortcut.conv": "stages.{s0}.blocks.{i}.downsample.conv",
        "pooled.pool": "stages.{s0}.blocks.{i}.downsample.pool", "pooled.conv": "stages.{s0}.blocks.{i}.downsample.conv",
        "deep.conv": "stem.conv{n1}", "deep.norm": "stem.norm{n1}",
        "last.norm": "norm", "pool": "head.global_pool", "fc": "head.fc",
    }),
    {"conv": TORCH, "norm": TORCH_NORM, "linear": TORCH},
)  # fmt: skip

MMDETECTION = Dialect(
    "MMDetection",
    "post",
    with_group_norm({
        "stem.conv": "backbone.conv1", "deep.conv": "backbone.stem.{n3}", "deep.norm": "backbone.stem.{n31}",
        "stem.norm": "backbone.bn1", "stem.act": "backbone.relu", "stem.pool": "backbone.maxpool",
        "deep.last": "backbone.stem.{n31}", "conv": "backbone.layer{s}.{i}.conv{k}", "norm": "backbone.layer{s}.{i}.bn{k}",
        "act": "backbone.layer{s}.{i}.relu", "out": "backbone.layer{s}.{i}.relu",
        "shortcut.conv": "backbone.layer{s}.{i}.downsample.0", "shortcut.norm": "backbone.layer{s}.{i}.downsample.1",
        "pooled.pool": "backbone.layer{s}.{i}.downsample.0", "pooled.conv": "backbone.layer{s}.{i}.downsample.1",
        "pooled.norm": "backbone.layer{s}.{i}.downsample.2",
    }, "gn"),
    {"conv": TORCH, "norm": TORCH_NORM, "linear": TORCH},
)  # fmt: skip

MMPRETRAIN = Dialect(
    "mmpretrain",
    "post",
    with_group_norm({
        **MMDETECTION.ops,
        "deep.conv": "backbone.stem.{n}.conv", "deep.norm": "backbone.stem.{n}.bn", "deep.last": "backbone.stem.{n}.bn",
        "pooled.conv": "backbone.layer{s}.{i}.downsample.{m}", "pooled.norm": "backbone.layer{s}.{i}.downsample.{m1}",
        "gate": "backbone.layer{s}.{i}.se_layer", "pool": "neck.gap", "fc": "head.fc",
    }, "gn"),
    {
        "conv": TORCH, "norm": TORCH_NORM, "linear": TORCH,
        "gate": {
            "fc1.weight": "{name}.conv1.conv.weight", "fc1.bias": "{name}.conv1.conv.bias",
            "fc2.weight": "{name}.conv2.conv.weight", "fc2.bias": "{name}.conv2.conv.bias",
        },
    },
)  # fmt: skip

DETECTRON2 = Dialect(
    "detectron2",
    "post",
    with_group_norm({
        "stem.conv": "backbone.bottom_up.stem.conv1", "stem.norm": "backbone.bottom_up.stem.conv1.norm",
        "deep.conv": "backbone.bottom_up.stem.conv{n1}", "deep.norm": "backbone.bottom_up.stem.conv{n1}.norm",
        "deep.last": "backbone.bottom_up.stem.conv{n1}.norm",
        "conv": "backbone.bottom_up.res{s1}.{i}.conv{k}", "norm": "backbone.bottom_up.res{s1}.{i}.conv{k}.norm",
        "shortcut.conv": "backbone.bottom_up.res{s1}.{i}.shortcut",
        "shortcut.norm": "backbone.bottom_up.res{s1}.{i}.shortcut.norm", "fc": "backbone.bottom_up.linear",
    }),
    {"conv": TORCH, "norm": NO_COUNT, "linear": TORCH},
)  # fmt: skip

BLOB = {"weight": "{name}_w", "bias": "{name}_b"}
MSRA = Dialect(
    "MSRA pkl",
    "post",
    {
        "stem.conv": "conv1", "stem.norm": "res_conv1_bn", "conv": "res{s1}_{i}_branch2{abc}",
        "norm": "res{s1}_{i}_branch2{abc}_bn", "shortcut.conv": "res{s1}_{i}_branch1", "shortcut.norm": "res{s1}_{i}_branch1_bn",
        "fc": "pred",
    },
    {
        "conv": BLOB, "linear": BLOB,
        "norm": {
            "weight": "{name}_gamma", "bias": "{name}_beta", "running_mean": "{name}_running_mean",
            "running_var": "{name}_running_var",
        },
    },
)  # fmt: skip

CAFFE_BLOB = {"weight": "{name}[0]", "bias": "{name}[1]"}
CAFFE = Dialect(
    "Caffe",
    "post",
    {
        "stem.conv": "conv1", "stem.norm": "bn_conv1", "stem.act": "conv1_relu", "stem.pool": "pool1",
        "conv": "res{s1}{block}_branch2{abc}", "norm": "bn{s1}{block}_branch2{abc}", "act": "res{s1}{block}_branch2{abc}_relu",
        "shortcut.conv": "res{s1}{block}_branch1", "shortcut.norm": "bn{s1}{block}_branch1", "join": "res{s1}{block}",
        "out": "res{s1}{block}_relu", "pool": "pool5", "fc": "fc1000",
    },
    {  # numbered blobs; BatchNorm has mean, variance and their factor, Scale has weight and bias
        "conv": CAFFE_BLOB, "linear": CAFFE_BLOB,
        "norm": {"weight": "{scale}[0]", "bias": "{scale}[1]", "running_mean": "{name}[0]", "running_var": "{name}[1]"},
    },
)  # fmt: skip

HUGGING_FACE = Dialect(
    "Hugging Face",
    "post",
    {
        "stem.conv": "resnet.embedder.embedder.convolution", "stem.norm": "resnet.embedder.embedder.normalization",
        "stem.pool": "resnet.embedder.pooler", "conv": "resnet.encoder.stages.{s0}.layers.{i}.layer.{k0}.convolution",
        "norm": "resnet.encoder.stages.{s0}.layers.{i}.layer.{k0}.normalization",
        "shortcut.conv": "resnet.encoder.stages.{s0}.layers.{i}.shortcut.convolution",
        "shortcut.norm": "resnet.encoder.stages.{s0}.layers.{i}.shortcut.normalization", "pool": "resnet.pooler",
        "fc": "classifier.1",
    },
    {"conv": TORCH, "norm": TORCH_NORM, "linear": TORCH},
)  # fmt: skip

KERAS_BLOB = {"weight": "{name}/kernel", "bias": "{name}/bias"}
KERAS = Dialect(
    "Keras",
    "post",
    {
        "stem.conv": "conv1_conv", "stem.norm": "conv1_bn", "stem.act": "conv1_relu", "stem.pool": "pool1_pool",
        "conv": "conv{s1}_block{i1}_{k}_conv", "norm": "conv{s1}_block{i1}_{k}_bn", "act": "conv{s1}_block{i1}_{k}_relu",
        "shortcut.conv": "conv{s1}_block{i1}_0_conv", "shortcut.norm": "conv{s1}_block{i1}_0_bn",
        "join": "conv{s1}_block{i1}_add", "out": "conv{s1}_block{i1}_out", "pool": "avg_pool", "fc": "predictions",
    },
    {
        "conv": KERAS_BLOB, "linear": KERAS_BLOB,
        "norm": {
            "weight": "{name}/gamma", "bias": "{name}/beta", "running_mean": "{name}/moving_mean",
            "running_var": "{name}/moving_variance",
        },
    },
)  # fmt: skip

PADDLE = Dialect(
    "Paddle",
    "post",
    {
        "stem.conv": "stem.0.conv", "stem.norm": "stem.0.bn", "deep.conv": "stem.{n}.conv", "deep.norm": "stem.{n}.bn",
        "deep.last": "stem.{n}.bn", "conv": "blocks.{flat}.conv{k0}.conv", "norm": "blocks.{flat}.conv{k0}.bn",
        "shortcut.conv": "blocks.{flat}.short.conv", "shortcut.norm": "blocks.{flat}.short.bn",
        "pooled.conv": "blocks.{flat}.short.conv", "pooled.norm": "blocks.{flat}.short.bn", "fc": "fc",
    },
    {
        "conv": TORCH, "linear": TORCH,
        "norm": {
            "weight": "{name}.weight", "bias": "{name}.bias", "running_mean": "{name}._mean", "running_var": "{name}._variance",
        },
    },
)  # fmt: skip

DIALECTS = (
    TORCHVISION, TIMM, TIMM_V2, MMDETECTION, MMPRETRAIN, DETECTRON2, MSRA, CAFFE, HUGGING_FACE, KERAS, PADDLE,
)  # fmt: skip
