"""The trainer: one optimiser step, and the whole state that a checkpoint needs to continue with the same bits."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plusx.errors import BundleError, DivergedError
from plusx.i18n import Message, _, joined
from plusx.images import Preprocessing
from plusx.nn import ResNet
from plusx.nn.device import autocast, memory_format
from plusx.nn.freezing import freeze
from plusx.nn.inputs import to_tensor
from plusx.nn.recomputing import checkpoint_blocks
from plusx.nn.traversal import forward_after
from plusx.training.distributed import SINGLE_PROCESS, ProcessGroup
from plusx.training.gradients import SummedGradients
from plusx.training.losses import Targets, summed_loss
from plusx.training.mixing import Mixed, mix
from plusx.training.optimiser import EMA, make_optimiser, optimiser_tensors, restore_optimiser
from plusx.training.recipe import Recipe
from plusx.training.schedule import Schedule, learning_rate
from plusx.training.seeds import seeded
from plusx.training.timing import Timed, untimed

_RANK_STRIDE = 1 << 40
"""Distance between the seed counters of two ranks: more steps than any training makes."""


MOST_NAMES = 8
"""Images of a batch that an error names."""


@dataclass(slots=True)
class TrainingProgress:
    """The part of a run's state that is not tensors. Everything here is restored on resume."""

    step: int = 0
    """Steps made; with the schedule this is the position in the data."""
    evaluated: int = 0
    """Epochs evaluated."""
    seen: int = 0
    """Images, correct predictions and summed loss of this epoch so far."""
    correct: int = 0
    loss_sum: float = 0.0
    best: dict[str, Any] | None = None
    """epoch, step, top1, nll of the best epoch."""
    kept: dict[str, Any] | None = None
    """epoch and metrics of the weights in the bundle."""
    seconds: float = 0.0

    def train_means(self) -> tuple[float, float]:
        """Mean loss and share of correct predictions of this epoch so far."""
        seen = max(1, self.seen)
        return self.loss_sum / seen, self.correct / seen


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step over all ranks: the mean loss of its `n` images, and how many of them were predicted correctly."""

    loss: float
    n: int
    correct: int


def smallest_batch(network: nn.Module) -> int:
    """2 where there is a batch norm, because one value has no variance; 1 elsewhere."""
    return 2 if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) else 1


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weight of each class's images: n / (classes · n of the class). The mean over all images is 1.

    >>> balanced_weights(np.array([30, 10])).round(3).tolist()
    [0.667, 2.0]
    """
    return counts.sum() / (len(counts) * np.maximum(counts, 1).astype(np.float64))


@dataclass(eq=False)
class Trainer:
    """A network in training: `train_step` makes one step; `tensors` and `progress` are its whole state.

    Every rank has a trainer, and after every step all of them are equal to the bit.
    """

    network: nn.Module
    recipe: Recipe
    schedule: Schedule
    seed: int
    device: torch.device
    precision: str
    class_weights: NDArray[np.float64] | None = None
    """float64 (classes,); their mean over the training images is 1."""
    group: ProcessGroup = SINGLE_PROCESS
    pre: Preprocessing | None = None
    """How uint8 images are normalised."""
    maps_after: str | None = None
    """The part whose maps `train_step` gets in place of images (with `views`); None: images."""
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    timed: Timed = untimed

    def __post_init__(self) -> None:
        self.network.to(device=self.device)
        self._eval_network = copy.deepcopy(self.network)
        self.network.to(memory_format=memory_format(self.precision))  # type: ignore[call-overload]
        if self.recipe.grad_checkpointing and isinstance(self.network, ResNet):
            checkpoint_blocks(self.network, partial(autocast, self.device, self.precision))
        self.optimiser = make_optimiser(self.network, self.recipe)
        self._frozen: str | None = None
        self._summed: SummedGradients | None = None
        self.ema = EMA(self.network, self.recipe.ema) if self.recipe.ema else None

    def train_step(self, images: NDArray[Any], labels: NDArray[np.int64], names: Sequence[str]) -> StepResult:
        """Makes step `progress.step` from this process's share of the batch: images and int64 (n,).

        Images are uint8 (n, h, w, c), or float32 (n, c, h, w) ready for the network; with `maps_after` that part's maps.
        The gradient is the mean over all images of all ranks, whatever the number of parts it is computed in. Images
        that could not be read are missing, so a share may have one image, which is duplicated with weight zero, or none.
        Raises RunError on every rank, before any weight is changed, when the loss is not finite.
        """
        step, progress = self.progress.step, self.progress
        n = int(self.group.all_reduce_counts([len(labels)])[0])
        if not n:
            progress.step = step + 1
            return StepResult(0.0, 0, 0)
        rate = learning_rate(self.recipe, self.schedule, step)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = rate * parameters["share"]
        self._freeze(step)
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        with seeded(self.seed, step + _RANK_STRIDE * self.group.rank, self.device):
            own = self._gradients(images, labels, n)
        loss_sum, correct = self._all_reduce(own)
        if not math.isfinite(loss_sum):
            bad = self.group.all_gather([] if math.isfinite(own[0]) else list(names))
            raise DivergedError(
                self._not_finite(loss_sum, step, rate, [name for names_of_rank in bad for name in names_of_rank])
            )
        with self.timed("optimiser"):
            if self.recipe.clip:  # all ranks have the same gradients, so they clip alike
                nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.requires_grad], self.recipe.clip)
            self.optimiser.step()
        if self.ema is not None:
            with self.timed("ema"):
                self.ema.update(self.network, step)
        progress.step, progress.seen = step + 1, progress.seen + n
        progress.correct, progress.loss_sum = progress.correct + correct, progress.loss_sum + loss_sum
        return StepResult(loss_sum / n, n, correct)

    def _forward(self, x: Tensor) -> Tensor:
        if self.maps_after is None or not isinstance(self.network, ResNet):
            return (self._summed or self.network)(x)
        return forward_after(self.network, self.maps_after, x)

    def _freeze(self, step: int) -> None:
        """Freezes what the recipe freezes at this step, and thaws it when its time has come."""
        frozen = self.recipe.freeze
        if self.recipe.thaw and self.schedule.span(step)[0] >= self.recipe.thaw:
            frozen = None
        if frozen != self._frozen and isinstance(self.network, ResNet):
            freeze(self.network, frozen)
            self._frozen = frozen
            if self._summed is not None:
                self._summed.close()
                self._summed = None
        if self._summed is None and self.group.world_size > 1:
            self._summed = SummedGradients(self.network, self.group)

    def _input(self, images: NDArray[Any]) -> Tensor:
        """float32 (n, c, h, w) on the device, normalised."""
        if images.dtype != np.uint8:
            return torch.from_numpy(images).to(self.device)
        if self.pre is None:
            raise ValueError("uint8 images need the trainer's pre")
        return to_tensor(images, self.pre, self.device)

    def _gradients(self, images: NDArray[Any], labels: NDArray[np.int64], n: int) -> tuple[float, int]:
        """Accumulates this share's gradient in the parameters; returns its summed loss and correct predictions."""
        n_own, loss_sum, correct = len(labels), 0.0, 0
        if not n_own:
            self._add_zero(images)
            return loss_sum, correct
        smallest = smallest_batch(self.network)
        counts = np.ones(max(smallest, n_own))
        if n_own < smallest:  # a lone image is duplicated with weight zero, because batch norm needs two
            images, labels, counts = np.repeat(images, 2, axis=0), np.repeat(labels, 2), np.array([1.0, 0.0])
        with self.timed("input"):
            mixed = mix(self._input(images), labels, self.recipe, self.seed, self.progress.step, self.group.rank)
        parts = np.array_split(np.arange(len(labels)), min(self.recipe.accumulate, len(labels) // smallest))
        for part in parts:
            with self._summed.backward(part is parts[-1]) if self._summed is not None else nullcontext():
                loss, right = self._gradient(mixed, counts, part, n)
            loss_sum, correct = loss_sum + loss, correct + right
        return loss_sum, correct

    def _add_zero(self, images: NDArray[Any]) -> None:
        """The part in the exchange of a share without a readable image. Norms keep their statistics in eval mode."""
        if self._summed is None:
            return
        self.network.eval()
        x = self._input(np.zeros((1, *images.shape[1:]), images.dtype)).to(next(self.network.parameters()).dtype)
        with self._summed.backward(last=True):
            (self._summed(x).sum() * 0).backward()
        self.network.train()

    def _gradient(
        self, mixed: Mixed, counts: NDArray[np.float64], part: NDArray[np.int64], n: int
    ) -> tuple[float, int]:
        dtype = next(self.network.parameters()).dtype
        if self.maps_after is not None and self.precision == "bf16":
            dtype = torch.bfloat16  # as the frozen part computes them
        with self.timed("input"):
            x = mixed.images[part[0] : part[-1] + 1].to(dtype).contiguous(memory_format=memory_format(self.precision))
        with self.timed("forward"):
            with autocast(self.device, self.precision):
                logits = self._forward(x)
            logits = logits.float() if logits.dtype == torch.bfloat16 else logits
            loss = summed_loss(logits, self._targets(mixed, counts, part), self.recipe)
        with self.timed("backward"):
            (loss / n).backward()
        right = logits.argmax(1).cpu().numpy() == mixed.main[part]
        return loss.item(), int((right * counts[part]).sum())

    def _targets(self, mixed: Mixed, counts: NDArray[np.float64], part: NDArray[np.int64]) -> Targets:
        """The part's labels, each with its class's weight and its image's count."""

        def weighted(labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            weights = counts[part] if self.class_weights is None else counts[part] * self.class_weights[labels]
            return torch.from_numpy(labels).to(self.device), torch.from_numpy(weights).to(self.device)

        labels, weights = weighted(mixed.labels[part])
        others, other_weights = (labels, weights) if mixed.share == 1 else weighted(mixed.others[part])
        return Targets(labels, others, mixed.share, weights, other_weights)

    def _all_reduce(self, own: tuple[float, int]) -> tuple[float, int]:
        """Loss and correct predictions over all ranks; their batch statistics become equal."""
        if self.group.world_size == 1:
            return own
        norms = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
        self.group.all_reduce_mean([t for m in norms for t in (m.running_mean, m.running_var) if t is not None])
        sums = torch.tensor(own, dtype=torch.float64, device=self.group.device)
        self.group.all_reduce_sum([sums])
        return float(sums[0]), round(float(sums[1])) if math.isfinite(float(sums[1])) else 0

    def eval_network(self) -> nn.Module:
        """A copy to evaluate and to keep: in fp32 and eval mode, with the EMA weights where the recipe has ema."""
        state = self.network.state_dict() if self.ema is None else self.ema.tensors
        self._eval_network.load_state_dict(state)
        return self._eval_network.eval()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All tensors of the state: file stem → name → tensor."""
        files = {"model": dict(self.network.state_dict()), "optimiser": optimiser_tensors(self.network, self.optimiser)}
        if self.ema is not None:
            files["ema"] = self.ema.tensors
        return files

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]], progress: Mapping[str, Any]) -> None:
        """Takes over the state that gave `tensors` and `progress`. Raises BundleError when they belong to another network."""
        own, saved = self.network.state_dict(), tensors["model"]
        differ = [
            n for n in own.keys() | saved.keys() if n not in own or n not in saved or own[n].shape != saved[n].shape
        ]
        if differ or (self.ema is None) != ("ema" not in tensors):
            raise BundleError(
                _(
                    "The checkpoint belongs to another network or recipe: {names} differ. Resume the run that wrote it.",
                    names=", ".join(sorted(differ)[:3]) or "ema",
                )
            )
        self.network.load_state_dict(dict(saved))
        restore_optimiser(self.network, self.optimiser, tensors["optimiser"])
        if self.ema is not None:
            for name, mean in self.ema.tensors.items():
                mean.copy_(tensors["ema"][name])
        self.progress = TrainingProgress(**progress)

    def require_finite(self) -> None:
        """Raises RunError when a weight is NaN or infinite, so that no such state becomes a checkpoint."""
        for name, t in self.network.state_dict().items():
            if t.is_floating_point() and not bool(torch.isfinite(t).all()):
                raise DivergedError(
                    _(
                        "The weights hold NaN or infinity after step {step}, first in {name}. {advice}",
                        step=self.progress.step, name=name, advice=self._advice(),
                    )
                )  # fmt: skip

    def _not_finite(self, loss: float, step: int, rate: float, names: Sequence[str]) -> Message:
        values = {"step": step + 1, "lr": rate, "advice": self._advice()}
        if math.isnan(loss):
            text = _("The loss became NaN at step {step} (learning rate {lr:g}). {advice}", **values)
        else:
            text = _("The loss became infinite at step {step} (learning rate {lr:g}). {advice}", **values)
        if not names:
            return text
        if len(names) > MOST_NAMES:
            shown = ", ".join(names[:MOST_NAMES])
            batch = _("The batch was {names} and {n} more.", names=shown, n=len(names) - MOST_NAMES)
        else:
            batch = _("The batch was {names}.", names=", ".join(names))
        return joined(" ", [text, batch])

    def _advice(self) -> Message:
        """What to type instead: the same run, restarted or resumed, would fail at the same step."""
        recipe = self.recipe.replace(lr=self.recipe.lr / 10)
        if self.precision == "bf16":
            return _(
                "Train again with a lower learning rate (--recipe '{recipe}'), or with --precision fp32.", recipe=recipe
            )
        return _("Train again with a lower learning rate (--recipe '{recipe}').", recipe=recipe)

    def progress_dict(self) -> dict[str, Any]:
        return asdict(self.progress)
