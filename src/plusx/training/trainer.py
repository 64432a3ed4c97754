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
from plusx.nn.device import autocast, memory_format
from plusx.training.mixing import Mixed, mix
from plusx.training.optimiser import Average, momenta, restore_momenta, sgd
from plusx.training.plan import Plan, learning_rate
from plusx.training.recipe import Recipe
from plusx.training.seeds import counted
from plusx.training.world import ALONE, World

_OF_RANK = 1 << 40
"""Between the counters of two processes: more steps than any training makes."""


@dataclass(slots=True)
class Progress:
    """The part of a run's state that is not tensors. Everything here is restored on resume."""

    step: int = 0
    """Steps made; with the plan it is the position in the data."""
    evaluated: int = 0
    """Epochs evaluated."""
    seen: int = 0
    """Images, right answers and summed loss of this epoch so far."""
    correct: int = 0
    loss_sum: float = 0.0
    best: dict[str, Any] | None = None
    """epoch, step, top1, nll of the best epoch."""
    kept: dict[str, Any] | None = None
    """epoch and metrics of the weights in the bundle."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Learnt:
    """One step, over all processes: mean loss of its `n` images, and how many were named right meanwhile."""

    loss: float
    n: int
    correct: int


def smallest_batch(network: nn.Module) -> int:
    """2 where a batch norm learns, since the variance of one value is none; 1 elsewhere."""
    return 2 if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) else 1


@dataclass(eq=False)
class Trainer:
    """A network in training: `learn` makes one step, `tensors` and `progress` are its whole state.

    Of several processes each has such a trainer, and after every step all are equal to the bit.
    """

    network: nn.Module
    recipe: Recipe
    plan: Plan
    seed: int
    device: torch.device
    precision: str
    class_weights: NDArray[np.float64] | None = None
    """float64 (classes,), 1 in the mean over the training images."""
    world: World = ALONE
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.network.to(device=self.device)
        self._twin = copy.deepcopy(self.network)
        self.network.to(memory_format=memory_format(self.precision))  # type: ignore[call-overload]
        self.optimiser = sgd(self.network, self.recipe)
        self.average = Average(self.network, self.recipe.ema) if self.recipe.ema else None

    def learn(self, images: NDArray[np.float32], labels: NDArray[np.int64], names: Sequence[str]) -> Learnt:
        """Makes step `progress.step` from this process's share of the batch: float32 (n, c, h, w) and int64 (n,).

        The gradient is the mean over all images of all processes, in however many parts it is computed. A share
        whose other images could not be read may have one, which is computed twice and counted once, or none. Raises
        RunError in every process, before any weight is changed, when the loss is not finite.
        """
        step, progress = self.progress.step, self.progress
        n = int(self.world.sum_counts([len(labels)])[0])
        if not n:
            progress.step = step + 1
            return Learnt(0.0, 0, 0)
        rate = learning_rate(self.recipe, self.plan, step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        with counted(self.seed, step + _OF_RANK * self.world.rank, self.device):
            own = self._gradients(images, labels, n)
        loss_sum, correct = self._agreed(own)
        if not math.isfinite(loss_sum):
            spoilt = self.world.gather([] if math.isfinite(own[0]) else list(names))
            raise RunError(self._not_finite(loss_sum, step, rate, [name for some in spoilt for name in some]))
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.network, step)
        progress.step, progress.seen = step + 1, progress.seen + n
        progress.correct, progress.loss_sum = progress.correct + correct, progress.loss_sum + loss_sum
        return Learnt(loss_sum / n, n, correct)

    def _gradients(self, images: NDArray[np.float32], labels: NDArray[np.int64], n: int) -> tuple[float, int]:
        """Leaves this share's part of the gradient in the parameters; its summed loss and right answers."""
        here, loss_sum, correct = len(labels), 0.0, 0
        if not here:
            return loss_sum, correct
        smallest = smallest_batch(self.network)
        counts = np.ones(max(smallest, here))
        if here < smallest:  # a lone image is duplicated with weight zero, because batch norm needs two
            images, labels, counts = np.repeat(images, 2, axis=0), np.repeat(labels, 2), np.array([1.0, 0.0])
        mixed = mix(images, labels, self.recipe, self.seed, self.progress.step, self.world.rank)
        for part in np.array_split(np.arange(len(labels)), min(self.recipe.accumulate, len(labels) // smallest)):
            loss, right = self._gradient(mixed, counts, part, n)
            loss_sum, correct = loss_sum + loss, correct + right
        return loss_sum, correct

    def _gradient(
        self, mixed: Mixed, counts: NDArray[np.float64], part: NDArray[np.int64], n: int
    ) -> tuple[float, int]:
        dtype = next(self.network.parameters()).dtype
        x = torch.from_numpy(mixed.images[part]).to(self.device, dtype, memory_format=memory_format(self.precision))
        with autocast(self.device, self.precision):
            logits = self.network(x)
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        loss = mixed.share * self._loss(logits, mixed.labels[part], counts[part])
        if mixed.share < 1:
            loss = loss + (1 - mixed.share) * self._loss(logits, mixed.others[part], counts[part])
        (loss / n).backward()
        right = logits.argmax(1).cpu().numpy() == mixed.main[part]
        return loss.item(), int((right * counts[part]).sum())

    def _loss(self, logits: Tensor, labels: NDArray[np.int64], counts: NDArray[np.float64]) -> Tensor:
        """Summed cross-entropy, each image by its class's weight and its count."""
        y = torch.from_numpy(labels).to(self.device)
        each = F.cross_entropy(logits, y, label_smoothing=self.recipe.label_smoothing, reduction="none")
        weights = counts if self.class_weights is None else counts * self.class_weights[labels]
        return (each * torch.from_numpy(weights).to(each)).sum()

    def _agreed(self, own: tuple[float, int]) -> tuple[float, int]:
        """Loss and right answers of all processes, whose gradients and batch statistics become equal."""
        if self.world.size == 1:
            return own
        learning = [p for p in self.network.parameters() if p.requires_grad]
        for p in learning:
            if p.grad is None:  # a share without a readable image
                p.grad = torch.zeros_like(p)
        self.world.add([p.grad for p in learning if p.grad is not None])
        norms = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
        self.world.mean([t for m in norms for t in (m.running_mean, m.running_var) if t is not None])
        sums = torch.tensor(own, dtype=torch.float64, device=self.world.device)
        self.world.add([sums])
        return float(sums[0]), round(float(sums[1])) if math.isfinite(float(sums[1])) else 0

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
                raise RunError(
                    f"weights hold NaN or infinity after step {self.progress.step}, the first of them in {name}. {self._way_out()}"
                )

    def _not_finite(self, loss: float, step: int, rate: float, names: Sequence[str]) -> str:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        became = "NaN" if math.isnan(loss) else "infinite"
        batch = f" The batch was {shown}." if shown else ""
        return f"loss became {became} at step {step + 1} (learning rate {rate:g}). {self._way_out()}{batch}"

    def _way_out(self) -> str:
        """What to type instead, since the same training, begun or resumed again, ends alike."""
        slower = self.recipe.replace(lr=self.recipe.lr / 10)
        exact = ", or train with --precision fp32" if self.precision == "bf16" else ""
        return f"Train again with a lower learning rate (--recipe '{slower}'){exact}."

    def progress_dict(self) -> dict[str, Any]:
        return asdict(self.progress)
