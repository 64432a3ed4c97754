"""Surgery keeps what it promises to keep: equality on living nets, the very same tensors, a spec that stays true.

`CASES` and `gap` are also what scripts/surgery_table.py prints.
"""

from __future__ import annotations

import re

import pytest
import torch

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import GeometryError, SpecError, WeightsError
from plusx.nn.surgery import cut_state

NETS = {
    "basic": "resnet18 widths=8,16,24,32 stem_width=8 classes=5",
    "bottleneck": "resnet50 depths=2,2,2,2 widths=8,8,16,16 stem_width=8 classes=5",
    "deep stem, D": "resnet50d depths=1,2,2,2 widths=8,8,16,16 stem_width=8 classes=5",
    "pre-activation": "resnetv2_50 depths=1,2,2,2 widths=8,8,16,16 stem_width=8 classes=5",
    "frozen norms": "resnet18 widths=8,16,24,32 stem_width=8 classes=5 norm=frozen",
    "no norms": "resnet18 widths=8,16,24,32 stem_width=8 classes=5 norm=none",
    "group norm": "resnet18 widths=8,16,24,32 stem_width=8 classes=5 norm=group4",
    "join=modulate": "resnet18 widths=8,16,24,32 stem_width=8 classes=5 join=modulate",
    "CBAM": "resnet18 widths=8,16,24,32 stem_width=8 classes=5 gate=cbam",
}
GATED = [name for name in NETS if name != "CBAM"]
FOLDABLE = ["basic", "bottleneck", "deep stem, D", "frozen norms", "no norms", "join=modulate", "CBAM"]
DILATABLE = [name for name in NETS if name != "group norm"]
PX = 75


def _forward(net, x):
    return net(x)


def _until_layer3(net, x):
    for name in ("layer1", "layer2", "layer3"):
        x = getattr(net, name)(x if name != "layer1" else net.forward_stem(x))
    return x


def _at_strides(net, x):
    return net.forward_features(x)[..., ::4, ::4]


CASES = {
    "cut(until=layer3)": (lambda net: plusx.cut(net, "layer3"), _until_layer3, _forward, list(NETS)),
    "dilate(output_stride=8)": (
        lambda net: plusx.dilate(net, 8),
        lambda net, x: net.forward_features(x),
        _at_strides,
        DILATABLE,
    ),
    "add_gates(se)": (lambda net: plusx.add_gates(net, "se"), _forward, _forward, GATED),
    "add_gates(eca)": (lambda net: plusx.add_gates(net, "eca"), _forward, _forward, GATED),
    "add_gates(cbam)": (lambda net: plusx.add_gates(net, "cbam"), _forward, _forward, GATED),
    "single_use_activations": (plusx.single_use_activations, _forward, _forward, list(NETS)),
    "fold_norm": (plusx.fold_norm, _forward, _forward, FOLDABLE),
}
"""operation: (what it does, what is wanted of the net before, what the net after gives, the nets it takes)."""

EXACT = {"cut(until=layer3)", "add_gates(se)", "add_gates(eca)", "add_gates(cbam)", "single_use_activations"}
"""Operations that lose not one bit; the others round differently."""


def living(name, seed=0):
    torch.manual_seed(seed)
    return enliven(plusx.build(NETS[name]), seed)


@torch.no_grad()
def gap(operation, name, dtype=torch.float32):
    """Largest difference over the largest value, between before and after, on one living net."""
    make, wanted, given, _ = CASES[operation]
    net = living(name).to(dtype)
    x, y = torch.randn(2, 2, 3, PX, PX + 6, generator=torch.Generator().manual_seed(1)).to(dtype)
    before = wanted(net, x)
    assert_alive(before, wanted(net, y))
    return relative(given(make(net), x), before)


@pytest.mark.parametrize(("operation", "name"), [(o, n) for o, case in CASES.items() for n in case[3]])
def test_it_computes_what_it_did(operation, name):
    """To the bit; folding and dilating round differently, so in float64, where rounding is far below any mistake."""
    if operation in EXACT:
        assert gap(operation, name) == 0
    else:
        assert gap(operation, name, torch.float64) < 1e-12


@pytest.mark.parametrize("gate", ["se", "eca", "cbam"])
def test_gates_are_exact_while_training_too(gate):
    net = living("basic")
    gated = plusx.add_gates(net, gate).train()
    x = torch.randn(4, 3, 64, 64)
    assert torch.equal(gated(x), net.train()(x))


@pytest.mark.parametrize("gate", ["se", "eca", "cbam"])
@pytest.mark.parametrize("name", ["basic", "frozen norms", "no norms", "pre-activation"])
def test_gates_come_alive(gate, name):
    """The zero tensors get gradients at once, and when they have moved, every tensor of every gate does."""
    net = living(name)
    torch.manual_seed(
        2
    )  # with eight squeezed units, one gate in 256 starts with all of its relus off, as any new SE does
    gated = plusx.add_gates(net, gate).train()
    gates = {key: p for key, p in gated.named_parameters() if ".se." in key}
    x, towards = torch.randn(4, 3, 64, 64), torch.randn(4, 5)

    def gradients():
        gated.zero_grad()
        (gated(x) * towards).sum().backward()
        return {key: float(p.grad.abs().max()) for key, p in gates.items()}

    zero = [key for key, p in gates.items() if not p.any() and "fc1" not in key and not key.endswith("bn.bias")]
    assert len(zero) >= sum(gated.spec.depths)
    first = gradients()
    assert min(first[key] for key in zero) > 0
    with torch.no_grad():
        for key in zero:
            gates[key].add_(torch.randn_like(gates[key]), alpha=0.05)
    then = gradients()
    assert not [key for key, size in then.items() if not size > 0]


def test_negative_control_a_gate_without_the_factor_is_seen():
    """Had the last norm not been doubled, the outputs would be far away: the equality above is no accident."""
    net = living("basic")
    gated = plusx.add_gates(net, "se")
    for stage in gated.stage_names:
        for ours, theirs in zip(getattr(gated, stage), getattr(net, stage), strict=True):
            ours.bn2.weight, ours.bn2.bias = theirs.bn2.weight, theirs.bn2.bias
    x = torch.randn(2, 3, PX, PX)
    with torch.no_grad():
        assert relative(gated(x), net(x)) > 0.05


SHARING = {
    "cut": (lambda net: plusx.cut(net, "layer3.0"), "nothing"),
    "dilate": (lambda net: plusx.dilate(net, 16), "nothing"),
    "adapt_input": (lambda net: plusx.adapt_input(net, 4), r"conv1\.weight"),
    "new_head": (lambda net: plusx.new_head(net, 7), r"fc\..*"),
    "single_use_activations": (plusx.single_use_activations, "nothing"),
    "add_gates": (plusx.add_gates, r".*\.se\..*|layer.*\.bn2\.(weight|bias)"),
}
"""operation: (what it does, the tensors that are new)."""


@pytest.mark.parametrize("operation", SHARING)
def test_kept_tensors_are_the_same_objects(operation):
    make, changed = SHARING[operation]
    net = living("basic")
    kept = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    new = make(net)
    held = {**dict(new.named_parameters()), **dict(new.named_buffers())}
    for key, tensor in held.items():
        assert (tensor is kept.get(key)) == (re.fullmatch(changed, key) is None), key


@pytest.mark.parametrize("name", NETS)
def test_spec_stays_true(name):
    """What was made has exactly the tensors of its spec's graph, prints, parses back, analyses and rebuilds."""
    net = living(name)
    made = [plusx.cut(net, "layer2.0"), plusx.adapt_input(net, 1), plusx.new_head(net, 3)]
    made += [plusx.new_head(plusx.cut(net, "layer3.0"), 3), plusx.single_use_activations(net)]
    if name in DILATABLE:
        made.append(plusx.dilate(net, 16))
    if name in GATED:
        made.append(plusx.add_gates(net, "se"))
    if name in FOLDABLE:
        made.append(plusx.fold_norm(net))
    for new in made:
        assert {key: tuple(t.shape) for key, t in new.state_dict().items()} == {
            key: tensor.shape for key, tensor in plusx.lower(new.spec).tensors()
        }
        assert plusx.spec(str(new.spec)) == new.spec
        again = plusx.build(str(new.spec), new.state_dict()).eval()
        x = torch.randn(1, new.spec.in_channels, 64, 64)
        with torch.no_grad():
            assert torch.equal(again(x), new.eval()(x))
        assert plusx.analyse(new.spec, 64).totals.params == sum(p.numel() for p in new.parameters())


def test_analyse_diff_and_draw_take_the_result():
    net = living("basic")
    for new in (plusx.cut(net, "layer3"), plusx.add_gates(net), plusx.fold_norm(net), plusx.dilate(net, 8)):
        assert plusx.analyse(new, 64).graph.spec == new.spec
        assert str(new.spec) in plusx.draw(new)
        assert plusx.diff(net, new).after.graph.spec == new.spec


def test_cut_and_new_head_is_a_smaller_resnet():
    new = plusx.new_head(plusx.cut(living("basic"), "layer3.0"), 7)
    assert (new.spec.depths, new.spec.until, new.spec.classes) == ((2, 2, 1), None, 7)
    assert new(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    dilated = plusx.new_head(plusx.cut(plusx.dilate(living("basic"), 8), "layer3"), 7)
    assert dilated.info.stride == 8


def test_cut_says_what_is_there():
    info = plusx.cut(plusx.build("resnet50"), "layer3").info
    assert (info.channels, info.stride, info.rf, info.start, info.whole) == (1024, 16, 267, 0.5, None)
    assert plusx.cut(plusx.build("seresnet50"), "layer2").info.whole == "layer1.0.se"


def test_input_rules_are_timms():
    from timm.models._manipulate import adapt_input_conv

    net = living("basic")
    weight = net.conv1.weight.detach()
    for channels in (1, 4, 5, 6, 7):
        ours = plusx.adapt_input(net, channels).conv1.weight
        assert relative(ours, adapt_input_conv(channels, weight)) < 1e-6
    assert plusx.adapt_input(net, 3).conv1.weight is net.conv1.weight


def test_grey_input_is_exact():
    """One channel: what grey copies of it gave."""
    net = living("deep stem, D")
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert relative(plusx.adapt_input(net, 1)(grey), net(grey.repeat(1, 3, 1, 1))) < 1e-5


def test_surgery_keeps_flags():
    net = living("basic")
    net.preprocessing = "theirs"
    plusx.freeze(net, "layer1")
    net.train()
    net.bn1.eps, net.layer2[0].bn1.momentum = 1e-3, 0.3
    new = plusx.cut(plusx.single_use_activations(net), "layer3")
    assert new.preprocessing == "theirs"
    assert new.bn1.eps == 1e-3
    assert new.layer2[0].bn1.momentum == 0.3
    assert not new.layer1[0].bn1.training
    assert new.layer2[0].bn1.training
    assert not new.train().layer1[0].bn1.training
    assert not new.layer1[0].conv1.weight.requires_grad
    assert hasattr(new.layer1[0], "relu2")
    assert not plusx.add_gates(net).layer1[0].bn2.weight.requires_grad
    assert plusx.adapt_input(net, 1).preprocessing is None


def test_single_use_activations_are_used_once():
    net = plusx.single_use_activations(living("bottleneck"))
    calls = []
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.ReLU):
            assert not module.inplace
            module.register_forward_hook(lambda m, i, o, name=name: calls.append(name))
    net(torch.randn(1, 3, 64, 64))
    wanted = [op.name for op in plusx.lower(net.spec).ops if op.kind == "relu"]
    assert calls == wanted
    assert len(set(calls)) == len(calls)
    assert list(net.state_dict()) == list(living("bottleneck").state_dict())


REFUSED = {
    "an unknown feature map": (
        lambda: plusx.cut(plusx.build("resnet18"), "layr3"),
        GeometryError,
        "Did you mean 'layer3'",
    ),
    "a feature map behind a cut": (
        lambda: plusx.cut(plusx.build("resnet18 until=layer2"), "layer3"),
        GeometryError,
        "Did you mean 'layer2'",
    ),
    "gates twice": (lambda: plusx.add_gates(plusx.build("seresnet50"), "eca"), SpecError, "has gate=se already"),
    "gates on a plain net": (lambda: plusx.add_gates(plusx.build("plain18")), SpecError, "has no join"),
    "an unknown gate": (lambda: plusx.add_gates(plusx.build("resnet18"), "sse"), SpecError, "Did you mean 'se'"),
    "folding pre-activation": (lambda: plusx.fold_norm(living("pre-activation")), SpecError, "follows a sum"),
    "folding group norm": (lambda: plusx.fold_norm(living("group norm")), SpecError, "from each image"),
    "dilating group norm": (lambda: plusx.dilate(living("group norm"), 8), SpecError, "depend on every pixel"),
    "dilating another policy": (
        lambda: plusx.dilate(plusx.build("resnet18 output_stride=16 dilate=full"), 8),
        SpecError,
        "dilate=full",
    ),
    "a head on the stem": (
        lambda: plusx.new_head(plusx.build("resnet18 until=stem"), 3),
        SpecError,
        "directly after the stem",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_one_line(what):
    act, kind, words = REFUSED[what]
    with pytest.raises(kind, match=words) as caught:
        act()
    assert "\n" not in str(caught.value)
    assert ". " in str(caught.value)  # what is wrong, then what to do


def test_a_net_changed_by_hand_is_refused():
    net = living("basic")
    net.fc = torch.nn.Linear(32, 9)
    with pytest.raises(WeightsError, match=r"fc.weight has the shape \[9, 32\].*a module was replaced"):
        plusx.dilate(net, 16)
    assert plusx.new_head(net, 4).fc.out_features == 4


def test_cut_state_keeps_what_the_cut_needs():
    net = living("bottleneck")
    kept, spec = cut_state(net.state_dict(), "layer2.0")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plusx.build(spec, kept).eval()(x), plusx.cut(net, "layer2.0")(x))
    with pytest.raises(WeightsError, match="--network"):
        cut_state({"a": torch.zeros(1)}, "layer1")


def test_channels_are_dropped_only_by_name():
    """Chosen bands answer as the network did where every other band was zero; unnamed ones are refused."""
    net = plusx.adapt_input(living("basic"), 13)
    torch.nn.init.normal_(net.conv1.weight)
    with pytest.raises(SpecError, match=r"3 channels cannot replace 13 .*bands=\(0, 1, 2\)"):
        plusx.adapt_input(net, 3)
    bands = (3, 2, 1)
    rgb = torch.randn(2, 3, PX, PX, generator=torch.Generator().manual_seed(1))
    all_bands = torch.zeros(2, 13, PX, PX)
    all_bands[:, list(bands)] = rgb
    with torch.inference_mode():
        assert relative(plusx.adapt_input(net, 3, bands)(rgb), net(all_bands)) < 1e-5
    for wrong in ((0, 1), (0, 1, 1), (0, 1, 13), (-1, 0, 1)):
        with pytest.raises(SpecError, match=r"is not a choice of 3 different channels\. Give 3 numbers from 0 to 12"):
            plusx.adapt_input(net, 3, wrong)
