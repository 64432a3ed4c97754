"""Named maps: what a hook sees, what the geometry says, compiled, in a detector and in a tracker."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import plusx
from living import enliven
from plusx.errors import GeometryError, SpecError

SMALL = "resnet18 widths=8,16,24,32 stem_width=8 classes=5"
NETS = [
    SMALL,
    "resnetv2_50 depths=1,2,2,1 widths=8,8,16,16 stem_width=8",
    "resnet20 norm=none",
    "seresnet50 depths=1,1,2,1",
]


def hooked(net, places, x):
    """The maps at the places of a full net, copied when they pass."""
    seen = {}
    handles = [
        net.get_submodule(place).register_forward_hook(lambda m, i, o, place=place: seen.__setitem__(place, o.clone()))
        for place in places
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("words", NETS)
def test_maps_are_what_a_hook_sees(words):
    net = enliven(plusx.build(words))
    places = ["layer1", "layer2.0", "layer3"]
    taps = plusx.features(net, places)
    x = torch.randn(2, 3, 67, 75)
    with torch.no_grad():
        maps, wanted = taps(x), hooked(net, places, x)
    assert list(maps) == places
    assert all(torch.equal(maps[place], wanted[place]) for place in places)
    for place, info in taps.info.items():
        assert info.channels == maps[place].shape[1]
        assert -(-67 // info.stride) == maps[place].shape[2]


def test_info_is_the_geometrys():
    info = plusx.features(plusx.build("resnet50"), ("layer2", "layer3.5", "layer4")).info
    assert {name: (i.channels, i.stride, i.rf) for name, i in info.items()} == {
        "layer2": (512, 8, 91),  # reference table 5.10
        "layer3.5": (1024, 16, 267),
        "layer4": (2048, 32, 427),
    }


def test_field_is_where_the_gradient_reaches():
    """The field of a middle cell, from the input's gradient of a net with positive weights."""
    net = enliven(plusx.build(SMALL))
    with torch.no_grad():
        for p in net.parameters():
            p.abs_()
    taps = plusx.features(net, "layer2.0")
    x = torch.rand(1, 3, 160, 160, requires_grad=True)
    out, info = taps(x)["layer2.0"], taps.info["layer2.0"]
    cell = out.shape[2] // 2
    out[0, :, cell, cell].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == info.rf
    assert (rows[0] + rows[-1] + 1) / 2 == info.start + cell * info.stride


def test_nothing_behind_the_last_tap_is_built():
    net = plusx.build("resnet18")
    taps = plusx.features(net, ("layer2", "layer1"))
    assert list(taps(torch.randn(1, 3, 32, 32))) == ["layer1", "layer2"]
    assert not [key for key in taps.state_dict() if "layer3" in key or "fc" in key]
    assert taps.net.layer1[0].conv1.weight is net.layer1[0].conv1.weight
    assert str(taps.spec) == "resnet18 until=layer2"


def test_compiled_without_a_break():
    taps = plusx.features(enliven(plusx.build(SMALL)), ("stem", "layer2", "layer4.0"))
    x = torch.randn(1, 3, 64, 64)
    compiled = torch.compile(taps, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        ours, theirs = compiled(x), taps(x)
    assert list(ours) == list(theirs)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


def test_refused_in_one_line():
    net = plusx.build(SMALL)
    with pytest.raises(GeometryError, match="Did you mean 'layer2'"):
        plusx.features(net, ("layr2",))
    with pytest.raises(SpecError, match="No feature maps were named"):
        plusx.features(net, ())


# ---- as a backbone ----


def one_step(model, loss_of):
    """One step of SGD; the loss and whether every learning tensor of the first stage moved."""
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    loss = loss_of(model)
    loss.backward()
    optimiser.step()
    assert torch.isfinite(loss)
    moved = {name: not torch.equal(p, before[name]) for name, p in model.named_parameters() if p.requires_grad}
    return float(loss.detach()), moved


def detector(taps):
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

    backbone = nn.Sequential(taps, FeaturePyramidNetwork([i.channels for i in taps.info.values()], 16))
    backbone.out_channels = 16
    return FasterRCNN(
        backbone,
        num_classes=3,
        rpn_anchor_generator=AnchorGenerator(((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3),
        box_roi_pool=MultiScaleRoIAlign(list(taps.info), output_size=3, sampling_ratio=2),
        min_size=96,
        max_size=128,
    )


def detection_loss(model):
    targets = [{"boxes": torch.tensor([[8.0, 8.0, 60.0, 70.0]]), "labels": torch.tensor([1])}]
    return sum(model([torch.rand(3, 96, 110)], targets).values())


def test_faster_rcnn_with_a_pyramid_trains():
    torch.manual_seed(0)
    net = plusx.build(SMALL)
    plusx.freeze(net, "stem")
    model = detector(plusx.features(net, ("layer2", "layer3", "layer4"))).train()
    backbone = model.backbone[0].net
    assert not backbone.bn1.training
    assert backbone.layer1[0].bn1.training
    _, moved = one_step(model, detection_loss)
    assert all(now for name, now in moved.items() if ".net." in name)
    assert not [name for name in moved if ".net.conv1" in name]
    model.eval()
    assert set(model([torch.rand(3, 96, 110)])[0]) == {"boxes", "labels", "scores"}


def test_a_resnet_is_torchvisions_backbone_as_it_is():
    """torchvision's own wrapper walks the children of a ResNet by name."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN

    body = BackboneWithFPN(plusx.build(SMALL), {"layer3": "0", "layer4": "1"}, [24, 32], 16)
    assert list(body(torch.randn(1, 3, 64, 64))) == ["0", "1", "pool"]


class Siamese(nn.Module):
    """SiamRPN++'s head in small: each level's maps to few channels, the template's middle slid over the search map."""

    def __init__(self, taps, width=16, middle=7):
        super().__init__()
        self.taps, self.middle = taps, middle
        self.narrow = nn.ModuleDict({name: nn.Conv2d(i.channels, width, 1) for name, i in taps.info.items()})
        self.score = nn.Conv2d(width * len(taps.info), 1, 1)

    def forward(self, template, search):
        small, large = self.taps(template), self.taps(search)
        maps = []
        for name, narrow in self.narrow.items():
            kernel, x = narrow(small[name]), narrow(large[name])
            edge = (kernel.shape[-1] - self.middle) // 2
            kernel = kernel[..., edge : edge + self.middle, edge : edge + self.middle]
            n, c, h, w = x.shape
            slid = F.conv2d(x.reshape(1, n * c, h, w), kernel.reshape(n * c, 1, *kernel.shape[2:]), groups=n * c)
            maps.append(slid.reshape(n, c, *slid.shape[2:]))
        return self.score(torch.cat(maps, 1))


@pytest.mark.parametrize("widths", [" widths=16,32,64,128 stem_width=16", pytest.param("", marks=pytest.mark.slow)])
def test_siamese_tracker_trains(widths):
    """127 and 255 px on the trackers' ResNet-50: maps of 15 and 31 cells (pysot's sizes), 25 after the correlation."""
    torch.manual_seed(0)
    net = plusx.build(f"resnet50_siamrpn{widths}")
    taps = plusx.features(net, ("layer2", "layer3", "layer4"))
    assert {i.stride for i in taps.info.values()} == {8}
    model = Siamese(taps).train()
    template, search = torch.randn(2, 3, 127, 127), torch.randn(2, 3, 255, 255)
    with torch.no_grad():
        assert {tuple(m.shape[2:]) for m in taps(template).values()} == {(15, 15)}
        assert {tuple(m.shape[2:]) for m in taps(search).values()} == {(31, 31)}
        assert model(template, search).shape == (2, 1, 25, 25)
    wanted = torch.zeros(2, 1, 25, 25)
    wanted[..., 10:15, 10:15] = 1
    _, moved = one_step(model, lambda m: F.binary_cross_entropy_with_logits(m(template, search), wanted))
    assert all(moved.values())
