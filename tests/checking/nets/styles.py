"""Correct ResNets in five styles, small: `plusx check` finds nothing in them."""

import torch
import torch.nn.functional as F
from torch import nn

# ---- functional, written flat: no block classes, parameters in dicts of modules ----


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        self._conv("stem", 3, 8, 3, 1)
        c = 8
        for stage, width in enumerate((8, 16, 32)):
            for block in range(2):
                stride = 2 if stage and not block else 1
                self._conv(f"{stage}_{block}_a", c, width, 3, stride)
                self._conv(f"{stage}_{block}_b", width, width, 3, 1)
                if stride == 2:
                    self._conv(f"{stage}_{block}_s", c, width, 1, stride)
                c = width
        self.weight = nn.Parameter(torch.zeros(10, 32))
        self.bias = nn.Parameter(torch.zeros(10))

    def _conv(self, name, c_in, c_out, kernel, stride):
        self.convs[name] = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.norms[name] = nn.BatchNorm2d(c_out)

    def layer(self, name, x):
        conv, bn = self.convs[name], self.norms[name]
        x = F.conv2d(x, conv.weight, None, conv.stride, conv.padding)
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, training=self.training)

    def forward(self, x):
        x = self.layer("stem", x).relu()
        for stage in range(3):
            for block in range(2):
                y = self.layer(f"{stage}_{block}_a", x).relu_()
                y = self.layer(f"{stage}_{block}_b", y)
                x = (self.layer(f"{stage}_{block}_s", x) if f"{stage}_{block}_s" in self.convs else x) + y
                x = torch.relu(x)
        return F.linear(x.mean(3).mean(2), self.weight, self.bias)


# ---- built of Sequential and one generic residual module ----


class Residual(nn.Module):
    def __init__(self, branch, shortcut):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x):
        return self.branch(x).add_(self.shortcut(x))


def conv_norm(c_in, c_out, kernel, stride=1):
    return [
        nn.Conv2d(c_in, c_out, kernel, stride, "same" if stride == 1 else kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
    ]


def sequential():
    layers = [*conv_norm(1, 8, 3), nn.ReLU()]
    c = 8
    for width, stride in ((8, 1), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1)):
        branch = nn.Sequential(*conv_norm(c, width, 3, stride), nn.ReLU(True), *conv_norm(width, width, 3))
        shortcut = nn.Sequential(*conv_norm(c, width, 1, stride)) if stride == 2 else nn.Identity()
        layers += [Residual(branch, shortcut), nn.ReLU(True)]
        c = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(32, 7))


# ---- blocks with `shortcut` and an expansion, CIFAR stem ----


class ShortcutBottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, self.expansion * planes, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.expansion * planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != self.expansion * planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, self.expansion * planes, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(self.expansion * planes),
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += self.shortcut(x)
        return F.relu(out)


class Cifar(nn.Module):
    def __init__(self, num_blocks, num_classes=10):
        super().__init__()
        self.in_planes = 8
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = self._make_layer(8, num_blocks[0], 1)
        self.layer2 = self._make_layer(16, num_blocks[1], 2)
        self.layer3 = self._make_layer(32, num_blocks[2], 2)
        self.layer4 = self._make_layer(64, num_blocks[3], 2)
        self.linear = nn.Linear(256, num_classes)

    def _make_layer(self, planes, blocks, stride):
        layers = []
        for each in [stride] + [1] * (blocks - 1):
            layers.append(ShortcutBottleneck(self.in_planes, planes, each))
            self.in_planes = planes * 4
        return nn.Sequential(*layers)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        out = F.avg_pool2d(out, out.shape[-1])
        return self.linear(out.view(out.size(0), -1))


def cifar_bottleneck():
    return Cifar([1, 1, 1, 1])


# ---- a book's way: lazy layers, b1 to b5 ----


class BookResidual(nn.Module):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1)
        self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1, self.bn2 = nn.LazyBatchNorm2d(), nn.LazyBatchNorm2d()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.conv3:
            x = self.conv3(x)
        y += x
        return F.relu(y)


class Book(nn.Module):
    """With the biases and without the norm on the projection of its pages: those two are found."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.net = nn.Sequential(
            nn.Sequential(
                nn.LazyConv2d(8, kernel_size=7, stride=2, padding=3),
                nn.LazyBatchNorm2d(),
                nn.ReLU(),
                nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            )
        )
        for i, (blocks, channels) in enumerate(((2, 8), (2, 16), (2, 32), (2, 64))):
            stage = [BookResidual(channels, bool(i and not n), 2 if i and not n else 1) for n in range(blocks)]
            self.net.add_module(f"b{i + 2}", nn.Sequential(*stage))
        self.net.add_module(
            "last", nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.LazyLinear(num_classes))
        )

    def forward(self, x):
        return self.net(x)


# ---- a class for each stage, a dict of maps as output ----


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.body = nn.Sequential(*conv_norm(c_in, c_out, 3, stride), nn.ReLU(), *conv_norm(c_out, c_out, 3))
        self.side = nn.Sequential(*conv_norm(c_in, c_out, 1, stride)) if stride != 1 else None

    def forward(self, x):
        side = x if self.side is None else self.side(x)
        return F.relu(side + self.body(x), inplace=True)


class Stage(nn.Module):
    def __init__(self, c_in, c_out, stride, blocks=2):
        super().__init__()
        self.first = Block(c_in, c_out, stride)
        self.others = nn.ModuleList(Block(c_out, c_out, 1) for _ in range(blocks - 1))

    def forward(self, x):
        x = self.first(x)
        for each in self.others:
            x = each(x)
        return x


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, 8, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.res2, self.res3 = Stage(8, 8, 1), Stage(8, 16, 2)
        self.res4, self.res5 = Stage(16, 32, 2), Stage(32, 64, 2)

    def forward(self, x):
        maps = {"res2": self.res2(self.stem(x))}
        maps["res3"] = self.res3(maps["res2"])
        maps["res4"] = self.res4(maps["res3"])
        maps["res5"] = self.res5(maps["res4"])
        return maps
