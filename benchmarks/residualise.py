"""Does a plain 20-layer CNN train better with the shortcuts of `residualise`? Digits, several seeds, paired.

python benchmarks/residualise.py [--seeds 5] [--epochs 8]

Each seed trains one and the same initialised network twice, on the same batches: as its user wrote it, and residualised
(start=identity). Reported: held-out accuracy, and the mean difference with its 95 % interval (Student's t over seeds).
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import plusx
from _common import machine_line
from plusx.data import open_data

WIDTH = 16
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t, two-sided 95 %, by number of seeds."""


def plain_cnn(norm: bool) -> nn.Sequential:
    """What a user writes: 19 convolutions one after another and a linear layer."""
    layers: list[nn.Module] = []
    for i in range(19):
        layers.append(nn.Conv2d(WIDTH if i else 1, WIDTH, 3, padding=1))
        layers += [nn.BatchNorm2d(WIDTH)] if norm else []
        layers.append(nn.ReLU())
        layers += [nn.MaxPool2d(2)] if i == 9 else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10))


def train(net: nn.Module, x: Tensor, y: Tensor, epochs: int, seed: int) -> None:
    optimiser = torch.optim.AdamW(plusx.param_groups(net, 2e-3), weight_decay=1e-2)
    order = torch.Generator().manual_seed(seed)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=order).split(64):
            loss = F.cross_entropy(net(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((net.eval()(x).argmax(1) == y).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, choices=list(T_95))
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    splits = open_data("digits")
    tensors = []
    for data in (splits.train, splits.val):
        assert data.images is not None
        tensors.append(torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255)
        tensors.append(torch.from_numpy(data.labels))
    x, y, x_val, y_val = tensors
    print(machine_line())
    for norm in (False, True):
        rows, shortcuts = [], 0
        started = time.perf_counter()
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            plain = plain_cnn(norm)
            residual, report = plusx.residualise(plain, x[:2], start="identity")
            shortcuts = len(report.shortcuts)
            residual.load_state_dict({k: v.clone() for k, v in residual.state_dict().items()}, assign=True)
            found = []
            for net in (plain, residual):
                train(net, x, y, args.epochs, seed)
                found.append(accuracy(net, x_val, y_val))
            rows.append(found)
        gains = [after - before for before, after in rows]
        half = T_95[len(gains)] * statistics.stdev(gains) / math.sqrt(len(gains))
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        print(f"20 layers {'with' if norm else 'without'} batch norm, {shortcuts} shortcuts, {args.epochs} epochs:")
        print(f"  plain        {means[0]:.1%}   {' '.join(f'{a:.1%}' for a, _ in rows)}")
        print(f"  residualised {means[1]:.1%}   {' '.join(f'{b:.1%}' for _, b in rows)}")
        print(
            f"  difference   {statistics.mean(gains):+.1%} ± {half:.1%} (95 %, {len(gains)} seeds), {time.perf_counter() - started:.0f} s"
        )


if __name__ == "__main__":
    main()
