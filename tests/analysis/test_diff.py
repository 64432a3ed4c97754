"""Differences: nothing for equal networks, the known figures for known pairs, and whether weights keep their meaning."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings

from plusx import lower, presets, spec
from plusx.analysis.conditions import read_condition
from plusx.analysis.diff import diff
from plusx.errors import GeometryError, SpecError
from plusx.specs import ResNetSpec
from plusx.text.diff_table import changed_lines, diff_record, diff_table, weights_text
from randomspecs import wishes

SMALL = [name for name in presets if name not in ("preresnet1001", "resnet1202")]


@pytest.mark.parametrize("name", SMALL)
def test_a_network_does_not_differ_from_itself(name):
    found = diff(name, name)
    assert not found
    assert (found.fields, found.changes, found.weights.verdict) == ((), (), "equal")
    assert all(x == y for x, y in found.figures.values())
    assert diff_table(found) == f"No difference: both are {name}.\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes(), wishes())
def test_random_pairs(first, second):
    try:
        a, b = (ResNetSpec().replace(**keys) for keys in (first, second))
        found, back = diff(a, b, 97), diff(b, a, 97)
    except (SpecError, GeometryError):
        assume(False)
        return
    assert not diff(a, a, 97)
    assert bool(found) == bool(back) == (a != b)
    assert sum(part.params for part in found.parts) == found.figures["params"][1] - found.figures["params"][0]
    assert sum(part.macs for part in found.parts) == found.figures["macs"][1] - found.figures["macs"][0]
    assert [tuple(reversed(pair)) for pair in back.figures.values()] == list(found.figures.values())
    assert diff_table(found) and diff_record(found)["equal"] == (a == b)


def test_v1_to_v15_is_one_line():
    """fvcore on torchvision's resnet50 with the stride in either convolution: +231,211,008 MACs (+6.0 %), equal params."""
    found = diff("resnet50 stride_in=1x1", "resnet50")
    assert changed_lines(found) == ["layer2.0, layer3.0, layer4.0: conv1 s2 → s1; conv2 s1 → s2"]
    assert found.figures["macs"][1] - found.figures["macs"][0] == 231_211_008
    assert found.figures["field"] == (483, 427)
    assert found.figures["params"] == (25_557_032, 25_557_032)
    assert found.weights.verdict == "shape"
    assert found.weights.odd == tuple(f"layer{s}.0.conv{k}" for s in (2, 3, 4) for k in (1, 2))
    assert "+231,211,008 (+5.99 %)" in diff_table(found)


FITS = {
    ("resnet50", "resnet50 output_stride=8"): ("meaning", "dilated"),
    ("resnet50 output_stride=16", "resnet50 strides=1,2,1,1 dilations=1,1,2,4 dilate=exact"): ("meaning", "dilated"),
    ("resnet50", "resnet50 output_stride=8 dilate=full"): ("shape", ""),
    ("resnet50", "resnet50 output_stride=8 dilate=mmdet"): ("shape", ""),
    ("resnet50", "resnet50 until=layer3.2"): ("meaning", "cut"),
    ("resnet50", "resnet50 until=stem"): ("meaning", "cut"),
    ("resnet50 until=layer3", "resnet50"): ("part", ""),
    ("resnet50 until=layer4", "resnet50 classes=0"): ("meaning", "tail"),
    ("resnet50", "resnet50 classes=0"): ("meaning", "cut"),
    ("resnet50", "resnet50 norm=frozen"): ("meaning", "eval"),
    ("resnet50", "resnet50 drop_path=0.1 head_dropout=0.2"): ("meaning", "eval"),
    ("resnet50", "resnet50 zero_init=yes"): ("meaning", "eval"),
    ("resnet50", "resnet50 act=silu"): ("shape", ""),
    ("resnet50", "resnet50 join=modulate"): ("shape", ""),
    ("resnet50", "resnet50 stem_pool=caffe"): ("shape", ""),
    ("resnet50", "resnet50 norm=group"): ("shape", ""),
    ("resnet101", "resnet50"): ("shape", ""),
    ("resnet50", "resnet101"): ("part", ""),
    ("resnet18 shortcut=A", "plain18"): ("shape", ""),
    ("resnet18 shortcut=A", "resnet18 shortcut=A shortcut_align=centre"): ("shape", ""),
    ("resnet50", "resnet50 classes=10"): ("part", ""),
    ("resnet50", "resnet50_siamrpn"): ("part", ""),
    ("resnet20", "preresnet1001"): ("part", ""),
    ("resnet18 stem_width=8 widths=8,16,32,64 classes=0", "resnet18 stem_width=24 widths=24,48,96,192 classes=0"): (
        "none",
        "",
    ),
}


@pytest.mark.parametrize("pair", FITS)
def test_whether_weights_fit(pair):
    found = diff(*pair, 64).weights
    assert (found.verdict, found.why) == FITS[pair]
    assert weights_text(found).startswith("Weights ")
    if found.verdict == "shape":
        assert found.odd


def test_fit_counts_tensors_of_the_second():
    found = diff("resnet50", "resnet50 classes=10").weights
    assert (found.needed, found.found, found.misshapen) == (267, 265, ("fc.weight", "fc.bias"))  # reference 3.1: 267
    assert diff("resnet50_caffe", "resnet50").weights.left == 1  # conv1.bias


def test_fit_by_meaning_is_true_of_the_real_networks():
    """Shape and meaning against torch: outputs agree where the verdict says so, and differ where it says they do not."""
    torch = pytest.importorskip("torch")
    import plusx
    from living import enliven

    small = "depths=1,1,1,1 widths=8,16,32,64 stem_width=8 classes=5"
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    pairs = {
        (small, f"{small} norm=frozen"): True,
        (small, f"{small} drop_path=0.2"): True,
        (small, f"{small} stride_in=1x1"): False,
        (small, f"{small} act=silu"): False,
        (small, f"{small} stem_pool=caffe"): False,
    }
    for (a, b), same in pairs.items():
        net = enliven(plusx.build(a))
        wanted = {key for key, _ in lower(b).tensors()}
        other = plusx.build(b, {key: value for key, value in net.state_dict().items() if key in wanted}).eval()
        with torch.inference_mode():
            agree = torch.allclose(net(x), other(x), atol=1e-4)
        assert agree == same
        assert (diff(a, b, 64).weights.verdict in ("equal", "meaning")) == same


def test_changed_lines_name_what_moved():
    assert changed_lines(diff("resnet50", "resnet101")) == ["layer3.6-22: added"]
    assert changed_lines(diff("resnet50", "seresnet50")) == [
        "layer1.0-2, layer2.0-3, layer3.0-5, layer4.0-2: + se (SE)"
    ]
    lines = changed_lines(diff("plain18", "resnet18"))
    assert lines[0] == "layer1.0-1, layer2.1, layer3.1, layer4.1: + join (F + x)"
    assert lines[1] == "layer2.0: + join (F + x); shortcut none → 1x1 c128 s2"
    assert changed_lines(diff("resnet50", "resnet50 stem=deep"))[0] == "stem: Conv 7x7 → 3x3 c32 s2; 3x3 c32; 3x3 c64"
    assert changed_lines(diff("resnet50", "resnet50 zero_init=yes")) == [
        "No op changes: the networks differ only in training or initialisation."
    ]


def test_the_same_network_in_other_words():
    assert not diff("plain34", "resnet34 shortcut=none")
    assert not diff(spec("resnet50"), lower("resnet50"))


@pytest.mark.parametrize(
    ("gate", "hit"),
    [
        ("macs>+1%", True), ("macs>+6%", False), ("macs>+5.99%", True), ("macs>0.1%", True), ("macs>+200M", True), ("macs>+0.3G", False), ("macs>4G", True),
        ("params>+0", False), ("params<=25.6M", True), ("field<-50", True), ("field<400", False), ("depth>=50", True),
        ("activations>+4%", True), ("state>+0", False), ("macs <= 4.1G", True),
    ],
)  # fmt: skip
def test_gates(gate, hit):
    found = diff("resnet50 stride_in=1x1", "resnet50")
    assert (read_condition(gate).hit(found) is not None) == hit


@pytest.mark.parametrize("text", ["", "macs", "macs>>1", "macs>x", "flops>1", "macs=1", "macs>1e99999"])
def test_a_gate_that_cannot_be_read(text):
    with pytest.raises(SpecError, match=r"Condition|unknown figure"):
        read_condition(text)


def test_public_name():
    import plusx

    assert plusx.diff("resnet18", "resnet34").figures["depth"] == (18, 34)
    assert "diff" in plusx.__all__
