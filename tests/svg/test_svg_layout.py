"""Where things are on a drawing, whatever the network: invariants of the layout over presets and random networks."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from plusx import lower, presets
from plusx.analysis import analyse
from plusx.errors import GeometryError, SpecError
from plusx.specs import ResNetSpec
from plusx.svg.drawing import units
from plusx.svg.render import DETAILS, lay_out
from plusx.svg.scene import Label, Line, SceneGroup, Shape
from randomspecs import wishes

UNFOLDED = {
    "resnet18",
    "resnet50d",
    "plain20",
    "resnet20",
    "resnet34_paddle",
    "resnet50_siamrpn",
    "resnetv2_50",
    "wrn_40_4",
}
BARS = {"conv", "down", "pool", "pooldown", "gate", "linear", "zeropad", "io", "normbar", "actbar", "dropbar"}
STRIPS = {"norm", "act", "drop"}
CURVES = {"identity", "projection", "zeros", "pooled"}


def is_bar(item):
    return isinstance(item, Shape) and item.role.split()[0] in BARS


def parts(part: SceneGroup):
    yield part
    for item in part.items:
        if isinstance(item, SceneGroup):
            yield from parts(item)


def apart(a, b, slack=0.0):
    return a.right <= b.x + slack or b.right <= a.x + slack or a.bottom <= b.y + slack or b.bottom <= a.y + slack


def inside(a, b, slack=0.05):
    return a.x >= b.x - slack and a.y >= b.y - slack and a.right <= b.right + slack and a.bottom <= b.bottom + slack


def check(scene, graphs, detail, fold=True):
    items = list(scene.root.walk())
    labels = sorted((item for item in items if isinstance(item, Label) and item.text), key=lambda label: label.box.y)
    blocks_once(scene, graphs, fold)
    nothing_leaves(scene, items)
    texts_fit(labels)
    no_two_overlap(labels)
    no_text_on_a_foreign_bar(labels, [item for item in items if is_bar(item)])
    no_line_through_a_text(labels, [item for item in items if isinstance(item, Line)])
    boxes_do_not_touch(scene)
    if len(graphs) == 1:
        trunk_is_whole(items)
        shortcuts_are_seen(scene, graphs[0], detail)


def blocks_once(scene, graphs, fold):
    """Names of drawn boxes and how many each stands for, laid out again, are the blocks one by one."""
    drawn = []
    for box in scene.blocks:
        stage, number = box.name.split(".")
        drawn += [f"{stage}.{int(number) + i}" for i in range(box.times)]
        assert fold or box.times == 1
    blocks = {block.name: block for graph in graphs for stage in graph.stages for block in stage.blocks}
    if len(graphs) == 1:
        for box in scene.blocks:
            stage, number = box.name.split(".")
            same = {bare(blocks[f"{stage}.{int(number) + i}"]) for i in range(box.times)}
            assert len(same) == 1, f"{box.name} stands for blocks that differ"
    assert drawn == [block.name for graph in graphs for stage in graph.stages for block in stage.blocks]


def bare(block):
    """The block's ops without their names."""
    parts = (block.before, block.branch, block.shortcut, (block.join,), block.after)
    return tuple(tuple(op and op._replace(name="", path=None) for op in part) for part in parts)


def nothing_leaves(scene, items):
    for item in items:
        box = item.box
        assert box.x >= 0 and box.y >= 0 and box.right <= scene.width and box.bottom <= scene.height, item


def texts_fit(labels):
    for label in labels:
        if label.within is not None:
            assert label.box.w <= label.within.w - 6 and inside(label.box, label.within, 1.5), label


def no_two_overlap(labels):
    active: list[Label] = []
    for label in labels:
        active = [other for other in active if other.box.bottom > label.box.y]
        for other in active:
            assert apart(label.box, other.box), (label, other)
        active.append(label)


def no_text_on_a_foreign_bar(labels, bars):
    """Every bar holds its own text and no other."""
    for label in labels:
        for bar in bars:
            if label.within != bar.box:
                assert apart(label.box, bar.box, 0.5), (label, bar)


def no_line_through_a_text(labels, lines):
    for label in labels:
        if label.within is not None:
            continue  # a bar lies on the line it interrupts
        for line in lines:
            for (x1, y1), (x2, y2) in pairwise(line.points):
                box = label.box
                crosses = (
                    min(x1, x2) < box.right
                    and max(x1, x2) > box.x
                    and min(y1, y2) < box.bottom - 1
                    and max(y1, y2) > box.y + 1
                )
                assert not crosses, (label, line)


def boxes_do_not_touch(scene):
    for one, other in pairwise(scene.blocks):
        assert apart(one.box, other.box)


def trunk_is_whole(items):
    """From the input down to the output something of the trunk is everywhere: a wire, a bar, a strip or a join."""
    io = [item.box for item in items if isinstance(item, Shape) and item.role == "io"]
    x = io[0].middle[0]
    spans = [
        (box.y, box.bottom)
        for item in items
        if (box := item.box).x <= x <= box.right and box.y <= io[-1].y and on_trunk(item)
    ]
    reached = io[0].bottom
    for top, bottom in sorted(spans):
        assert top <= reached + 1.01, f"nothing between {reached} and {top}"
        reached = max(reached, bottom)
    assert reached >= io[-1].bottom


def on_trunk(item):
    if isinstance(item, Line):
        return item.role == "wire"
    return isinstance(item, Shape) and item.role.split()[0] in BARS | STRIPS | {"join", "dot"}


def shortcuts_are_seen(scene, graph, detail):
    """One curve a drawn block, of the kind that its ops make, from above its branch to its join; none in a plain net."""
    blocks = {block.name: block for stage in graph.stages for block in stage.blocks}
    curves = [
        item for item in scene.root.walk() if isinstance(item, Line) and item.role in CURVES and len(item.points) == 4
    ]
    joins = [item for item in scene.root.walk() if isinstance(item, Shape) and item.role == "join" and item.box.w == 15]
    trunk_right = next(item.box.right for item in scene.root.walk() if isinstance(item, Shape) and item.role == "io")
    joined = [box for box in scene.blocks if blocks[box.name].join is not None]
    assert len(curves) == len(joined)
    for drawn, curve in zip(joined, curves, strict=True):
        assert curve.role == expected_kind(blocks[drawn.name])
        assert drawn.box.y <= curve.box.y and curve.box.bottom <= drawn.box.bottom
        assert curve.points[1][0] > trunk_right + 8, "the curve goes around the branch's bars"
        end = curve.points[-1]
        assert any(abs(end[1] - join.box.middle[1]) < 0.1 and abs(end[0] - join.box.right) < 0.6 for join in joins)


def expected_kind(block):
    kinds = [op.kind for op in block.shortcut if "norm" not in op.kind]
    if "zero_pad" in kinds:
        return "zeros"
    return {0: "identity", 1: "projection", 2: "pooled"}[len(kinds)]


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("name", presets)
def test_presets(name, detail):
    check(lay_out(name, detail=detail), [lower(name)], detail)
    if name in UNFOLDED:
        check(lay_out(name, detail=detail, fold=False, lang="zh"), [lower(name)], detail, fold=False)


def drawable(keys, size):
    """The spec of a wish that a drawing of this size can be made of; other wishes are put aside."""
    try:
        spec = ResNetSpec().replace(**keys)
        analyse(spec, size)
    except (SpecError, GeometryError):
        assume(False)
        raise
    return spec


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes(), st.sampled_from(DETAILS), st.booleans(), st.sampled_from(("en", "zh")))
def test_random_networks(keys, detail, fold, lang):
    spec = drawable(keys, (128, 160))
    check(lay_out(spec, detail=detail, fold=fold, lang=lang, size_px=(128, 160)), [lower(spec)], detail, fold)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes(), wishes(), st.sampled_from(DETAILS))
def test_random_pairs_side_by_side(first, second, detail):
    pair = [drawable(first, 128), drawable(second, 128)]
    check(lay_out(pair[0], diff=pair[1], detail=detail, size_px=128), [lower(each) for each in pair], detail)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes())
def test_every_op_of_a_drawn_block_is_there_once_at_ops_detail(keys):
    spec = drawable(keys, 128)
    named = Counter(part.name for part in parts(lay_out(spec, detail="ops", fold=False, size_px=128).root) if part.name)
    for op in lower(spec).ops:
        assert named[op.name] == 1, op.name


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes())
def test_what_strides_narrows_and_nothing_else_does(keys):
    """Downsampling is told by shape, not by colour alone."""
    spec = drawable(keys, 128)
    graph = lower(spec)
    seen = {part.name: part for part in parts(lay_out(spec, size_px=128, fold=False).root)}
    for op in graph.ops:
        if op.kind in ("conv", "max_pool", "avg_pool", "zero_pad", "linear", "se", "eca", "cbam"):
            bar = next(item for item in seen[op.name].items if isinstance(item, Shape))
            assert (bar.kind == "trapezoid") == (op.stride > 1), op
            assert ("dilated" in bar.role) == (max(op.dilation, op.gate.step) > 1), op


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes())
def test_ops_of_a_branch_stand_in_the_order_of_computation(keys):
    """From top to bottom as they are computed, pre-activation or post; no strip without a bar that it belongs to."""
    spec = drawable(keys, 128)
    for stage in lower(spec).stages:
        for block in stage.blocks:
            for unfolded in (block.branch, block.shortcut):
                found = units(unfolded, pre=spec.order == "pre")
                assert all(unit.main for unit in found)
                assert [op for unit in found for op in unit.ops] == list(unfolded)
    seen = {part.name: part for part in parts(lay_out(spec, size_px=128, detail="ops", fold=False).root) if part.name}
    for stage in lower(spec).stages:
        for block in stage.blocks:
            path = (*block.before, *block.branch, *([block.join] if block.join else []), *block.after)
            tops = [next(item.box.y for item in seen[op.name].items if isinstance(item, Shape)) for op in path]
            assert tops == sorted(set(tops))


def sizes(scene):
    return [item.text for item in scene.root.walk() if isinstance(item, Label) and re.fullmatch(r"\d+×\d+", item.text)]


@pytest.mark.parametrize("detail", DETAILS)
def test_map_sizes_stand_at_every_change(detail):
    """He et al. 2015, table 1, column output size; and the first map that DeepLab's rate leaves as it is."""
    assert sizes(lay_out("resnet50", detail=detail)) == [f"{n}×{n}" for n in (224, 112, 56, 28, 14, 7, 1)]
    assert sizes(lay_out("resnet50 output_stride=8", detail=detail)) == [f"{n}×{n}" for n in (224, 112, 56, 28, 1)]
    assert sizes(lay_out("resnet50", detail=detail, size_px=(240, 320)))[-2:] == ["8×10", "1×1"]


def test_repeats_are_those_of_the_paper():
    """resnet152 has 3, 8, 36, 3 blocks (table 1): the first of each stage stands apart, it projects."""
    assert [drawn.times for drawn in lay_out("resnet152").blocks] == [1, 2, 1, 7, 1, 35, 1, 2]
    assert [drawn.times for drawn in lay_out("resnet34").blocks] == [3, 1, 3, 1, 5, 1, 2]
    assert [drawn.times for drawn in lay_out("resnet18 drop_path=0.1").blocks] == [1] * 8


def test_the_notation_of_the_notes_is_on_the_drawing():
    texts = [item.text for item in lay_out("resnet34").root.walk() if isinstance(item, Label)]
    for text in ("Conv 3x3, c512, s2, p1", "MaxPool 3x3, c64, s2, p1", "5×", "Conv 7x7, c64, s2, p3"):
        assert text in texts


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_a_classical_net_is_one_page(name):
    scene = lay_out(name)
    assert scene.height <= 1700 and scene.height / scene.width < 2.6


def test_stages_stand_at_one_height_on_both_sides():
    scene = lay_out("resnet50", diff="resnet101 stem=deep gate=se")
    stages = [item.box for item in scene.root.walk() if isinstance(item, Shape) and item.role == "stage"]
    assert [box.y for box in stages[:4]] == [box.y for box in stages[4:]]
    joins = [item.box.y for item in scene.root.walk() if isinstance(item, Shape) and item.role == "join"][:-1]
    assert joins[:8] == joins[8:]
