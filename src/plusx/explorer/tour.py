"""The guided tour of the notes in eight steps: what each says, and the network, detail and place that it shows."""

from __future__ import annotations

from typing import NamedTuple

from plusx.i18n import Message, _


class TourStep(NamedTuple):
    """A step: its texts, and the state of the page. `place` is the part or op that is shown, `pin` the network beside it."""

    title: Message
    text: Message
    net: str
    detail: str = "blocks"
    pin: str = ""
    place: str = ""


STEPS = (
    TourStep(
        _("A plain block"),
        _(
            "A convolutional network is layer after layer. A plain block of two 3x3 convolutions computes F(x). Deeper plain "
            "networks train worse, not better: that is the problem that ResNet solves."
        ),
        "plain18", "blocks", place="layer1.0-1",
    ),
    TourStep(
        _("F(x) + x"),
        _(
            "ResNet adds a shortcut, so the block computes F(x) + x. Where a block is of no use, it can learn F(x) = 0, and x "
            "passes unchanged. The networks beside each other have the same convolutions; what is marked is new."
        ),
        "resnet18", "blocks", "plain18", "layer1.0.add",
    ),
    TourStep(
        _("The basic block"),
        _(
            "Two 3x3 convolutions, each with BatchNorm; ReLU after the first, and after the addition. The shortcut of this block "
            "is the identity: it has no weights, and map and channels stay as they are."
        ),
        "resnet18", "ops", place="layer1.0.conv1",
    ),
    TourStep(
        _("A stage"),
        _(
            "A stage is several blocks at one map size. The first block of stage 2 halves the map with stride 2 and doubles the "
            "channels, so its shortcut needs a 1x1 projection with the same stride. The next block is the identity again."
        ),
        "resnet18", "blocks", place="layer2.0",
    ),
    TourStep(
        _("18 = 1 + 2·(2+2+2+2) + 1"),
        _(
            "Counted are the layers with weights on the main path: the 7x7 convolution of the stem, two convolutions in each of "
            "2+2+2+2 blocks, and fc. ReLU, BatchNorm, the pooling and the projections do not count."
        ),
        "resnet18", "stages", place="fc",
    ),
    TourStep(
        _("The bottleneck, and 50"),
        _(
            "ResNet-50 has the 3, 4, 6 and 3 blocks of ResNet-34, but each is a bottleneck: 1x1 narrows, 3x3 works on few "
            "channels, 1x1 widens by four. Three convolutions a block give 50 = 1 + 3·(3+4+6+3) + 1."
        ),
        "resnet50", "blocks", "resnet34", "layer1.0",
    ),
    TourStep(
        _("Caffe's and MMDetection's changes"),
        _(
            "Caffe's networks downsample in the first 1x1 of a block (stride_in=1x1), torchvision's in the 3x3. MMDetection's deep "
            "stem replaces the 7x7 convolution by three 3x3. What is marked differs from torchvision's ResNet-50."
        ),
        "resnet50 stride_in=1x1 stem=deep", "blocks", "resnet50", "layer2.0.conv1",
    ),
    TourStep(
        _("The trackers' dilation"),
        _(
            "A tracker needs a fine map: stride 8 instead of 32. SiamRPN++ sets the strides of the last stages to 1 and dilates "
            "their 3x3 convolutions by 2 and 4, so that a cell still sees far. Click an op to see its receptive field."
        ),
        "resnet50_siamrpn", "blocks", "resnet50", "layer4.0.conv2",
    ),
)  # fmt: skip
