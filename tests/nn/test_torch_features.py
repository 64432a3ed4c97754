"""The nets in torch's own machinery: compile, export, copies, dtypes, memory formats, meta."""

from __future__ import annotations

import copy
import io
import itertools
import pickle

import pytest
import torch

import plusx
from living import enliven, relative
from plusx.errors import SpecError
from plusx.specs import PRESETS
from plusx.specs.keys import GATES, JOINS, SHORTCUTS, STEMS

pytestmark = pytest.mark.filterwarnings("ignore:join=mul")
TINY = "depths=1,1 widths=16,32 stem_width=16 classes=4"


def combinations():
    for block, order, join, gate, stem, shortcut in itertools.product(
        ("basic", "bottleneck"), ("post", "pre"), JOINS, GATES, STEMS, SHORTCUTS
    ):
        if shortcut == "none" and (join != "add" or gate != "none"):
            continue
        yield f"block={block} order={order} join={join} gate={gate} stem={stem} shortcut={shortcut}"


def covering():
    """Combinations that hold each value of each key, and few more."""
    for i in range(max(map(len, (JOINS, GATES, STEMS, SHORTCUTS)))):
        values = [(*options,)[i % len(options)] for options in (JOINS, GATES, STEMS, SHORTCUTS)]
        join, gate, stem, shortcut = values
        if shortcut == "none":
            join, gate = "add", "none"
        block, order = (("basic", "pre"), ("bottleneck", "post"), ("basic", "post"), ("bottleneck", "pre"))[i % 4]
        yield f"block={block} order={order} join={join} gate={gate} stem={stem} shortcut={shortcut}"


ALL = list(combinations())
FEW = list(covering())


def graph_works(words):
    """No graph break while training with dropout and drop path; the exported program computes the same."""
    torch._dynamo.reset()
    drops = "block_dropout=0.1" + (" drop_path=0.1" if "shortcut=none" not in words and "join=mul" not in words else "")
    net = plusx.build(f"{TINY} {words} {drops}")
    x = torch.randn(2, 3, 33, 33)
    torch.compile(net.train(), fullgraph=True, backend="eager")(x).sum().backward()
    net = enliven(net)
    with torch.no_grad():
        wanted = net(x)
        assert torch.equal(torch.compile(net, fullgraph=True, backend="eager")(x), wanted)
        assert relative(torch.export.export(net, (x,)).module()(x), wanted) < 1e-5


@pytest.mark.parametrize("words", FEW)
def test_compile_and_export(words):
    graph_works(words)


def test_each_value_is_among_the_few():
    assert set(FEW) <= set(ALL)
    assert {word for words in FEW for word in words.split()} == {word for words in ALL for word in words.split()}


@pytest.mark.slow
@pytest.mark.parametrize("words", ALL)
def test_compile_and_export_of_every_combination(words):
    graph_works(words)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_inductor(name):
    torch.manual_seed(0)
    net = enliven(plusx.build(name))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert relative(torch.compile(net)(x), net(x)) < 1e-4


SMALL = [name for name in PRESETS if name not in ("resnet1202", "preresnet1001")]


@pytest.mark.parametrize("deepest", [2, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SMALL)
def test_copies_dtypes_formats_and_meta(name, deepest):
    """Every preset, thin and with two blocks a stage, or at its own depths, so that it costs little."""
    thin = plusx.spec(name)
    thin = thin.replace(depths=tuple(min(depth, deepest) for depth in thin.depths))
    try:
        thin = thin.replace(
            widths=tuple(8 * 2**i for i in range(len(thin.depths))),
            stem_width=8,
            groups=min(thin.groups, 4),
            width_per_group=64,
        )
    except SpecError:
        thin = thin.replace(widths=tuple(8 * 2**i for i in range(len(thin.depths))), stem_width=8)
    torch.manual_seed(0)
    net = enliven(plusx.build(thin))
    size = 127 if thin.padding == "valid" else 40
    x = torch.randn(1, thin.in_channels, size, size)
    with torch.inference_mode():
        wanted = net(x)
        assert torch.equal(copy.deepcopy(net)(x), wanted)
        again = pickle.loads(pickle.dumps(net))
        assert again.spec == net.spec and torch.equal(again(x), wanted)
        file = io.BytesIO()
        torch.save(net.state_dict(), file)
        file.seek(0)
        assert torch.equal(plusx.build(thin, torch.load(file, weights_only=True)).eval()(x), wanted)
        last = copy.deepcopy(net).to(memory_format=torch.channels_last)
        assert relative(last(x.contiguous(memory_format=torch.channels_last)), wanted) < 1e-4
        half = copy.deepcopy(net).to(torch.bfloat16)(x.to(torch.bfloat16))
        assert half.dtype == torch.bfloat16 and torch.isfinite(half).all()
        meta = copy.deepcopy(net).to("meta")(x.to("meta"))
        assert meta.shape == wanted.shape


def test_group_norm_over_other_numbers_of_groups():
    with pytest.raises(
        SpecError,
        match=r"norm=group5 does not divide the 64 channels of bn1. Allowed numbers of groups: 1, 2, 4, 8, 16, 32, 64",
    ):
        plusx.lower("resnet50 norm=group5")


@pytest.mark.parametrize(
    "words, line",
    [
        (
            "resnet18 groups=3",
            "groups=3 does not divide the branch width 64 of layer1. Allowed: 1, 2, 4, 8, 16, 32, 64",
        ),
        (
            "resnet50 width_per_group=1 widths=8,16,32,64",
            "width_per_group=1 leaves no channels in layer1.0, whose width is 8. Write 8 or more.",
        ),
        (
            "resnet18 widths=64,32,16,8 shortcut=A",
            "layer2.0 goes from 64 to fewer channels (32). Write shortcut=B.",
        ),
    ],
)
def test_what_arithmetic_forbids(words, line):
    with pytest.raises(SpecError) as caught:
        plusx.lower(words)
    assert line in str(caught.value)
