"""A small pre-activation ResNet without norms; the planted mistakes are edits of it."""

import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        out = self.conv1(F.relu(x))
        return x + self.conv2(F.relu(out))


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(*(Block(8) for _ in range(3)))
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        x = F.relu(self.body(self.stem(x)))
        return self.fc(x.mean(dim=(-2, -1)))
