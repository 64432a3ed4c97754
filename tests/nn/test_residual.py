"""Shortcuts around other people's modules: joins as written, starts as promised, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import GeometryError, RunError, SpecError

X = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0))


def branch(c_out=4, stride=1):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(4, c_out, 3, stride, 1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)).eval()


FORMULAS = {
    "add": lambda f, x: f + x,
    "mul": lambda f, x: f * x,
    "modulate": lambda f, x: x * 2 / (1 + torch.exp(-f)),
    "attend": lambda f, x: x * (1 + 1 / (1 + torch.exp(-f))),
}


@pytest.mark.parametrize("join", FORMULAS)
def test_joins_as_the_notes_write_them(join):
    f = branch()
    assert torch.allclose(plusx.Residual(f, join)(X), FORMULAS[join](f(X), X), atol=1e-6)


@pytest.mark.parametrize(("c_out", "stride"), [(4, 1), (6, 1), (4, 2), (6, 3)])
def test_same_starts_as_f(c_out, stride):
    f = branch(c_out, stride)
    residual = plusx.Residual(f, start="same", example=X)
    assert torch.equal(residual(X), f(X))
    assert (residual.projection is None) == ((c_out, stride) == (4, 1))
    residual(X).square().sum().backward()
    assert residual.scale.grad != 0


@pytest.mark.parametrize("join", ["add", "modulate"])
def test_identity_starts_as_x(join):
    residual = plusx.Residual(branch(), join, start="identity")
    assert torch.equal(residual(X), X)
    residual(X).sum().backward()
    assert residual.scale.grad != 0


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 8), (3, 5, 8, 8), (3, 5, 4, 6, 4)])
def test_projections_by_axes(shape):
    kinds = {
        2: lambda: nn.Linear(5, 7),
        3: lambda: nn.Conv1d(5, 7, 3, 2, 1),
        4: lambda: nn.Conv2d(5, 7, 3, (1, 2), 1),
        5: lambda: nn.Conv3d(5, 7, 3, 2, 1),
    }
    x = torch.randn(shape)
    f = kinds[len(shape)]()
    assert plusx.Residual(f, example=x)(x).shape == f(x).shape


def test_example_changes_nothing():
    f = branch(6).train()
    before = {key: value.clone() for key, value in f.state_dict().items()}
    residual = plusx.Residual(f, example=X)
    assert f[1].training
    assert all(torch.equal(value, before[key]) for key, value in residual.f.state_dict().items())


REFUSED = {
    "shapes without example": (lambda: plusx.Residual(branch(6))(X), GeometryError, r"Residual\(f, example=x\)"),
    "sizes no stride gives": (
        lambda: plusx.Residual(nn.Conv2d(4, 4, 3), example=X),
        GeometryError,
        "which a 1x1 projection cannot",
    ),
    "fewer axes": (lambda: plusx.Residual(nn.Flatten(), example=X), GeometryError, "number of axes"),
    "two outputs": (lambda: plusx.Residual(nn.LSTM(4, 4), example=X[0, 0, :4, :4]), SpecError, "returns tuple"),
    "writes into x": (
        lambda: plusx.Residual(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)))(X.clone()),
        SpecError,
        "inplace=False",
    ),
    "writes into the example": (lambda: plusx.Residual(nn.ReLU(inplace=True), example=X.clone()), SpecError, "inplace"),
    "an input f cannot take": (
        lambda: plusx.Residual(nn.Conv2d(5, 5, 1), example=X),
        GeometryError,
        "does not accept the example",
    ),
    "same with mul": (lambda: plusx.Residual(branch(), "mul", "same"), SpecError, "only join=add"),
    "identity with attend": (lambda: plusx.Residual(branch(), "attend", "identity"), SpecError, "1.5 x"),
    "an unknown join": (lambda: plusx.Residual(branch(), "ad"), SpecError, "Did you mean 'add'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_one_line(what):
    act, kind, words = REFUSED[what]
    with pytest.raises(kind, match=words) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_compiles():
    residual = plusx.Residual(branch(), start="same")
    assert torch.allclose(torch.compile(residual, backend="aot_eager", fullgraph=True)(X), residual(X))


# ---- residualise ----


def small_vgg():
    """Two nested blocks with norms, one that changes shape, a linear end."""
    torch.manual_seed(0)

    def unit(a, b):
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))

    return nn.Sequential(
        unit(3, 8), unit(8, 8), unit(8, 8), unit(8, 8), nn.MaxPool2d(2), unit(8, 16), unit(16, 16),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 5),
    )  # fmt: skip


IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def test_same_keeps_a_trained_net_exactly():
    model = enliven(small_vgg())
    net, report = plusx.residualise(model, IMAGE)
    with torch.no_grad():
        wanted = model(IMAGE)
        assert_alive(wanted, model(IMAGE.flip(0)))
        assert torch.equal(net(IMAGE), wanted)
    assert [w.layers for w in report.shortcuts] == [("1.0", "2.0"), ("3.0",), ("6.0",), ("9",)]
    assert [layer.path for layer in report.skipped] == ["0.0", "5.0", "12"]
    assert {id(p) for p in model.parameters()} < {id(p) for p in net.parameters()}
    assert sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in model.parameters()) == 4
    assert "4 shortcuts" in str(report)
    assert not any(isinstance(m, plusx.Residual) for m in model.modules())


def test_negative_control_a_shortcut_that_is_not_zero_is_seen():
    model = enliven(small_vgg())
    net, _ = plusx.residualise(model, IMAGE)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, plusx.Residual):
                module.scale.fill_(0.1)
        assert relative(net(IMAGE), model(IMAGE)) > 1e-3


def test_the_last_activation_stays_outside():
    net, _ = plusx.residualise(small_vgg(), IMAGE)
    kinds = [type(m).__name__ for m in net]
    assert kinds[3:7] == ["Residual", "ReLU", "Residual", "ReLU"]
    assert [type(m).__name__ for m in net[3].f] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"]


def test_identity_starts_each_part_as_x():
    net, report = plusx.residualise(small_vgg(), IMAGE, start="identity", changes=True)
    assert [w.projection for w in report.shortcuts] == [True, False, True, False]
    x = torch.rand(2, 8, 32, 32)
    second = net[2]
    assert torch.equal(second(x), x)
    net.train()(IMAGE).sum().backward()
    assert all(m.scale.grad is not None and m.scale.grad != 0 for m in net.modules() if isinstance(m, plusx.Residual))


@pytest.fixture(scope="module")
def vgg16():
    torch.manual_seed(0)
    return torchvision.models.vgg16(weights=None, num_classes=10).eval()


@pytest.mark.parametrize("changes", [False, True])
def test_vgg16(vgg16, changes):
    model, x = vgg16, torch.randn(1, 3, 64, 64)
    net, report = plusx.residualise(model, x, changes=changes)
    with torch.no_grad():
        assert torch.equal(net(x), model(x))
    layers = [w.layers for w in report.shortcuts]
    if not changes:
        assert layers == [
            ("features.2",), ("features.7",), ("features.12", "features.14"), ("features.19", "features.21"),
            ("features.24", "features.26"), ("features.28",), ("classifier.3",),
        ]  # fmt: skip
    covered = {name for group in layers for name in group} | {layer.path for layer in report.skipped}
    weighted = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert covered == weighted


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x)


class Looped(nn.Module):
    """Calls the layers of a Sequential itself, which a Residual inside it would survive, but nobody can know that."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Peeks(nn.Module):
    """Runs a Sequential, and one of its layers by index again."""

    def __init__(self, index):
        super().__init__()
        self.index = index
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.Tanh(), nn.Sigmoid())

    def forward(self, x):
        return self.layers(x) + self.layers[self.index](x)


CANNOT = {
    "its own forward": (ByHand, "ByHand.forward"),
    "a loop over layers": (Looped, "not called as one Sequential"),
    "nothing to wrap": (lambda: nn.Sequential(nn.Conv2d(3, 5, 1)), "changes 3x32x32 to 5x32x32"),
    "residual already": (torchvision.models.resnet18, "BasicBlock.forward"),
    "no weights": (lambda: nn.Sequential(nn.ReLU()), "no layers with weights"),
    "a layer used twice": (lambda: nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 2), "called 2 times"),
}


@pytest.mark.parametrize("what", CANNOT)
def test_cannot_be_residualised(what):
    make, words = CANNOT[what]
    with pytest.raises(SpecError, match=words) as caught:
        plusx.residualise(make(), IMAGE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("index", "words"), [(1, "The output of Peeks differs by"), (3, "does not run.*IndexError")])
def test_a_forward_that_is_more_than_its_tree_is_caught(index, words):
    with pytest.raises(RunError, match=words):
        plusx.residualise(Peeks(index), IMAGE)
