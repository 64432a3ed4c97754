"""Parameters, MACs, keys, fields and depths against published and independently computed tables (reference 5.6, 5.10)."""

from __future__ import annotations

import pytest

from plusx.analysis import analyse
from plusx.errors import GeometryError

# convs, keys with num_batches_tracked, params, MACs, fields after the stages
CLASSICAL = {
    "resnet18": (20, 122, 11_689_512, 1_814_073_344, (43, 99, 211, 435)),
    "resnet34": (36, 218, 21_797_672, 3_663_761_408, (59, 179, 547, 899)),
    "resnet50": (53, 320, 25_557_032, 4_089_184_256, (35, 91, 267, 427)),
    "resnet101": (104, 626, 44_549_160, 7_801_405_440, (35, 91, 811, 971)),
    "resnet152": (155, 932, 60_192_808, 11_513_626_624, (35, 155, 1291, 1451)),
    "resnet50 stride_in=1x1": (53, 320, 25_557_032, 3_857_973_248, (35, 99, 291, 483)),
    "resnet101 stride_in=1x1": (104, 626, 44_549_160, 7_570_194_432, (35, 99, 835, 1027)),
    "resnet152 stride_in=1x1": (155, 932, 60_192_808, 11_282_415_616, (35, 163, 1315, 1507)),
}
# params and MACs in thousands with option A, the same with option B
CIFAR = {
    20: (269_722, 40_551, 272_474, 40_813),
    32: (464_154, 68_863, 466_906, 69_125),
    44: (658_586, 97_174, 661_338, 97_436),
    56: (853_018, 125_486, 855_770, 125_748),
    110: (1_727_962, 252_888, 1_730_714, 253_150),
    1202: (19_421_274, 2_829_239, 19_424_026, 2_829_501),
}
# parameters as torchvision's weight metadata, timm's and PaddleClas' tables state them; MACs where published, in units of 1e6
PUBLISHED = {
    "resnext50_32x4d": (25_028_904, 4230),
    "resnext101_32x8d": (88_791_336, 16414),
    "resnext101_64x4d": (83_455_272, 15460),
    "wide_resnet50_2": (68_883_240, 11398),
    "wide_resnet101_2": (126_886_696, 22753),
    "resnet50d": (25_576_264, 4329),
    "resnet18_paddle": (11_693_736, None),
    "resnet34_paddle": (21_801_896, None),
    "plain18": (11_515_688, 1795),
    "plain34": (21_623_848, 3644),
}


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical(name):
    found = analyse(name, 224)
    convs, keys, params, macs, fields = CLASSICAL[name]
    assert (found.depth.convs, found.totals.keys, found.totals.params, found.totals.macs) == (convs, keys, params, macs)
    assert tuple(stage.rf for stage in found.stages if stage.name.startswith("layer")) == fields
    assert [stage.jump for stage in found.stages[:5]] == [4, 4, 8, 16, 32]
    assert all(stage.start == 0.5 for stage in found.stages[:5])


@pytest.mark.parametrize("depth", CIFAR)
def test_cifar(depth):
    params_a, macs_a, params_b, macs_b = CIFAR[depth]
    a, b = analyse(f"resnet{depth}"), analyse(f"resnet{depth} shortcut=B")
    assert (a.totals.params, round(a.totals.macs / 1000)) == (params_a, macs_a)
    assert (b.totals.params, round(b.totals.macs / 1000)) == (params_b, macs_b)
    if depth != 1202:
        plain = analyse(f"plain{depth}")
        assert (plain.totals.params, plain.totals.keys) == (params_a, a.totals.keys)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published(name):
    params, macs = PUBLISHED[name]
    found = analyse(name)
    assert found.totals.params == params
    assert macs is None or round(found.totals.macs / 1e6) == macs


def test_keras_counts_statistics_as_parameters_of_resnet200vd():
    found = analyse("resnet200_paddle")  # 74,933,064 in the Keras Hub preset
    statistics = sum(t.shape[0] for _, t in found.graph.tensors() if t.name.startswith("running_"))
    assert found.totals.params + statistics == 74_933_064


def test_option_a_on_imagenet():
    assert analyse("resnet34 shortcut=A").totals.macs == 3_644_493_824  # 3.6445 G


@pytest.mark.parametrize(
    "name, line",
    [
        ("resnet18", "18 = 1 + 2·(2+2+2+2) + 1 (fc)"),
        ("resnet34", "34 = 1 + 2·(3+4+6+3) + 1 (fc)"),
        ("resnet50", "50 = 1 + 3·(3+4+6+3) + 1 (fc)"),
        ("resnet50d", "50 = 1 + 3·(3+4+6+3) + 1 (fc)"),
        ("resnet56", "56 = 1 + 2·(9+9+9) + 1 (fc)"),
        ("wrn_28_10", "28 = 1 + 2·(4+4+4) + 3 (projections)"),
        ("preresnet164", "164 = 1 + 3·(18+18+18) + 1 (fc)"),
    ],
)
def test_depth_sums(name, line):
    depth = analyse(name).depth
    assert depth.sum == line
    assert len(depth.counted_ops) == depth.counted


def test_resnet50_has_50_counted_53_convs_54_weighted():
    depth = analyse("resnet50").depth
    assert (depth.counted, depth.convs, depth.weighted) == (50, 53, 54)


@pytest.mark.parametrize("size, maps", [(127, (61, 31, 31, 15, 15, 15)), (255, (125, 63, 63, 31, 31, 31))])
def test_tracker_maps(size, maps):
    """reference trap 5: 127 -> 61 -> 31 -> 31 -> 15 -> 15 -> 15 and fields as v1.5's."""
    found = analyse("resnet50_siamrpn", size)
    names = ("conv1", "stem", "layer1", "layer2", "layer3", "layer4")
    assert tuple(found[name].out[0] for name in names) == maps
    assert tuple(found[name].rf for name in names[2:]) == (35, 91, 267, 427)
    shortcuts = {
        op.name: (op.kernel, op.stride, op.padding, op.dilation) for op in found.graph.ops if "downsample.0" in op.name
    }
    assert shortcuts == {
        "layer1.0.downsample.0": (1, 1, 0, 1),
        "layer2.0.downsample.0": (3, 2, 0, 1),
        "layer3.0.downsample.0": (3, 1, 1, 1),
        "layer4.0.downsample.0": (3, 1, 2, 2),
    }
    keys = {key: tensor.shape for key, tensor in found.graph.tensors()}
    assert keys["layer2.0.downsample.0.weight"] == (512, 256, 3, 3)  # torchvision: 1x1, hence pysot's size mismatches
    assert not [key for key in keys if key.startswith("fc")]


@pytest.mark.parametrize("size", range(32, 260, 19))
def test_caffe_maps_follow_caffes_size_rules(size):
    """conv: floor((n + 2p - k) / s) + 1; pool: ceil((n + 2p - k) / s) + 1 (Caffe's conv_layer.cpp and pooling_layer.cpp)."""
    found = analyse("resnet50_caffe", size)
    conv1 = (size + 6 - 7) // 2 + 1
    pool = -(-(conv1 - 3) // 2) + 1
    sizes = [pool]
    for _ in range(3):
        sizes.append((sizes[-1] - 1) // 2 + 1)
    assert [found["conv1"].out[0], *(found[f"layer{i}"].out[0] for i in range(1, 5))] == [conv1, *sizes]


def test_caffe_geometry_at_224():
    found = analyse("resnet50_caffe", 224)
    assert [s.out[0] for s in found.stages[:5]] == [56, 56, 28, 14, 7]
    assert found.graph["conv1"].bias and not analyse("resnet101_caffe").graph["conv1"].bias
    assert (found.graph["maxpool"].padding, found.graph["maxpool"].ceil) == (0, True)


def test_dilation_keeps_the_field():
    for stride in (8, 16):
        dilated = analyse(f"resnet50 output_stride={stride}")
        assert dilated["layer4"].rf == 427
        assert dilated["layer4"].jump == stride


def test_jump_is_the_product_of_strides():
    for name in ("resnet50d", "resnet50_siamrpn", "resnet50 output_stride=16", "wrn_40_4"):
        found, jump = analyse(name), 1
        for row in found.rows:
            if row.op.kind != "global_avg_pool" and row.op.kind != "linear" and ".downsample" not in row.op.name:
                jump *= row.op.stride
                assert row.jump == jump, row.op.name


def test_totals_are_the_sums_of_rows_and_stages():
    for name in ("resnet50", "seresnet50", "preresnet110", "resnet50_siamrpn", "resnet18 gate=cbam"):
        found = analyse(name)
        for field in ("params", "macs"):
            total = getattr(found.totals, field)
            assert (
                total == sum(getattr(row, field) for row in found.rows) == sum(getattr(s, field) for s in found.stages)
            )


def test_a_vanishing_map_says_where():
    with pytest.raises(GeometryError, match=r"too small for (layer4.0.conv2|conv1)"):
        analyse("resnet50_siamrpn", 5)
    with pytest.raises(GeometryError, match="no pixels"):
        analyse("resnet50", 0)


def test_gates_and_group_norm_see_everything():
    assert analyse("resnet50")["layer4"].whole is None
    assert analyse("seresnet50")["layer1"].whole == "layer1.0.se"
    assert analyse("resnet50 norm=group")["layer1"].whole == "bn1"
