"""Networks that plusx builds are read back as the words they were built from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reading_here import check_module

import plusx
from plusx.checking.checked import judged
from plusx.specs import PRESETS, parse

SMALL = "widths=8,16,32,64 stem_width=8"
WORDS = (
    f"resnet18 {SMALL} shortcut=C", f"resnet18 {SMALL} norm=group8 act=silu", f"resnet18 {SMALL} gate=se gate_ratio=1/4",
    f"resnet18 {SMALL} gate=cbam", f"resnet18 {SMALL} head_dropout=0.3 in_channels=1 classes=7", f"resnet18 {SMALL} norm=none",
    f"resnet18 {SMALL} norm=frozen output_stride=16", f"resnet18 {SMALL} output_stride=8 dilate=full", f"resnet18 {SMALL} until=layer3",
    f"resnet18 {SMALL} block=bottleneck groups=2 classes=0", f"resnet18 {SMALL} block=bottleneck order=pre",
    "resnet20 shortcut=B", "resnet20", "resnet20 shortcut_align=centre", "wrn_28_10 widths=8,16,32 stem_width=8 block_dropout=0.3",
    "resnet18d", "resnet50_siammask",
)  # fmt: skip
DEEP = 60
"""Presets with more blocks take long to read."""


@pytest.mark.parametrize("words", WORDS)
def test_words_come_back(words):
    found = check_module(plusx.build(words))
    assert (found.findings, found.passed) == ((), True)
    assert found.spec is not None
    assert plusx.lower(found.spec).ops == plusx.lower(words).ops


@pytest.mark.parity
@pytest.mark.parametrize(
    "name", [name for name in PRESETS if sum(parse(name).depths) < DEEP and not name.endswith("_paddle")]
)
def test_presets_come_back(name):
    found = check_module(plusx.build(name))
    assert (str(found.spec), found.deviations) == (name, ())


def test_a_plain_network_is_one_where_it_is_asked_for_or_its_class_does_not_say_resnet():
    read = check_module(plusx.build("plain20")).read
    assert [each.code for each in judged("net", read).findings] == ["plain_named"]
    assert judged("net", read, parse("plain20")).findings == ()
    assert str(judged("net", replace(read, type="Net")).spec) == "plain20"


def test_a_join_that_multiplies_is_accepted_where_it_is_asked_for():
    words = f"resnet18 {SMALL} join=modulate"
    found = check_module(plusx.build(words))
    assert {each.code for each in found.findings} >= {"join"}
    assert judged("net", found.read, parse(words)).findings == ()
