"""One optimiser step: accumulation, decay, averaging, and what stops it."""

from __future__ import annotations

import copy
import re
from contextlib import ExitStack, nullcontext
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from plusx.bundles import read_lines
from plusx.errors import RunError
from plusx.nn import build
from plusx.training import Evaluated, Event, Finished, Started, Step
from plusx.training import step as step_module
from plusx.training.claims import claim_new
from plusx.training.loader import Batch
from plusx.training.naming import run_stem
from plusx.training.optimiser import make_optimiser
from plusx.training.recipe import parse_recipe
from plusx.training.schedule import Schedule, learning_rate
from plusx.training.seeds import seeded
from plusx.training.step import StepResult, Trainer
from training.tinyrun import RECIPE, network, splits, started

CPU = torch.device("cpu")


def _trainer(words: str, text: str = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1") -> Trainer:
    recipe = parse_recipe(f"digits precision=fp32 {words}")
    with seeded(0, 0):
        net = build(text)
    return Trainer(net, recipe, Schedule(40, recipe.batch, recipe.epochs), 0, CPU, "fp32")


def _batch(n: int = 11) -> Batch:
    draw = np.random.default_rng(1)
    return Batch(
        draw.standard_normal((n, 1, 8, 8)).astype(np.float32),
        draw.integers(0, 10, n),
        [f"image {i}" for i in range(n)],
    )


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_accumulation_is_the_large_batch(parts: int) -> None:
    """In float64 and with frozen norms (batch statistics are those of a part): to 1e-12, uneven parts too."""
    frozen = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1 norm=frozen"
    weights = []
    for accumulate in (1, parts):
        trainer = _trainer(f"accumulate={accumulate}", frozen)
        trainer.network.double()
        batch = _batch()
        for _ in range(3):
            trainer.train_step(batch.images, batch.labels, batch.names)
        weights.append(torch.cat([p.detach().flatten() for p in trainer.network.parameters()]))
    assert (weights[0] - weights[1]).abs().max() < 1e-12
    assert (weights[0] - weights[0].mean()).abs().max() > 0.01


def test_a_step_is_torchs_own() -> None:
    """The same three steps written out with torch alone."""
    trainer, batch = _trainer("lr=0.1 warmup=0 weight_decay=0.01 label_smoothing=0.1"), _batch()
    with seeded(0, 0):
        net = build("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1")
    decay = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD([{"params": decay, "weight_decay": 0.01}, {"params": rest}], 0.1, 0.9, nesterov=True)
    for step in range(3):
        result = trainer.train_step(batch.images, batch.labels, batch.names)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(trainer.recipe, trainer.schedule, step)
        optimiser.zero_grad()
        out = net(torch.from_numpy(batch.images))
        theirs = nn.functional.cross_entropy(out, torch.from_numpy(batch.labels), label_smoothing=0.1)
        theirs.backward()
        optimiser.step()
        assert result.loss == pytest.approx(theirs.item(), rel=1e-5)
        assert result.correct == (out.argmax(1).numpy() == batch.labels).sum()
    for ours, other in zip(trainer.network.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, other, atol=1e-6)


def test_no_decay_on_norms_and_biases() -> None:
    net = build("resnet18 stem_bias=yes classes=3")
    groups = make_optimiser(net, parse_recipe("default weight_decay=0.01")).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]}
    for name, p in net.named_parameters():
        assert (id(p) in decayed) == (
            name.endswith("weight") and ("conv" in name or name == "fc.weight" or "downsample.0" in name)
        )
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_average_follows_the_weights() -> None:
    trainer, batch = _trainer("ema=0.9 lr=0.1 warmup=0"), _batch()
    mean = trainer.network.fc.weight.detach().clone().double()  # type: ignore[union-attr, operator]
    for step in range(12):
        trainer.train_step(batch.images, batch.labels, batch.names)
        keep = min(0.9, (1 + step) / (10 + step))
        mean = keep * mean + (1 - keep) * trainer.network.fc.weight.detach().double()  # type: ignore[union-attr, operator]
    evaluated = trainer.eval_network()
    assert torch.allclose(evaluated.fc.weight.double(), mean, atol=1e-6)  # type: ignore[union-attr, operator]
    assert not torch.allclose(evaluated.fc.weight, trainer.network.fc.weight)  # type: ignore[union-attr, arg-type]
    assert trainer.network.training


def test_nan_stops_before_a_weight_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step, rate, images and the last good checkpoint are named; that checkpoint is there and finite."""
    train_step = step_module.Trainer.train_step

    def poisoned(self: Trainer, images: np.ndarray, labels: np.ndarray, names: list[str]) -> StepResult:  # type: ignore[type-arg]
        if self.progress.step == 8 and "digits/" in names[0]:
            images = np.full((len(images), 1, 8, 8), np.nan, np.float32)
        return train_step(self, images, labels, names)

    monkeypatch.setattr(step_module.Trainer, "train_step", poisoned)
    monkeypatch.setattr("plusx.training.run.measure_speed", lambda *_: _no_measure())
    events: list[Event] = []
    with pytest.raises(RunError) as caught:
        events.extend(started(tmp_path / "run", checkpoint_steps=3))
    text = str(caught.value)
    assert "The loss became NaN at step 9 (learning rate 0.0" in text and "digits/" in text
    assert "--recipe 'digits " in text and " lr=0.005 " in text and "--precision" not in text  # it was fp32 already
    assert "step-00000006" in text and (tmp_path / "run" / "checkpoints" / "step-00000006").is_dir()
    assert caught.value.exit_code == 3 and "\n" not in text


def _no_measure():  # type: ignore[no-untyped-def]
    from plusx.training.estimate import TrainingSpeed

    return TrainingSpeed(0.01, 0.001)


def test_a_training_that_fails_has_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written when the sinks are closed: there is no last event then."""
    train_step = step_module.Trainer.train_step

    def poisoned(self: Trainer, images: np.ndarray, *rest: object) -> StepResult:  # type: ignore[type-arg]
        bad = np.full((len(images), 1, 8, 8), np.nan, np.float32)
        return train_step(self, bad if self.progress.step == 8 else images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(step_module.Trainer, "train_step", poisoned)
    monkeypatch.setattr("plusx.training.run.measure_speed", lambda *_: _no_measure())
    with pytest.raises(RunError):
        list(started(tmp_path / "run", lang="zh"))
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert 'lang="zh' in page and "6" in page


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_way_out_can_be_typed(loss: float, precision: str) -> None:
    """The recipe in the message is one, a tenth as fast; float32 is offered where it is another number format."""
    trainer, batch = _trainer("lr=0.3 epochs=7"), _batch()
    trainer.precision = precision
    with pytest.raises(RunError) as caught:
        trainer.train_step(batch.images * np.float32(loss), batch.labels, batch.names)
    text = str(caught.value)
    (words,) = re.findall(r"--recipe '([^']*)'", text)
    assert parse_recipe(words) == trainer.recipe.replace(lr=0.03)
    assert ("--precision fp32" in text) == (precision == "bf16")


@pytest.mark.parametrize("norm", ["group4", "frozen", "none"])
@pytest.mark.parametrize("parts", [1, 5])
def test_one_image_at_a_time_is_enough_without_batch_norm(norm: str, parts: int) -> None:
    """A batch of one and the parts of one give the gradients that torch alone gives for the same images."""
    text = f"resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1 norm={norm}"
    trainer = _trainer(f"batch=5 accumulate={parts} lr=0.1 warmup=0", text)
    images, labels, names = (part[:5] if parts > 1 else part[:1] for part in astuple(_batch())[:3])
    net = copy.deepcopy(trainer.network).train()
    seen: list[int] = []
    trainer.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    result = trainer.train_step(images, labels, names)
    theirs = nn.functional.cross_entropy(net(torch.from_numpy(images)), torch.from_numpy(labels), label_smoothing=0.1)
    theirs.backward()
    assert seen == [1] * len(labels) and result.loss == pytest.approx(theirs.item(), rel=1e-5)
    for p, other in zip(trainer.network.parameters(), net.parameters(), strict=True):
        assert torch.allclose(p.grad, other.grad, atol=1e-6)  # type: ignore[arg-type]


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    from plusx.training import checkpoint

    trainer = _trainer("lr=0.1")
    checkpoint.write(tmp_path, checkpoint.snapshot(trainer))
    with torch.no_grad():
        trainer.network.fc.bias[0] = float("inf")  # type: ignore[union-attr, operator, index]
    trainer.progress.step = 1
    with pytest.raises(RunError, match=r"fc\.bias"):
        checkpoint.snapshot(trainer)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000000"]


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An infinite running variance gives finite answers (all from the biases), so the evaluation alone is no guard."""
    train_step = step_module.Trainer.train_step

    def spoil(self: Trainer, *batch: object) -> StepResult:
        done = train_step(self, *batch)  # type: ignore[arg-type]
        if self.progress.step == 6:
            self.network.bn1.running_var.fill_(float("inf"))  # type: ignore[union-attr, operator]
        return done

    monkeypatch.setattr(step_module.Trainer, "train_step", spoil)
    monkeypatch.setattr("plusx.training.run.measure_speed", lambda *_: _no_measure())
    with pytest.raises(RunError, match=r"bn1\.running_var"):
        list(started(tmp_path / "run", RECIPE.replace("ema=0.9 ", "")))
    assert not (tmp_path / "run" / "bundle").exists()


def test_a_lone_readable_image_is_duplicated_with_weight_zero() -> None:
    """Its gradient is that of two equal images, halved: the duplicate has weight zero."""
    trainer, one = _trainer("lr=0.1 warmup=0"), _batch(1)
    net = copy.deepcopy(trainer.network).train()
    result = trainer.train_step(one.images, one.labels, one.names)
    assert result.n == 1 and trainer.progress.step == 1 and trainer.progress.seen == 1
    logits = net(torch.from_numpy(np.repeat(one.images, 2, axis=0)))
    theirs = nn.functional.cross_entropy(logits[:1], torch.from_numpy(one.labels), label_smoothing=0.1)
    assert result.loss == pytest.approx(theirs.item(), rel=1e-6)
    theirs.backward()
    for p, other in zip(trainer.network.parameters(), net.parameters(), strict=True):
        assert torch.allclose(p.grad, other.grad, atol=1e-6)  # type: ignore[arg-type]


def test_a_batch_without_a_readable_image_changes_nothing() -> None:
    trainer, batch = _trainer("lr=0.1"), _batch()
    before = [p.clone() for p in trainer.network.state_dict().values()]
    assert trainer.train_step(batch.images[:0], batch.labels[:0], []).n == 0
    assert trainer.progress.step == 1 and trainer.progress.seen == 0
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.state_dict().values(), strict=True))


def test_events_come_in_order(tmp_path: Path) -> None:
    events = list(started(tmp_path / "run"))
    assert isinstance(events[0], Started) and isinstance(events[-1], Finished)
    assert [event.step for event in events if isinstance(event, Evaluated)] == [6, 12]
    steps = [event for event in events if isinstance(event, Step)]
    assert sum(event.n for event in steps if event.epoch == 1) == len(splits().train)
    with pytest.raises(AttributeError):
        events[0].step = 3  # type: ignore[misc]
    first = next(event for event in events if isinstance(event, Evaluated))
    assert first.train_loss == pytest.approx(sum(e.loss * e.n for e in steps if e.epoch == 1) / 90)


def test_measuring_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = [event.loss for event in started(tmp_path / "a") if isinstance(event, Step)]
    monkeypatch.setattr("plusx.training.run.measure_speed", lambda *_: _no_measure())
    assert [event.loss for event in started(tmp_path / "b") if isinstance(event, Step)] == measured


def test_a_sink_that_raises_never_stops_the_run(tmp_path: Path) -> None:
    from plusx.training import RunOptions, fit

    heard: list[str] = []

    def broken(event: Event) -> None:
        heard.append(type(event).__name__)
        raise OSError("no room on disk")

    def sound(event: Event) -> None:
        heard.append("sound")

    events = fit(
        network(),
        splits(),
        "digits epochs=1 batch=30",
        tmp_path / "run",
        options=RunOptions(device="cpu", threads=1),
        sinks=(broken, sound),
    )
    with pytest.warns(RuntimeWarning, match=r"broken failed and is no longer called: no room on disk"):
        count = len(list(events))
    assert heard.count("Started") == 1 and heard.count("sound") == count


@pytest.mark.parametrize(
    ("data", "name"), [("photos/", "photos"), ("shards/train-*.tar", "train-.tar"), ("*", "data"), ("digits", "digits")]
)
def test_a_run_is_named_after_its_data(data: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stem = run_stem(build("resnet18").spec, data)
    with ExitStack() as stack:
        assert str(claim_new(stem, stem, stack)[0]) == f"runs/resnet18-{name}-001"
        assert str(claim_new(stem, stem, stack)[0]) == f"runs/resnet18-{name}-002"
    assert list(tmp_path.iterdir()) == []  # neither began


def test_an_unexpected_error_is_logged_in_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of the run says what kind of error it was and how to see it; another library's text stays out."""
    train_step = step_module.Trainer.train_step

    def breaking(self: Trainer, *batch: object) -> StepResult:
        if self.progress.step == 3:
            raise RuntimeError("could not create a primitive; \x1b[1mset SOME_FLAG=0\x1b[0m")
        return train_step(self, *batch)  # type: ignore[arg-type]

    monkeypatch.setattr(step_module.Trainer, "train_step", breaking)
    monkeypatch.setattr("plusx.training.run.measure_speed", lambda *_: _no_measure())
    with pytest.raises(RuntimeError, match="primitive"):
        list(started(tmp_path / "run"))
    last = list(read_lines(tmp_path / "run" / "metrics.jsonl"))[-1]
    assert (last["event"], last["step"]) == ("failed", 3)
    assert last["reason"] == (
        f"An unexpected RuntimeError ended the training. To see where, run plusx train --resume {tmp_path / 'run'} --debug."
    )


TINY = "depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "text", [f"resnet20 {TINY} drop_path=0.4", f"resnet20 {TINY} block=bottleneck", f"resnet20 {TINY} order=pre"]
)
def test_recomputed_blocks_give_the_same_bits(text: str, precision: str) -> None:
    """Weights, statistics of norms and counts of batches after three steps, on maps that bf16 leaves to float32 too."""
    states, calls = [], []
    for yes in ("no", "yes"):
        recipe = parse_recipe(f"digits grad_checkpointing={yes} accumulate=2")
        with seeded(0, 0):
            net = build(text)
        trainer = Trainer(net, recipe, Schedule(40, recipe.batch, recipe.epochs), 0, CPU, precision)
        block, batch = trainer.network.get_submodule("layer2.0"), _batch(12)
        seen: list[bool] = []
        block.get_submodule("conv1").register_forward_hook(lambda *_, seen=seen: seen.append(True))
        for _ in range(3):
            trainer.train_step(batch.images, batch.labels, batch.names)
        states.append({name: t.clone() for name, t in trainer.network.state_dict().items()})
        calls.append(len(seen))
    assert (
        all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        and states[0].keys() == states[1].keys()
    )
    assert calls == [6, 12]  # three steps of two parts, each computed once, and then twice
    counts = [t for name, t in states[1].items() if name.endswith("num_batches_tracked")]
    assert counts and all(int(t) == 6 for t in counts)
    assert all(bool(torch.isfinite(t).all()) for t in states[0].values() if t.is_floating_point())


def test_norms_that_count_twice_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: torch's checkpoint by itself."""
    monkeypatch.setattr("plusx.nn.recomputing._Checkpointed._contexts", lambda _self: (nullcontext(), nullcontext()))
    states = []
    for yes in ("no", "yes"):
        trainer, batch = _trainer(f"grad_checkpointing={yes}"), _batch(12)
        trainer.train_step(batch.images, batch.labels, batch.names)
        states.append(trainer.network.state_dict())
    name = "layer1.0.bn1.running_mean"
    assert not torch.equal(states[0][name], states[1][name])
