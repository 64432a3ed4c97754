"""One optimiser step, and all that must be on disk to make the next one exactly as if nothing had happened."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from plusx.errors import BundleError, RunError
from plusx.training.machine import autocast, memory_format
from plusx.training.optimiser import Average, momenta, restore_momenta, sgd
from plusx.training.plan import Plan, learning_rate
from plusx.training.recipe import Recipe
from plusx.training.seeds import counted


@dataclass(slots=True)
class Progress:
    """The part of a run's state that is not tensors. Everything here is restored on resume."""

    step: int = 0
    """Steps made; with the plan it is the position in the data."""
    evaluated: int = 0
    """Epochs evaluated."""
    seen: int = 0
    """Pictures, right answers and summed loss of this epoch so far."""
    correct: int = 0
    loss_sum: float = 0.0
    best: dict[str, Any] | None = None
    """epoch, step, top1, nll of the best epoch."""
    kept: dict[str, Any] | None = None
    """epoch and metrics of the weights in the bundle."""
    seconds: float = 0.0


@dataclass(eq=False)
class Trainer:
    """A network in training: `learn` makes one step, `tensors` and `progress` are its whole state."""

    network: nn.Module
    recipe: Recipe
    plan: Plan
    seed: int
    device: torch.device
    precision: str
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.network.to(device=self.device)
        self._twin = copy.deepcopy(self.network)
        self.network.to(memory_format=memory_format(self.precision))  # type: ignore[call-overload]
        self.optimiser = sgd(self.network, self.recipe)
        self.average = Average(self.network, self.recipe.ema) if self.recipe.ema else None

    def learn(
        self, pictures: NDArray[np.float32], labels: NDArray[np.int64], names: Sequence[str]
    ) -> tuple[float, int]:
        """Makes step `progress.step` from float32 (n, c, h, w) and int64 (n,); gives the mean loss and right answers.

        The gradient is the mean over the n pictures, in however many parts it is computed. Raises RunError, before
        any weight is changed, when the loss is not finite.
        """
        step, n = self.progress.step, len(labels)
        if n < 2:  # the others could not be read; batch norm cannot learn from one
            self.progress.step = step + 1
            return 0.0, 0
        rate = learning_rate(self.recipe, self.plan, step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss_sum, correct = 0.0, 0
        with counted(self.seed, step, self.device):
            for part in np.array_split(np.arange(n), min(self.recipe.accumulate, n // 2)):
                loss, right = self._gradient(pictures[part], labels[part], n)
                loss_sum, correct = loss_sum + loss, correct + right
        if not math.isfinite(loss_sum):
            raise RunError(_not_finite(loss_sum, step, rate, self.recipe.lr, names))
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.network, step)
        progress = self.progress
        progress.step, progress.seen = step + 1, progress.seen + n
        progress.correct, progress.loss_sum = progress.correct + correct, progress.loss_sum + loss_sum
        return loss_sum / n, correct

    def _gradient(self, pictures: NDArray[np.float32], labels: NDArray[np.int64], n: int) -> tuple[float, int]:
        dtype = next(self.network.parameters()).dtype
        x = torch.from_numpy(pictures).to(self.device, dtype, memory_format=memory_format(self.precision))
        y = torch.from_numpy(labels).to(self.device)
        with autocast(self.device, self.precision):
            logits = self.network(x)
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        loss = F.cross_entropy(logits, y, label_smoothing=self.recipe.label_smoothing, reduction="sum")
        (loss / n).backward()
        return loss.item(), int((logits.argmax(1) == y).sum().item())

    def judged(self) -> nn.Module:
        """A copy to evaluate and keep: fp32, evaluation mode, with the averaged weights when there are any."""
        state = self.network.state_dict() if self.average is None else self.average.tensors
        self._twin.load_state_dict(state)
        return self._twin.eval()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Everything that is tensors: file stem to name to tensor."""
        files = {"model": dict(self.network.state_dict()), "optimiser": momenta(self.network, self.optimiser)}
        if self.average is not None:
            files["average"] = self.average.tensors
        return files

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]], progress: Mapping[str, Any]) -> None:
        """Becomes the trainer that gave `tensors` and `progress`. Raises BundleError when they are another network's."""
        own, saved = self.network.state_dict(), tensors["model"]
        differ = [
            n for n in own.keys() | saved.keys() if n not in own or n not in saved or own[n].shape != saved[n].shape
        ]
        if differ or (self.average is None) != ("average" not in tensors):
            raise BundleError(
                f"checkpoint does not fit ({', '.join(sorted(differ)[:3]) or 'average'}); resume with its own spec and recipe"
            )
        self.network.load_state_dict(dict(saved))
        restore_momenta(self.network, self.optimiser, tensors["optimiser"])
        if self.average is not None:
            for name, mean in self.average.tensors.items():
                mean.copy_(tensors["average"][name])
        self.progress = Progress(**progress)

    def require_finite(self) -> None:
        """Raises RunError when a weight is NaN or infinite: such a state must never become a checkpoint."""
        for name, t in self.network.state_dict().items():
            if t.is_floating_point() and not bool(torch.isfinite(t).all()):
                raise RunError(f"weights after step {self.progress.step} ({name}), hold NaN or infinity")

    def progress_dict(self) -> dict[str, Any]:
        return asdict(self.progress)


def _not_finite(loss: float, step: int, rate: float, peak: float, names: Sequence[str]) -> str:
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"loss at step {step + 1} ({loss}), must be finite; a lower rate may help, e.g. lr={peak / 10:g} "
        f"(it was {rate:g}); the batch was {shown}"
    )
