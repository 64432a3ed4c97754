"""The grid of cells: its shift against the image, the sizes that remove the shift, the receptive field against the input."""

from __future__ import annotations

import pytest

from plusx.analysis import analyse
from plusx.analysis.grid import centring_sizes, outgrown, part_geometries, shift_of
from plusx.text.geometry_table import geometry_notes, geometry_record, geometry_table

# centre of cell 0, shift at 224 of layer4 (by hand: 7 cells 32 px apart, from 0.5 to 192.5, have their middle at 96.5, and that of 224 px is 112)
SHIFTS = {
    ("resnet50", 224): -15.5,
    ("resnet50", 225): 0.0,
    ("resnet50", 257): 0.0,
    ("resnet18", 224): -15.5,
    ("resnet50", 193): 0.0,
}


@pytest.mark.parametrize(("name", "size"), SHIFTS)
def test_shift_of_the_classical_nets(name, size):
    last = part_geometries(analyse(name, size))[-1]
    assert last.shift == (SHIFTS[name, size],) * 2
    assert last.start == 0.5


def test_centring_sizes_are_32k_plus_1():
    found = analyse("resnet50")
    assert centring_sizes(found, "layer4", 224) == (193, 225)
    assert centring_sizes(found, "layer4", 225) == (225, 225)
    assert centring_sizes(found, "layer1", 224) == (221, 225)
    assert all(n % 32 == 1 for near in (100, 300, 640) for n in centring_sizes(found, "layer4", near) if n)


@pytest.mark.parametrize(
    "name", ["resnet50", "resnet50_caffe", "resnet50_siamrpn", "resnet20", "resnet50 output_stride=8", "resnet50d"]
)
@pytest.mark.parametrize("near", [97, 224, 255])
def test_the_advised_sizes_do_centre(name, near):
    """The short way (few ops) against the long one (the whole analysis at that size)."""
    found = analyse(name, near)
    for part in part_geometries(found):
        for side in centring_sizes(found, part.name, near):
            if side is not None:
                shifts = {other.name: other.shift for other in part_geometries(analyse(name, side))}
                assert shifts[part.name] == (0.0, 0.0)
    for side in range(near - 5, near + 6):  # no size in between is missed
        last = part_geometries(analyse(name, side))[-1]
        below, above = centring_sizes(analyse(name, side), last.name, side)
        assert (last.shift[0] == 0) == (below == side == above)


def test_both_axes_have_their_own_shift():
    assert part_geometries(analyse("resnet50", (224, 225)))[-1].shift == (-15.5, 0.0)
    text = geometry_table(analyse("resnet50", (224, 225)))
    assert "-15.5, 0 px" in text and "(up)" in text


def test_shift_is_zero_for_an_image_as_wide_as_its_cells():
    assert shift_of(0.5, 1, 32, 32) == 0
    assert shift_of(16, 32, 7, 224) == 0


def test_where_the_field_outgrows_the_input():
    assert outgrown(analyse("resnet50")) == "layer3.4"
    assert outgrown(analyse("resnet50", 640)) is None
    assert [part.exceeds for part in part_geometries(analyse("resnet50"))] == [False, False, False, True, True]
    assert part_geometries(analyse("resnet50"))[-1].field_share == pytest.approx(427 / 224)


def test_gates_and_group_norm_are_global():
    assert [part.whole for part in part_geometries(analyse("seresnet50"))][:2] == [None, "layer1.0.se"]
    assert part_geometries(analyse("resnet50 norm=group"))[0].whole == "bn1"
    assert "From layer1.0.se on (SE gate) every cell depends on the whole image" in geometry_table(
        analyse("seresnet50")
    )
    assert not any("whole image" in note for note in geometry_notes(analyse("resnet50")))


def test_the_trackers_keep_field_at_stride_8():
    last = part_geometries(analyse("resnet50_siamrpn"))[-1]
    assert (last.stride, last.field, last.dilation, last.size) == (8, 427, 4, (31, 31))
    assert part_geometries(analyse("resnet50"))[-1].field == 427


def test_record_says_the_same():
    found = geometry_record(analyse("resnet50"))
    assert found["schema"] == "plusx.geometry/1"
    assert found["centring_sides"] == {"224": [193, 225]}
    assert found["parts"][-1]["shift"] == (-15.5, -15.5)
    assert found["parts"][-1]["names"] == ["conv5_x", "stage 4", "layer4", "res5"]
