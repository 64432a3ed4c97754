"""Option A as its two origins define it, written here from their definitions, and the whole CIFAR net with it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import plusx
from living import assert_alive, enliven, relative


class Block(nn.Module):
    """fb.resnet.torch's or akamaster's basic block on CIFAR: two 3x3, zero-padded shortcut."""

    def __init__(self, c_in, c, stride, align):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)
        self.c_in, self.c, self.stride, self.align = c_in, c, stride, align

    def shortcut(self, x):
        if self.stride == 1:
            return x
        if self.align == "front":  # nn.SpatialAveragePooling(1, 1, stride) then Concat(Identity, MulConstant(0))
            pooled = F.avg_pool2d(x, 1, self.stride)
            return torch.cat([pooled, pooled * 0], dim=1)
        quarter = self.c // 4  # akamaster's LambdaLayer
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class Cifar(nn.Module):
    def __init__(self, n, align):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        c = 16
        for stage, width in enumerate((16, 32, 64)):
            blocks = []
            for i in range(n):
                blocks.append(Block(c, width, 2 if stage and not i else 1, align))
                c = width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("align", ["front", "centre"])
@pytest.mark.parametrize("depth", [20, 56])
def test_option_a(depth, align):
    torch.manual_seed(0)
    theirs = enliven(Cifar((depth - 2) // 6, align))
    x, y = torch.randn(2, 2, 3, 32, 32)
    other = "centre" if align == "front" else "front"
    right = plusx.build(f"resnet{depth} shortcut_align={align}", theirs.state_dict()).eval()
    wrong = plusx.build(f"resnet{depth} shortcut_align={other}", theirs.state_dict()).eval()
    with torch.inference_mode():
        out = theirs(x)
        assert_alive(out, theirs(y))
        assert relative(right(x), out) <= 1e-5
        assert relative(wrong(x), out) > 1e-2


class WideBlock(nn.Module):
    """BN-ReLU-conv twice, the projection after the shared BN-ReLU (arXiv 1605.07146; He et al. 1603.05027, figure 4e)."""

    def __init__(self, c_in, c, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(c_in), nn.Conv2d(c_in, c, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(c), nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.downsample = nn.Sequential(nn.Conv2d(c_in, c, 1, stride, bias=False)) if stride != 1 or c_in != c else None

    def forward(self, x):
        activated = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        return out + (x if self.downsample is None else self.downsample(activated))


class Wide(nn.Module):
    def __init__(self, n, k):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        c = 16
        for stage, width in enumerate((16 * k, 32 * k, 64 * k)):
            blocks = [WideBlock(c if not i else width, width, 2 if stage and not i else 1) for i in range(n)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            c = width
        self.norm, self.fc = nn.BatchNorm2d(c), nn.Linear(c, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.fc(F.relu(self.norm(x)).mean((2, 3)))


def test_wide_resnet():
    torch.manual_seed(0)
    theirs = enliven(Wide(6, 4))
    ours = plusx.build("wrn_40_4", theirs.state_dict()).eval()
    x, y = torch.randn(2, 2, 3, 32, 32)
    with torch.inference_mode():
        out = theirs(x)
        assert_alive(out, theirs(y))
        assert relative(ours(x), out) <= 1e-5
