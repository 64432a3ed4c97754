"""The table of a network: its columns add up, equal blocks stand once, numbers are the reference's."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import HealthCheck, assume, given, settings

from plusx import lower, presets
from plusx.analysis import analyse
from plusx.errors import GeometryError, SpecError
from plusx.specs import ResNetSpec
from plusx.text.alignment import aligned, terminal_width
from plusx.text.entries import DETAILS, entries
from plusx.text.network_records import records, show_record, to_csv, to_json
from plusx.text.network_table import layer_note, markdown, table
from plusx.text.notation import block_text, groups, op_text, shape_of, stage_names
from randomspecs import wishes

SMALL = [name for name in presets if name not in ("preresnet1001", "resnet1202")]


@pytest.mark.parametrize("name", SMALL)
def test_rows_times_repeat_sum_to_the_totals_at_every_detail(name):
    found = analyse(name)
    for detail in DETAILS:
        leaves = [entry for entry in entries(found, detail) if entry.leaf]
        assert sum(e.params * e.repeat for e in leaves) == found.totals.params
        assert sum(e.macs * e.repeat for e in leaves) == found.totals.macs
        numbers = [n for e in leaves for n in e.layers]
        assert sorted(set(numbers)) == list(range(1, found.depth.counted + 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wishes())
def test_random_networks_add_up_and_fold_only_equal_blocks(keys):
    try:
        found = analyse(ResNetSpec().replace(**keys), 97)
    except (SpecError, GeometryError):  # the second: too small an input for it
        assume(False)
        return
    for detail in DETAILS:
        leaves = [entry for entry in entries(found, detail) if entry.leaf]
        assert sum(e.params * e.repeat for e in leaves) == found.totals.params
        assert sum(e.macs * e.repeat for e in leaves) == found.totals.macs
    for stage in found.graph.stages:
        seen = [block for group in groups(stage) for block in group.blocks]
        assert tuple(seen) == stage.blocks
        for group in groups(stage):
            costs = {
                tuple((found[op.name].out, found[op.name].macs, found[op.name].params) for op in b.ops)
                for b in group.blocks
            }
            assert len(costs) == 1, "blocks folded into one line cost differently"
    assert f"{found.totals.params:,}" in table(found)


def printed_sums(text: str) -> tuple[int, int, int, int]:
    """Params and MACs of the parts' lines added up, and of the total's line, from the printed table alone."""
    parts = [0, 0]
    total = (0, 0)
    for line in text.splitlines():
        numbers = [
            int(n.replace(",", "")) for n in re.findall(r"(?<=  )\d[\d,]*(?=  |$)", line) if "," in n or int(n) > 999
        ]
        if re.match(r"\s*[\d-]+  (stem|conv\d_x|head)", line):
            parts[0] += numbers[-2]
            parts[1] += numbers[-1]
        if re.match(r"\s*\d+  total", line):
            total = (numbers[-2], numbers[-1])
    return parts[0], parts[1], *total


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet152"])
def test_the_printed_column_adds_up(name):
    params, macs, total_params, total_macs = printed_sums(table(analyse(name), "stages"))
    assert (params, macs) == (total_params, total_macs) == (analyse(name).totals.params, analyse(name).totals.macs)


RESNET18 = """\
resnet18, input 3x224x224

layers  part             content                              out         stride   rf      params           MACs    share
     1  stem                                                  64x56x56         4   11       9,536    118,013,952    6.5 %
     1    conv1          Conv 7x7, c64, s2, p3                64x112x112       2    7       9,536    118,013,952    6.5 %
          maxpool        MaxPool 3x3, c64, s2, p1             64x56x56         4   11
   2-5  conv2_x = stage 1 = layer1 = res2, 2 blocks           64x56x56         4   43     147,968    462,422,016   25.5 %
   2-5    2× layer1.0-1  3x3 c64, 3x3 c64 + x                 64x56x56         4   43     147,968    462,422,016   25.5 %
   6-9  conv3_x = stage 2 = layer2 = res3, 2 blocks           128x28x28        8   99     525,568    411,041,792   22.7 %
   6-7    layer2.0       3x3 c128 s2, 3x3 c128 + 1x1 c128 s2  128x28x28        8   67     230,144    179,830,784    9.9 %
   8-9    layer2.1       3x3 c128, 3x3 c128 + x               128x28x28        8   99     295,424    231,211,008   12.7 %
 10-13  conv4_x = stage 3 = layer3 = res4, 2 blocks           256x14x14       16  211   2,099,712    411,041,792   22.7 %
 10-11    layer3.0       3x3 c256 s2, 3x3 c256 + 1x1 c256 s2  256x14x14       16  147     919,040    179,830,784    9.9 %
 12-13    layer3.1       3x3 c256, 3x3 c256 + x               256x14x14       16  211   1,180,672    231,211,008   12.7 %
 14-17  conv5_x = stage 4 = layer4 = res5, 2 blocks           512x7x7         32  435   8,393,728    411,041,792   22.7 %
 14-15    layer4.0       3x3 c512 s2, 3x3 c512 + 1x1 c512 s2  512x7x7         32  307   3,673,088    179,830,784    9.9 %
 16-17    layer4.1       3x3 c512, 3x3 c512 + x               512x7x7         32  435   4,720,640    231,211,008   12.7 %
    18  head                                                  1000x1x1       224  627     513,000        512,000    0.0 %
          avgpool        AvgPool global, c512                 512x1x1        224  627
    18    fc             Linear, c1000, bias                  1000x1x1       224  627     513,000        512,000    0.0 %

    18  total                                                                          11,689,512  1,814,073,344  100.0 %

Depth: 18 = 1 + 2·(2+2+2+2) + 1 (fc).
Layers: 18 counted, 20 convolutions (3 on shortcuts), 21 with weights (convolutions and fc).
n× stands for n equal blocks with separate weights: params and MACs are their sums, rf is behind the last.
MACs are the multiply-adds of convolutions and linear layers only.
stride and rf (receptive field) are in pixels of the input.
"""


def test_golden_resnet18():
    assert table(analyse("resnet18")) == RESNET18


def test_the_notes_notation():
    graph = lower("resnet34")
    assert op_text(graph["layer4.0.conv1"]) == "Conv 3x3, c512, s2, p1"
    assert op_text(graph["maxpool"]) == "MaxPool 3x3, c64, s2, p1"
    assert op_text(lower("resnext50_32x4d output_stride=8")["layer4.1.conv2"]) == "Conv 3x3, c1024, s1, p4, d4, g32"
    assert op_text(lower("resnet50_caffe")["conv1"]) == "Conv 7x7, c64, s2, p3, bias"
    assert stage_names("layer4") == ("conv5_x", "stage 4", "layer4", "res5")


@pytest.mark.parametrize("name", SMALL)
def test_every_op_has_a_text(name):
    for op in lower(name).ops:
        assert op_text(op)


def test_blocks_fold_where_the_notes_draw_them():
    """The second note's figures: 3x; 1 and 3x; 1 and 5x; 1 and 2x for ResNet-34, the first apart in all of ResNet-50."""
    repeats = {
        name: [[len(group.blocks) for group in groups(stage)] for stage in lower(name).stages]
        for name in ("resnet34", "resnet50", "resnet152")
    }
    assert repeats["resnet34"] == [[3], [1, 3], [1, 5], [1, 2]]
    assert repeats["resnet50"] == [[1, 2], [1, 3], [1, 5], [1, 2]]
    assert repeats["resnet152"] == [[1, 2], [1, 7], [1, 35], [1, 2]]


def test_blocks_that_differ_in_what_no_column_shows_stay_apart():
    assert [len(group.blocks) for group in groups(lower("resnet34 drop_path=0.2").stages[0])] == [1, 1, 1]
    first, second = lower("resnet34").stages[0].blocks[:2]
    assert shape_of(first) == shape_of(second)
    dilated = lower("resnet50 output_stride=8").stages[3].blocks
    assert shape_of(dilated[0]) != shape_of(dilated[1]) == shape_of(dilated[2])
    grid = lower("resnet50 output_stride=8 dilate=grid multi_grid=1,2,4").stages[3]
    assert [len(group.blocks) for group in groups(grid)] == [1, 1, 1], "these differ in their rates alone"


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("resnet50", "Layers: 50 counted, 53 convolutions (4 on shortcuts), 54 with weights (convolutions and fc)."),
        ("resnet18", "Layers: 18 counted, 20 convolutions (3 on shortcuts), 21 with weights (convolutions and fc)."),
        ("resnet50 until=layer4", "Layers: 49 counted, 53 convolutions (4 on shortcuts), no fc."),
        ("resnet20", "Layers: 20 counted, 19 convolutions, 20 with weights (convolutions and fc)."),
        (
            "resnet50d",
            "Layers: 50 counted, 55 convolutions (3 in the stem, counted once, 4 on shortcuts), 56 with weights (convolutions and fc).",
        ),
    ],
)
def test_the_three_counts_of_layers(name, note):
    assert layer_note(analyse(name)) == note


def test_block_text_tells_the_shortcuts_apart():
    texts = {
        "resnet50": "1x1 c128, 3x3 c128 s2, 1x1 c512 + 1x1 c512 s2",
        "resnet50 shortcut=D": "1x1 c128, 3x3 c128 s2, 1x1 c512 + avg 2x2 s2, 1x1 c512",
        "resnet50 shortcut=A": "1x1 c128, 3x3 c128 s2, 1x1 c512 + x, s2, zeros to c512",
        "resnet50 shortcut=none": "1x1 c128, 3x3 c128 s2, 1x1 c512",
        "resnet50 join=mul": "1x1 c128, 3x3 c128 s2, 1x1 c512 × 1x1 c512 s2",
        "resnet50 gate=se": "1x1 c128, 3x3 c128 s2, 1x1 c512, SE + 1x1 c512 s2",
        "resnet50 stride_in=1x1": "1x1 c128 s2, 3x3 c128, 1x1 c512 + 1x1 c512 s2",
    }
    assert {words: block_text(lower(words).stages[1].blocks[0]) for words in texts} == texts


def test_json_is_as_pinned():
    found = json.loads(to_json(analyse("resnet50"), version="9"))
    assert {"schema", "version", "spec", "fields", "input", "totals", "stages", "rows"} <= set(found)
    assert (found["schema"], found["spec"], found["input"]) == ("plusx.show/1", "resnet50", [3, 224, 224])
    assert {"params", "macs", "macs_convention", "depth", "depth_sum", "convs", "weighted_layers"} <= set(
        found["totals"]
    )
    assert found["totals"]["macs_convention"] == "conv+linear"
    assert {"name", "blocks", "out", "jump", "rf", "start", "params", "macs"} <= set(found["stages"][1])
    pinned = (
        "name kind text stage block repeat kernel stride padding dilation groups out jump rf start params macs share"
    )
    assert set(pinned.split()) <= set(found["rows"][0])
    for key in ("params", "macs"):
        assert sum(row[key] * row["repeat"] for row in found["rows"]) == found["totals"][key]
        assert sum(stage[key] for stage in found["stages"]) == found["totals"][key]
    assert abs(sum(row["share"] * row["repeat"] for row in found["rows"]) - 1) < 1e-4
    assert found == json.loads(json.dumps(show_record(analyse("resnet50"), version="9")))


def test_csv_has_the_same_rows():
    found = analyse("resnet18")
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert [row["name"] for row in rows] == [record["name"] for record in records(found)]
    assert sum(int(row["macs"]) * int(row["repeat"]) for row in rows) == found.totals.macs
    assert next(row for row in rows if row["name"] == "conv1")["out"] == "64x112x112"


def test_markdown_has_as_many_cells_in_every_line():
    lines = [line for line in markdown(analyse("resnet50d gate=cbam"), "ops").splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) > 100


def test_columns_stay_aligned_with_wide_characters():
    lines = aligned(["层", "b"], [["合计", "1"], ["x", "22"]], [False, True])
    assert len({terminal_width(line) for line in lines}) == 1
    heads = aligned(["a", "b"], [["a long part that runs on", None], ["x", "y"]], [False, False])
    assert heads[2] == "x  y"
    lines = aligned(["a", "b", "c"], [["runs on over b", None, "1"], ["x", "y", "22"]], [False, False, True])
    assert len({terminal_width(line) for line in lines}) == 1


@pytest.mark.parametrize("detail", DETAILS)
def test_every_line_of_a_table_ends_where_its_share_ends(detail):
    lines = table(analyse("resnet101"), detail).split("\n\n")[1].splitlines()
    assert {len(line) for line in lines if line.endswith("%")} == {len(lines[0])}


def test_a_global_field_is_named():
    assert "From layer1.0.se on (SE gate)" in table(analyse("seresnet50"))
    assert "group norm" in table(analyse("resnet50 norm=group"))
    assert "whole image" not in table(analyse("resnet50"))
