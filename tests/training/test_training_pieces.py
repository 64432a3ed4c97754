"""Optimisers, schedules, losses, repeats and 3augment: against torch, torchvision, and numbers printed by timm."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from plusx.data import Splits, open_data, permutation
from plusx.errors import SpecError
from plusx.nn import build
from plusx.training import Evaluated, RunOptions, fit
from plusx.training.distributed import ProcessGroup
from plusx.training.lamb import Lamb
from plusx.training.loader import BatchLoader
from plusx.training.losses import Targets, summed_loss
from plusx.training.optimiser import MOMENTS, make_optimiser, optimiser_tensors
from plusx.training.policies import apply_policy
from plusx.training.recipe import Recipe, parse_recipe
from plusx.training.schedule import Schedule, learning_rate
from plusx.training.seeds import seeded
from plusx.training.setup import prepare, preprocessing, resolve_auto
from plusx.training.step import Trainer
from training.tinyrun import RECIPE, digest, losses, resumed, started, stopped_after

CPU = torch.device("cpu")
NETWORK = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1"


def _rates(words: str, steps: int = 100) -> list[float]:
    recipe = parse_recipe(f"default epochs=10 batch=10 lr=0.3 {words}")
    schedule = Schedule(steps, 10, 10)
    return [learning_rate(recipe, schedule, step) for step in range(schedule.steps)]


def _torchs(make, steps: int = 100, lr: float = 0.3) -> list[float]:  # type: ignore[no-untyped-def]
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=lr)
    theirs, found = make(optimiser), [optimiser.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        optimiser.step()
        theirs.step()
        found.append(optimiser.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("schedule=step warmup=0", lambda o: lr_scheduler.MultiStepLR(o, [50, 75], 0.1)),
        ("schedule=step warmup=0 milestones=0.3,0.6,0.9 gamma=0.5", lambda o: lr_scheduler.StepLR(o, 30, 0.5)),
        ("schedule=poly warmup=0", lambda o: lr_scheduler.PolynomialLR(o, 100)),
        ("schedule=poly warmup=0 power=2", lambda o: lr_scheduler.PolynomialLR(o, 100, 2)),
        ("schedule=constant warmup=0", lambda o: lr_scheduler.ConstantLR(o, 1.0)),
        (
            "schedule=onecycle warmup=0.3 warmup_from=0.04 lr_end=4e-6",
            lambda o: lr_scheduler.OneCycleLR(o, 0.3, total_steps=100, cycle_momentum=False),
        ),
    ],
    ids=["milestones", "StepLR", "line", "parabola", "constant", "OneCycleLR"],
)
def test_schedules_are_torchs(words: str, make) -> None:  # type: ignore[no-untyped-def]
    assert np.allclose(_rates(words), _torchs(make), rtol=1e-9, atol=1e-15)


def test_the_warm_up_is_torchs_linear_one_a_step_later() -> None:
    """torchvision's start factor 0.01: LinearLR(start_factor=0.01, total_iters=20), which plusx leaves by its first step."""
    theirs = _torchs(lambda o: lr_scheduler.LinearLR(o, start_factor=0.01, total_iters=20), 21)
    for curve in ("cosine", "step", "poly", "constant"):
        assert np.allclose(_rates(f"schedule={curve} warmup=0.2 warmup_from=0.01")[:20], theirs[1:], rtol=1e-9)
    assert math.isclose(_rates("warmup=0.2")[0], 0.3 / 20)


def test_milestones_stand_at_whole_epochs_of_their_source() -> None:
    """90 epochs with steps at 30 and 60, whatever the number of steps an epoch has."""
    recipe = parse_recipe("tv1")
    for n in (256 * 7, 256 * 5004, 1_281_167):
        schedule = Schedule(n, 256, 90)
        for epoch, lr in ((29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001), (89, 0.001)):
            first, last = epoch * schedule.steps_per_epoch, (epoch + 1) * schedule.steps_per_epoch - 1
            assert learning_rate(recipe, schedule, first) == pytest.approx(lr)
            assert learning_rate(recipe, schedule, last) == pytest.approx(lr)


def _trainer(words: str) -> Trainer:
    recipe = parse_recipe(f"digits precision=fp32 warmup=0 label_smoothing=0 {words}")
    with seeded(0, 0):
        net = build(NETWORK)
    return Trainer(net, recipe, Schedule(40, recipe.batch, recipe.epochs), 0, CPU, "fp32")


def _batch(n: int = 11) -> tuple[np.ndarray, np.ndarray, list[str]]:  # type: ignore[type-arg]
    draw = np.random.default_rng(1)
    return draw.standard_normal((n, 1, 8, 8)).astype(np.float32), draw.integers(0, 10, n), ["?"] * n


def test_adamw_is_torchs() -> None:
    """Three steps by hand: momentum is beta1, vectors do not decay."""
    trainer, batch = _trainer("optimiser=adamw lr=0.01 momentum=0.8 weight_decay=0.05 schedule=constant"), _batch()
    with seeded(0, 0):
        net = build(NETWORK)
    decay, rest = [p for p in net.parameters() if p.ndim > 1], [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, 0.01, (0.8, 0.999), 1e-8)
    for _ in range(3):
        trainer.train_step(*batch)
        optimiser.zero_grad()
        F.cross_entropy(net(torch.from_numpy(batch[0])), torch.from_numpy(batch[1])).backward()
        optimiser.step()
    for ours, other in zip(trainer.network.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, other, atol=1e-6)


LAMB = (  # timm 1.0.31: Lamb(…, lr=0.05, max_grad_norm=None) after the four steps below
    [-0.7117384242646432, -0.695667468732849, -0.46669952365321876, -0.2995327261740869, -0.10397313337359157,
     0.07126534006487913, 0.31628169450551613, 0.11283735717890306, 0.3867948536469779, 0.5507691532113427,
     0.7351010858492746, 0.8982899425881408],
    [0.3058215261489232, -0.050000666664445054],
)  # fmt: skip


def test_lamb_is_timms() -> None:
    a = ((torch.arange(12, dtype=torch.float64).reshape(3, 4) - 5) / 7).requires_grad_()
    b = torch.tensor([0.5, -0.25], dtype=torch.float64, requires_grad=True)
    optimiser = Lamb([{"params": [a], "weight_decay": 0.02}, {"params": [b]}], lr=0.05)
    for t in range(1, 5):
        a.grad = torch.sin(torch.arange(12, dtype=torch.float64).reshape(3, 4) * t)
        b.grad = torch.tensor([0.1 * t, -0.3], dtype=torch.float64)
        optimiser.step()
    assert np.allclose(a.detach().flatten(), LAMB[0], rtol=1e-12)
    assert np.allclose(b.detach(), LAMB[1], rtol=1e-12)


def test_lamb_moves_a_tensor_of_zeros() -> None:
    """Its norm says nothing about a step, so the step is Adam's (algorithm 2 of the paper would never leave zero)."""
    p = torch.zeros(3, requires_grad=True)
    optimiser = Lamb([p], lr=0.1, weight_decay=0.1)
    p.grad = torch.tensor([1.0, -2.0, 0.0])
    optimiser.step()
    assert np.allclose(p.detach(), [-0.1, 0.1, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    "words",
    [
        "optimiser=adamw lr=0.01 schedule=step milestones=0.3,0.6",
        "optimiser=lamb lr=0.02 loss=bce clip=1 schedule=onecycle",
    ],
)
def test_resume_is_exact(words: str, tmp_path: Path) -> None:
    recipe = f"{RECIPE.replace('lr=0.05 ', '')} {words} repeats=2 mixup=0.4 policy=3augment"
    steps = losses(started(tmp_path / "whole", recipe))
    stopped_after(tmp_path / "run", 5, recipe)
    assert losses(resumed(tmp_path / "run")) == steps[5:]
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("slot", ["momentum_buffer", "exp_avg", "exp_avg_sq", "step"])
def test_every_part_of_an_optimiser_counts(name: str, slot: str) -> None:
    """The control: a restored trainer that lacks one slot takes another step than one that has all of them."""
    trainer = _trainer(f"optimiser={name} lr=0.01")
    for _ in range(3):
        trainer.train_step(*_batch())
    saved = {
        stem: {key: tensor.detach().clone() for key, tensor in tensors.items()}
        for stem, tensors in trainer.tensors().items()
    }
    if not any(key.endswith("/" + slot) for key in saved["optimiser"]):
        assert (name == "sgd") == (slot != "momentum_buffer")
        return
    progress, after = trainer.progress_dict(), []
    for without in ("", slot):
        again = _trainer(f"optimiser={name} lr=0.01")
        kept = {
            key: tensor if not key.endswith("/" + without) or not without else torch.zeros_like(tensor)
            for key, tensor in saved["optimiser"].items()
        }
        again.restore({**saved, "optimiser": kept}, progress)
        again.train_step(*_batch())
        after.append(torch.cat([p.detach().flatten() for p in again.network.parameters()]))
    trainer.train_step(*_batch())
    wanted = torch.cat([p.detach().flatten() for p in trainer.network.parameters()])
    assert torch.equal(after[0], wanted)
    assert not torch.equal(after[1], wanted)


def test_moments_are_counted_for_the_disk() -> None:
    for name, n in MOMENTS.items():
        trainer = _trainer(f"optimiser={name}")
        trainer.train_step(*_batch())
        parameters = sum(p.numel() for p in trainer.network.parameters())
        kept = optimiser_tensors(trainer.network, trainer.optimiser)
        assert sum(t.numel() for key, t in kept.items() if not key.endswith("/step")) == n * parameters


def test_norms_decay_where_the_recipe_says_so() -> None:
    net = build(NETWORK)
    for words, wanted in (("", {0.0, 0.01}), ("norm_decay=yes", {0.01})):
        groups = make_optimiser(net, parse_recipe(f"default weight_decay=0.01 {words}")).param_groups
        assert {group["weight_decay"] for group in groups} == wanted
        assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


BCE = {0.0: 0.47141506445296627, 0.1: 0.5158595088974107}  # timm 1.0.31: BinaryCrossEntropy(smoothing)
BOTH = 0.5964150644529663  # the same of dense targets 0 0.4 0.6, 0.7 0.3 0, with target_threshold 0.2
LOGITS = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]], dtype=torch.float64)


def _targets(others: list[int], share: float) -> Targets:
    ones = torch.ones(2, dtype=torch.float64)
    return Targets(torch.tensor([2, 0]), torch.tensor(others), share, ones, ones)


def test_binary_cross_entropy_is_timms() -> None:
    for smoothing, wanted in BCE.items():
        recipe = Recipe("mine", loss="bce", label_smoothing=smoothing)
        assert summed_loss(LOGITS, _targets([2, 0], 1.0), recipe).item() / 2 == pytest.approx(wanted, rel=1e-12)
    mixed = summed_loss(LOGITS, _targets([1, 1], 0.65), Recipe("mine", loss="bce"))
    assert mixed.item() / 2 == pytest.approx(BOTH, rel=1e-12)


def test_binary_cross_entropy_trains_a_step() -> None:
    """What a step reports, against torch on the same mixed images; classes weigh as much as images."""
    trainer, (x, y, names) = _trainer("loss=bce cutmix=1 accumulate=2"), _batch(8)
    from plusx.training.mixing import mix

    mixed = mix(torch.from_numpy(x), y, trainer.recipe, 0, 0, 0)
    wanted = torch.zeros(8, 10)
    wanted[np.arange(8), mixed.labels] = 1
    wanted[np.arange(8), mixed.others] = 1
    net = trainer.network.train()
    logits = torch.cat([net(mixed.images[part]) for part in (slice(0, 4), slice(4, 8))])
    loss = nn.BCEWithLogitsLoss()(logits, wanted)
    assert trainer.train_step(x, y, names).loss == pytest.approx(loss.item(), rel=1e-5)


def test_repeats_are_torchvisions_sampler(photos: Splits) -> None:
    """RASampler of references/classification by hand: indices, each `repeats` times, cut to as many as there are."""
    n, batch, repeats = len(photos.train), 6, 3
    recipe, _ = resolve_auto(parse_recipe(f"default epochs=2 batch={batch} size=16 repeats={repeats}"), photos)
    pre, schedule = preprocessing(recipe, photos.train), Schedule(n, batch, 2)
    where = {photos.train.path(i): i for i in range(n)}
    loaders = [
        BatchLoader(photos.train, schedule, recipe, pre, 5, group=ProcessGroup(rank, world))
        for world in (1, 2)
        for rank in range(world)
    ]
    whole, *shares = [list(loader.batches(0, schedule.steps)) for loader in loaders]
    for step, one in enumerate(whole):
        epoch, low, high = schedule.span(step)
        theirs = [index for index in permutation(n, 5, epoch).tolist() for _ in range(repeats)][low:high]
        ours = [where[name] for name in one.names]
        assert sorted(ours) == sorted(theirs)
        alike = sum(a == b for a, b in zip(ours, [*ours[1:], ours[0]], strict=True))
        assert alike <= 1, "mixing takes the image before, which is another one"
        assert len({image.tobytes() for image in one.images}) == len(ours), "every repeat has its own augmentation"
        assert [name for share in shares for name in share[step].names] == one.names
    assert len({name for one in whole[: schedule.steps_per_epoch] for name in one.names}) == math.ceil(n / repeats)


def test_repeats_and_views_exclude_each_other() -> None:
    with pytest.raises(SpecError, match="repeats= changes"):
        parse_recipe("layer4 repeats=2")
    with pytest.raises(SpecError, match="eval_size= changes"):
        parse_recipe("layer4 eval_size=64")


def test_an_image_is_evaluated_larger_than_it_is_trained(photos: Splits) -> None:
    recipe, _ = resolve_auto(parse_recipe("default epochs=2 batch=4 size=24 eval_size=32 eval_crop=0.8"), photos)
    pre = preprocessing(recipe, photos.train)
    assert (pre.crop_px, pre.resize_px) == (32, 40)
    for crop in ("area", "none"):
        loader = BatchLoader(photos.train, Schedule(len(photos.train), 4, 2), recipe.replace(crop=crop), pre, 0)
        assert next(loader.batches(0, 1)).images.shape[1:3] == (24, 24)


def test_randaugment_takes_its_magnitude() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    images = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    from plusx.data.permutation import hashed
    from plusx.training.policies import K_POLICY
    from plusx.training.seeds import fold

    changed = apply_policy("randaugment", images, 1, 2, np.arange(12), 21)
    for i, image in enumerate(images):
        torch.manual_seed(fold(1, int(hashed(1, 2, i, K_POLICY)[0])))
        theirs = v2.RandAugment(magnitude=21)(torch.from_numpy(image.transpose(2, 0, 1)))
        assert np.array_equal(theirs.numpy().transpose(1, 2, 0), changed[i])
    assert not np.array_equal(apply_policy("randaugment", images, 1, 2, np.arange(12)), changed)


def test_three_augment_draws_one_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the colour jitter each image is grey, solarised from 128, or blurred: a third each; grey images work too."""
    v2 = pytest.importorskip("torchvision.transforms.v2")
    from plusx.training import policies

    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (120, 12, 12, 3), dtype=np.uint8)
    policies._policy.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(v2, "ColorJitter", lambda *amounts: v2.Identity() if amounts == (0.3, 0.3, 0.3) else None)
        changed = apply_policy("3augment", images, 1, 2, np.arange(120))
    policies._policy.cache_clear()
    solarised = np.where(images >= 128, 255 - images, images)
    counts = {"grey": 0, "solarised": 0, "blurred": 0}
    for image, sun, out in zip(images, solarised, changed, strict=True):
        grey = (out[..., 0] == out[..., 1]).all() and (out[..., 1] == out[..., 2]).all()
        kind = "grey" if grey else "solarised" if np.array_equal(out, sun) else "blurred"
        counts[kind] += 1
        if kind == "grey":
            assert np.abs(out[..., 0] - image @ np.array([0.299, 0.587, 0.114])).max() <= 1.05
        if kind == "blurred":
            assert out.astype(float).std() <= image.astype(float).std()
    assert all(25 <= count <= 55 for count in counts.values()), counts
    assert apply_policy("3augment", images[..., :1], 1, 2, np.arange(120)).shape == (120, 12, 12, 1)
    assert apply_policy("3augment", images[:9, :5, :5], 1, 2, np.arange(9)).shape == (9, 5, 5, 3)


def test_spellings_and_keys_that_would_not_count() -> None:
    assert (
        parse_recipe("default optimizer=adamw")
        == parse_recipe("default opt=adamw")
        == parse_recipe("default optimiser=adamw")
    )
    assert parse_recipe("default").replace(optimizer="lamb").optimiser == "lamb"
    for words, said in {
        "default optimizer=adamw opt=lamb": "optimiser is written twice (adamw and lamb)",
        "default gamma=0.5": "gamma= counts with schedule=step alone. Write that too, or leave gamma= out.",
        "default magnitude=5": "magnitude= counts with policy=randaugment alone.",
        "default optimiser=adamw nesterov=no": "nesterov= counts with optimiser=sgd alone.",
        "default milestones=0.5,0.2": "milestones takes 1 to 16 rising numbers between 0 and 1",
        "default milestones=0.5,1": "milestones takes 1 to 16 rising numbers between 0 and 1",
        "default lr_scheduler=steplr": "lr_scheduler is written schedule in plusx. Write schedule=step.",
        "default policy=ThreeAugment": "ThreeAugment is written 3augment in plusx. Write policy=3augment.",
    }.items():  # fmt: skip
        with pytest.raises(SpecError) as caught:
            parse_recipe(words)
        assert str(caught.value).startswith(said)
    recipe = parse_recipe("default schedule=step milestones=0.25,0.5 gamma=0.2")
    assert recipe.milestones == (0.25, 0.5) and parse_recipe(str(recipe)) == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert Recipe.from_dict({**recipe.to_dict(), "milestones": [0.25, 0.5]}) == recipe  # as JSON gives it


def _first_epoch(recipe: str, out: Path) -> tuple[float, float]:
    """Training and validation loss of the first epoch with a ResNet-50 on 100 digits, noughts and ones."""
    whole = open_data("digits")
    train, val = (data.subset(np.flatnonzero(data.labels < 2)) for data in (whole.train, whole.val))
    train, val = (replace(data, classes=("0", "1")) for data in (train.subset(np.arange(100)), val))
    options = RunOptions(device="cpu", threads=1)
    for event in fit(
        "resnet50 stem=3x3 widths=16,32,64,128", replace(whole, train=train, val=val), recipe, out, options
    ):
        if isinstance(event, Evaluated):
            return event.train_loss, event.nll
    raise AssertionError


def test_the_first_epoch_is_no_worse_than_guessing(tmp_path: Path) -> None:
    """ln 2 is 0.693. Without clip the gradient of the random first weights throws them so far that the loss is 3.5."""
    train, val = _first_epoch("default epochs=10 precision=fp32", tmp_path / "run")
    assert train < 1.25 * math.log(2) and val < 1.1 * math.log(2)
    train, val = _first_epoch("default epochs=10 precision=fp32 clip=0", tmp_path / "control")
    assert train > 2 and val > 10


@pytest.mark.parametrize(
    ("words", "lr"),
    [
        ("tv1 batch=32 size=24", "0.013"),  # 0.1 · 32 / 256, to two digits
        ("a2 batch=128 size=24", "0.0013"),  # 0.005 · (128 / 2048)^½
        ("default batch=128 size=24", "0.2"),
        ("default batch=64 size=24", None),
        ("tv1 batch=32 lr=0.02 size=24", None),
        ("tv1 size=24", None),
    ],
)
def test_a_batch_far_from_the_recipes_own_is_noted(words: str, lr: str | None, photos: Splits) -> None:
    notes = [note for note in prepare("resnet18", photos, parse_recipe(words), None).notes if "takes steps" in note]
    assert [f"lr={lr} takes" in note for note in notes] == ([] if lr is None else [True])
