"""Sentences about a network: their figures are the reference's, and hold for the network they are said of."""

from __future__ import annotations

import pytest

from plusx import presets
from plusx.analysis import analyse
from plusx.errors import GeometryError
from plusx.text.network_explanation import countable, explain_network, fvcore_extra, torchinfo_extra
from plusx.text.part_explanation import explain_part, shape_before


def said(words: str, size=None) -> str:
    return "\n".join(line for section in explain_network(analyse(words, size)) for line in section.lines)


def part(words: str, name: str) -> str:
    return "\n".join(line for section in explain_part(analyse(words), name) for line in section.lines)


def test_resnet50_is_reconciled_with_every_tool():
    """Printed by torchinfo 1.8, fvcore 0.1.5, torch's FlopCounterMode and ptflops for torchvision's resnet50 at 224; arXiv
    1512.03385, table 1; `_ops` of torchvision's weights."""
    text = said("resnet50")
    for figure in (
        "50 = 1 + 3·(3+4+6+3) + 1 (fc)", "4,089,184,256", "3.858 G with the stride in the first 1x1", "231,211,008 more, 6.0 %",
        "8,178,368,512", "fvcore reports 4,111,512,576: it adds 22,227,968 for batch norms", "100,352 for the global pool",
        "torchinfo reports 4,089,238,376", "ptflops reports 4.12 G", "torchvision's weights give 4.089 G", "The paper's table gives 3.8 G",
        "483 px with the stride in the first 1x1 (v1) and 427 px with the stride in the 3x3", "In 12 blocks the shortcut is x itself",
    ):  # fmt: skip
        assert figure in text


PAPER = {"resnet18": 1.8, "resnet34": 3.6, "resnet50_caffe": 3.8, "resnet101_caffe": 7.6, "resnet152_caffe": 11.3}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_figures_are_said_of_the_papers_networks(name):
    text = said(name)
    assert f"The paper's table gives {PAPER[name]} G" in text
    assert int(analyse(name).totals.macs / 1e8) / 10 in (
        PAPER[name],
        round(PAPER[name] - 0.1, 1),
    )  # cut off; 11.28 is rounded


@pytest.mark.parametrize(
    ("words", "size"),
    [("resnet50", 256), ("resnet50 classes=10", None), ("resnet50 stem=deep", None), ("resnet20", None)],
)
def test_published_figures_are_not_said_of_others(words, size):
    text = said(words, size)
    for who in ("ptflops", "torchvision's weights", "The paper's table"):
        assert who not in text


def test_fvcore_and_torchinfo_are_computed_only_where_their_rule_is_known():
    assert fvcore_extra(analyse("resnet50")) == (22_227_968, 100_352)
    assert torchinfo_extra(analyse("resnet50")) == 53_120 + 1_000
    assert countable(analyse("resnet50 output_stride=8"))
    for words in (
        "seresnet50",
        "resnet50 norm=group",
        "resnet50 until=layer4",
        "resnet50d",
        "resnet50_caffe",
        "resnet20",
    ):
        assert not countable(analyse(words))
        assert "fvcore" not in said(words)


def test_torchinfo_really_says_so():
    torchinfo = pytest.importorskip("torchinfo")
    import plusx

    for words in ("resnet18 classes=10", "resnet50"):
        found = analyse(words, 64)
        total = torchinfo.summary(plusx.build(words), (1, 3, 64, 64), verbose=0).total_mult_adds
        assert total == found.totals.macs + torchinfo_extra(found)


def test_why_a_shortcut_projects():
    assert "Channels go from 64 to 256, so x does not fit. A 1x1 convolution projects it." in part(
        "resnet50", "layer1.0"
    )
    assert "Channels go from 256 to 512 and the map shrinks by 2" in part("resnet50", "layer2.0")
    assert "x itself (identity): channels and size stay" in part("resnet50", "layer2.1")
    assert "Zeros fill the new channels" in part("resnet20", "layer2.0")
    assert "An average pool and a 1x1 convolution" in part("resnet50d", "layer2.0")
    assert "shortcut=C always projects" in part("resnet50 shortcut=C", "layer2.1")
    assert "The spec asks for it, although the shapes agree" in part("resnet18_paddle", "layer1.0")
    assert "a plain block" in part("plain18", "layer1.0")


def test_shapes_through_a_block():
    text = part("resnet50", "layer2.0")
    assert "conv1: 256x56x56 to 128x56x56, Conv 1x1, c128, s1, p0" in text
    assert "conv2: 128x56x56 to 128x28x28, Conv 3x3, c128, s2, p1" in text
    assert "downsample.0: 256x56x56 to 512x28x28, Conv 1x1, c512, s2, p0" in text
    assert "Counted layers 11, 12, 13" in text
    assert "res3a_branch2a (Caffe)" in text


@pytest.mark.parametrize(
    "name", [name for name in presets if name not in ("preresnet1001", "resnet1202", "preresnet164")]
)
def test_what_an_op_reads_is_what_the_one_before_gave(name):
    """MACs from the shapes that are printed: conv out = floor((in + 2p - d(k-1) - 1)/s) + 1."""
    found = analyse(name)
    for row in found.rows:
        h, w = shape_before(found, row.op.name)
        if row.op.kind == "conv":
            span = row.op.dilation * (row.op.kernel - 1) + 1
            sizes = tuple((n + 2 * row.op.padding - span) // row.op.stride + 1 for n in (h, w))
            assert sizes == row.out, row.op.name
        elif row.op.kind in ("batch_norm", "relu", "add"):
            assert (h, w) == row.out, row.op.name


def test_one_op():
    text = part("resnet50", "layer2.0.conv2")
    assert "params: 128·128·3·3 = 147,456" in text
    assert "MACs: 128·128·3·3 weights times 28·28 places = 115,605,504" in text
    assert "Keras: conv3_block1_2_conv" in text
    assert "Counted layer 12" in text
    assert "params: 1000·2048 + 1000 = 2,049,000" in part("resnet50", "fc")
    assert "x × 2σ(F)" in part("resnet50 join=modulate", "layer1.0.modulate")
    assert "conv4_x = stage 3 = layer3 = res4: 6 blocks, 512x28x28 in, 1024x14x14 out" in part("resnet50", "layer3")


@pytest.mark.parametrize("name", [name for name in presets if name not in ("preresnet1001", "resnet1202")])
def test_every_preset_and_every_op_of_a_few_can_be_explained(name):
    assert len(explain_network(analyse(name))) == 4
    found = analyse(name)
    for op in found.graph.ops[:40]:
        assert explain_part(found, op.name)[0].title == op.name


def test_unknown_names_give_the_nearest():
    with pytest.raises(GeometryError, match=r"unknown op 'layer9.0'. Did you mean 'layer\d.0'"):
        explain_part(analyse("resnet50"), "layer9.0")
    with pytest.raises(GeometryError, match=r"Did you mean 'layer2\.0\.conv2'"):
        explain_part(analyse("resnet50"), "layer2.0.convv2")


def test_dilation_and_the_field():
    assert "Dilation keeps the receptive field: it is 427 px with dilation and without it" in said("resnet50_siamrpn")
    assert "Dilation keeps the receptive field" in said("resnet50 output_stride=8")
    assert "dilate=full changes the receptive field: it is 427 px without dilation and 475 px with it" in said(
        "resnet50 output_stride=8 dilate=full"
    )
