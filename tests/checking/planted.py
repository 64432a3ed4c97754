"""The planted mistakes: one edit each of a network of `nets/`, and what `plusx check` must find, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

NETS = Path(__file__).parent / "nets"


class Planted(NamedTuple):
    """`old` becomes `new` in `net`; `code` is the finding, at `place` (the beginning of the first place), a note where said."""

    name: str
    net: str
    old: str
    new: str
    code: str
    place: str
    note: bool = False

    @property
    def level(self) -> str:
        return "note" if self.note else "deviation"

    @property
    def made(self) -> str:
        """The name of the network in the edited file."""
        return {"residual": "ResNet8"}.get(self.net, "ResNet19" if "ResNet19" in self.new else "Net")

    @property
    def source(self) -> str:
        text = (NETS / f"{self.net}.py").read_text(encoding="utf-8")
        assert text.count(self.old) == 1, (self.name, text.count(self.old))
        return text.replace(self.old, self.new)


BASIC_1 = "        out = self.relu(self.bn1(self.conv1(x)))\n"
BASIC_2 = "        out = self.bn2(self.conv2(out))\n"
ADD = "        out = out + identity\n        return self.relu(out)\n"
MAKES = "        self.avgpool = nn.AdaptiveAvgPool2d(1)\n"
MADE = (NETS / "cifar.py").read_text(encoding="utf-8").partition("ModuleList(blocks)\n")[2]
"""The end of the CIFAR network, from its fc on."""

PLANTED = (
    Planted("ReLU before the addition", "basic", BASIC_2 + "        if", "        out = self.relu(self.bn2(self.conv2(out)))\n        if", "act_at_end", "layer1.0"),
    Planted("ReLU before instead of after the addition", "bottleneck", "        out = self.bn3(self.conv3(out))\n        out += self.shortcut(x)\n        return self.relu(out)", "        out = self.relu(self.bn3(self.conv3(out)))\n        return out + self.shortcut(x)", "relu_before_add", "stages.0.0"),
    Planted("no ReLU after the addition", "basic", ADD, "        return out + identity\n", "no_relu_after_add", "layer1.0"),
    Planted("no ReLU between the convolutions", "basic", BASIC_1, "        out = self.bn1(self.conv1(x))\n", "missing_act", "layer1.0.conv1"),
    Planted("ReLU before the norm", "basic", BASIC_1, "        out = self.bn1(self.relu(self.conv1(x)))\n", "order", "layer1.0.conv1"),
    Planted("no norm after a convolution", "bottleneck", "self.bn2(self.conv2(out))", "self.conv2(out)", "missing_norm", "stages.0.0.conv2"),
    Planted("no norm on the projection", "basic", "bias=False),\n                nn.BatchNorm2d(c_out),\n", "bias=False),\n", "shortcut_norm", "layer2.0.downsample.0"),
    Planted("ReLU on the projection", "basic", "                nn.BatchNorm2d(c_out),\n            )", "                nn.BatchNorm2d(c_out), nn.ReLU(),\n            )", "shortcut_act", "layer2.0.downsample.2"),
    Planted("3x3 projection", "basic", "nn.Conv2d(c_in, c_out, kernel_size=1, stride=stride, bias=False),", "nn.Conv2d(c_in, c_out, kernel_size=3, stride=stride, padding=1, bias=False),", "shortcut_kernel", "layer2.0.downsample.0"),
    Planted("projection in stage 1 of a basic network", "basic", "        if stride != 1 or c_in != c_out:", "        if first:", "first_projection", "layer1.0.downsample.0"),
    Planted("norm after the addition", "basic", BASIC_2 + "        if self.downsample is not None:\n            identity = self.downsample(x)\n        out = out + identity\n", "        out = self.conv2(out)\n        if self.downsample is not None:\n            identity = self.downsample(x)\n        out = self.bn2(out + identity)\n", "norm_after_add", "layer1.0"),
    Planted("no shortcut in the blocks without a projection", "basic", "        out = out + identity\n", "        if self.downsample is not None:\n            out = out + identity\n", "no_shortcut", "layer1.0"),
    Planted("shortcut taken after the first convolution", "basic", "        identity = x\n" + BASIC_1, "        identity = x\n" + BASIC_1 + "        if self.downsample is None:\n            identity = out\n", "late_shortcut", "layer1.0"),
    Planted("branch added to itself", "basic", "        out = out + identity\n", "        out = out + (identity if self.downsample is not None else out)\n", "added_twice", "layer1.0"),
    Planted("multiplied instead of added", "basic", "        out = out + identity\n", "        out = out * identity\n", "join", "layer1.0"),
    Planted("stride in the 1x1 of a bottleneck", "bottleneck", "kernel_size=1, bias=False)\n        self.bn1 = nn.BatchNorm2d(width)\n        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride,", "kernel_size=1, stride=stride, bias=False)\n        self.bn1 = nn.BatchNorm2d(width)\n        self.conv2 = nn.Conv2d(width, width, kernel_size=3,", "stride_in_1x1", "stages.1.0.conv1", note=True),
    Planted("stride in the second convolution of one stage", "basic", "        self.layer3 = stage(16, 32, depths[2], 2)\n", "        self.layer3 = stage(16, 32, depths[2], 2)\n        self.layer3[0].conv1.stride, self.layer3[0].conv2.stride = (1, 1), (2, 2)\n", "stride_place", "layer3.0.conv2"),
    Planted("stage without its stride", "basic", "stage(16, 32, depths[2], 2)", "stage(16, 32, depths[2], 1)", "stride", "layer3.0.conv1"),
    Planted("a stage with one block too many", "basic", "depths=(2, 2, 2, 2)", "depths=(2, 3, 2, 2)", "extra_block", "layer2.2"),
    Planted("a stage with one block too few", "basic", "depths=(2, 2, 2, 2)", "depths=(3, 4, 5, 3)", "missing_block", "layer3.4"),
    Planted("one kernel of the wrong size", "basic", MAKES, MAKES + "        self.layer2[1].conv2 = nn.Conv2d(16, 16, 5, padding=2, bias=False)\n", "kernel", "layer2.1.conv2"),
    Planted("a wrong padding of the stem", "basic", "kernel_size=7, stride=2, padding=3", "kernel_size=7, stride=2, padding=1", "padding", "conv1"),
    Planted("no max pool", "basic", "        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))", "        x = self.relu(self.bn1(self.conv1(x)))", "no_stem_pool", "conv1"),
    Planted("max pool without padding", "basic", "nn.MaxPool2d(kernel_size=3, stride=2, padding=1)", "nn.MaxPool2d(kernel_size=3, stride=2)", "stem_pool", "maxpool"),
    Planted("no ReLU in the stem", "basic", "self.maxpool(self.relu(self.bn1(self.conv1(x))))", "self.maxpool(self.bn1(self.conv1(x)))", "missing_act", "conv1"),
    Planted("another activation in one block", "basic", MAKES, MAKES + "        self.layer3[1].relu = nn.SiLU()\n", "act_kind", "layer3.1.relu"),
    Planted("GroupNorm in one place", "basic", MAKES, MAKES + "        self.layer3[1].bn2 = nn.GroupNorm(4, 32)\n", "norm_kind", "layer3.1.bn2"),
    Planted("dropout at the end of the branch", "basic", BASIC_2 + "        if", "        out = F.dropout(self.bn2(self.conv2(out)), 0.3, self.training)\n        if", "dropout_place", "layer1.0"),
    Planted("dropout that drops in eval mode too", "basic", "        return self.fc(x)", "        return self.fc(F.dropout(x, 0.5))", "dropout_always", "dropout"),
    Planted("softmax at the end", "basic", "        return self.fc(x)", "        return F.softmax(self.fc(x), dim=1)", "softmax", "softmax"),
    Planted("average pool of a fixed size", "basic", MAKES, "        self.avgpool = nn.AvgPool2d(7)\n", "fixed_pool", "avgpool", note=True),
    Planted("no global pool", "basic", "        x = torch.flatten(self.avgpool(x), 1)\n", "        x = torch.flatten(x, 1)\n", "no_global_pool", "fc"),
    Planted("momentum as in TensorFlow", "cifar", "        self.bn = nn.BatchNorm2d(8)", "        self.bn = nn.BatchNorm2d(8, momentum=0.99)", "momentum", "bn"),
    Planted("another eps", "cifar", "        self.bn = nn.BatchNorm2d(8)", "        self.bn = nn.BatchNorm2d(8, eps=1e-3)", "eps", "bn", note=True),
    Planted("bias before the norm", "cifar", "self.conv = nn.Conv2d(3, 8, 3, 1, 1, bias=False)", "self.conv = nn.Conv2d(3, 8, 3, 1, 1)", "bias_before_norm", "conv", note=True),
    Planted("norm without scale and shift", "cifar", "        self.bn = nn.BatchNorm2d(8)", "        self.bn = nn.BatchNorm2d(8, affine=False)", "no_affine", "bn"),
    Planted("batch statistics in eval mode", "cifar", "        self.bn = nn.BatchNorm2d(8)", "        self.bn = nn.BatchNorm2d(8, track_running_stats=False)", "batch_statistics", "bn"),
    Planted("one norm for two convolutions", "basic", "        out = self.bn2(self.conv2(out))", "        out = self.bn1(self.conv2(out))", "shared_norm", "layer1.0.bn1"),
    Planted("[block] * n", "cifar", "*(Block(c_out, c_out, 1) for _ in range(n - 1))]", "*[Block(c_out, c_out, 1)] * (n - 1)]", "shared_block", "blocks.1"),
    Planted("blocks in a Python list", "cifar", "        self.blocks = nn.ModuleList(blocks)", "        self.blocks = blocks", "not_registered", "blocks[0].conv1"),
    Planted("layer made in forward", "cifar", MADE, MADE.replace("        self.fc = nn.Linear(32, num_classes)\n", "").replace("self.fc(x)", "nn.Linear(32, 10)(x)"), "made_in_forward", "linear"),
    Planted("parameters that are never used", "basic", MAKES, MAKES + "        self.aux = nn.Linear(64, 10)\n", "unused", "aux"),
    Planted("in-place ReLU on the shortcut's input", "unnormalised", "self.conv1(F.relu(x))", "self.conv1(F.relu(x, inplace=True))", "inplace_shortcut", "body.0"),
    Planted("ReLU after the addition of a pre-activation block", "preact", "        return out + shortcut", "        return F.relu(out + shortcut)", "act_after_join", "layer1.0"),
    Planted("no norm at the end of a pre-activation network", "preact", "        x = F.relu(self.bn(x))\n", "", "final_norm", "layer3.1"),
    Planted("conv2 is None", "basic", "        self.conv2 = nn.Conv2d(c_out, c_out, kernel_size=3, stride=1, padding=1, bias=False)\n", "        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False) if stride != 1 else None\n", "module_is_none", "layer1.0"),
    Planted("padding=1 on a 1x1", "basic", "kernel_size=1, stride=stride, bias=False),", "kernel_size=1, stride=stride, padding=1, bias=False),", "padded_1x1", "layer2.0.downsample.0"),
    Planted("projection without its stride", "basic", "kernel_size=1, stride=stride, bias=False),", "kernel_size=1, bias=False),", "stride_mismatch", "layer2.0"),
    Planted("dilation without padding", "basic", "kernel_size=3, stride=1, padding=1, bias=False)", "kernel_size=3, stride=1, padding=1, dilation=2, bias=False)", "unpadded", "layer1.0.conv2"),
    Planted("no projection where the channels change", "basic", "        if stride != 1 or c_in != c_out:", "        if False:", "stride_mismatch", "layer2.0"),
    Planted("not flattened", "basic", "        x = torch.flatten(self.avgpool(x), 1)\n", "        x = self.avgpool(x)\n", "not_flat", "fc"),
    Planted("the pool counted as a layer", "basic", "class Net(nn.Module):", "class ResNet19(nn.Module):", "name", "ResNet19", note=True),
    Planted("concatenated instead of added", "basic", "        out = out + identity\n        return self.relu(out)", "        out = torch.cat([out, identity], 1)[:, : out.shape[1]]\n        return self.relu(out)", "concatenated", "layer1.0"),
    Planted("projection of the input instead of its activation", "preact", 'self.shortcut(out) if hasattr(self, "shortcut") else x', 'self.shortcut(x) if hasattr(self, "shortcut") else x', "raw_projection", "layer2.0"),
    Planted("bottlenecks that widen twice instead of four times", "bottleneck", "    expansion = 4\n", "    expansion = 2\n", "expansion", "stages.0.0"),
    Planted("view(-1, channels) without pooling", "basic", "        x = torch.flatten(self.avgpool(x), 1)\n", "        x = x.view(-1, 64)\n", "batch_changed", "fc"),
    Planted("max pool on the shortcut", "basic", "nn.Conv2d(c_in, c_out, kernel_size=1, stride=stride, bias=False),", "nn.MaxPool2d(1, stride), nn.Conv2d(c_in, c_out, kernel_size=1, bias=False),", "shortcut_kind", "layer2.0.downsample.1"),
    Planted("no shortcut in any block of a ResNet", "residual", "out + self.side(x)", "out", "plain_named", "ResNet8"),
    Planted("two linear layers", "cifar", "self.fc = nn.Linear(32, num_classes)", "self.fc = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, num_classes))", "extra_linear", "fc.0"),
    Planted("squeeze() instead of flatten", "basic", "torch.flatten(self.avgpool(x), 1)", "self.avgpool(x).squeeze()", "squeeze", "reshape", note=True),
    Planted("scaled branch", "basic", "        out = out + identity\n", "        out = torch.add(identity, out, alpha=0.1)\n", "scaled_join", "layer1.0"),
)  # fmt: skip
