"""The language: what is said comes back, what cannot be is refused in one line."""

from __future__ import annotations

import dataclasses

import pytest

import plusx
from plusx.errors import SpecError
from plusx.specs import KEYS, PRESETS, ResNetSpec, from_json, from_toml, parse, to_json, to_toml

# every preset
NAMES = """resnet18 resnet34 resnet50 resnet101 resnet152 resnet200 resnet200_paddle plain18 plain34 resnet20 resnet32
resnet44 resnet56 resnet110 resnet1202 plain20 plain32 plain44 plain56 plain110 preresnet110 preresnet164 preresnet1001
resnetv2_50 resnext50_32x4d resnext101_32x8d resnext101_64x4d wide_resnet50_2 wide_resnet101_2 wrn_28_10 wrn_40_4
resnet50c resnet50d resnet50s resnet50t resnet18d resnet34d seresnet50 ecaresnet50 resnet50_caffe resnet101_caffe
resnet152_caffe resnet18_paddle resnet34_paddle resnet50_siamrpn resnet50_siammask""".split()

LINES = [
    "resnet50 stem=3x3",
    "resnet50 stem=3x3 stem_pool=max",
    "resnet20 stem=7x7",
    "resnet50 depths=2,2",
    "resnet50 depths=1,1,1,1,1,1",
    "resnet50 output_stride=8 dilate=grid",
    "resnet50 output_stride=8 dilate=grid_mmseg multi_grid=1,2,4",
    "resnet50 until=layer3.4",
    "resnet50_caffe block=basic",
    "resnet50_siamrpn until=layer2",
    "resnet50 norm=group16 drop_path=0.1",
    "resnet50 norm=group join=attend act=silu",
    "resnet18 join=modulate gate=cbam gate_ratio=1/8 head_dropout=0.2 block_dropout=1e-05",
    "resnet50 shortcut=A shortcut_align=centre",
    "resnet50 classes=0",
    "resnet50 zero_init=yes order=pre",
    "resnet50 strides=1,1,1,1",
]


def test_presets_are_those_of_the_design():
    assert sorted(PRESETS) == sorted(NAMES)
    assert all(preset.source for preset in PRESETS.values())


def test_keys_are_the_fields_in_order():
    assert list(KEYS) == [field.name for field in dataclasses.fields(ResNetSpec)]
    assert all(key.meaning and key.allowed for key in KEYS.values())


@pytest.mark.parametrize("line", [*PRESETS, *LINES])
def test_round_trips(line):
    spec = parse(line)
    assert parse(str(spec)) == spec
    assert from_toml(to_toml(spec)) == spec
    assert from_json(to_json(spec)) == spec
    assert ResNetSpec.from_dict(spec.to_dict()) == spec
    assert spec.replace() == spec


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_prints_as_its_name(name):
    assert str(parse(name)) == name


@pytest.mark.parametrize(
    "long, short",
    [
        ("resnet34 shortcut=none", "plain34"),
        ("depths=3,4,23,3", "resnet101"),
        ("resnet50 gate=se", "seresnet50"),
        ("resnet50 output_stride=32", "resnet50"),
        ("resnet50 stem=deep shortcut=D", "resnet50d"),
        ("resnet18 depths=3,4,6,3", "resnet34"),
        ("resnet50 groups=32 width_per_group=4 gate=se", "resnext50_32x4d gate=se"),
        ("resnet50 norm=group32", "resnet50 norm=group"),
        ("resnet18 shortcut=A", "resnet18 shortcut=A"),
    ],
)
def test_the_shortest_words_are_printed(long, short):
    assert str(parse(long)) == short


def test_implied_values_follow_and_written_ones_win():
    assert parse("resnet50 depths=2,2").widths == (64, 128)
    assert parse("resnet20 depths=2,2").widths == (16, 32)
    assert parse("resnet50 stem=3x3").stem_pool == "none"
    assert parse("resnet50 stem_pool=max stem=3x3").stem_pool == "max"
    assert parse("resnet50 until=layer2").classes == 0
    assert parse("resnet50_siammask").classes == 0


def test_a_default_may_always_be_written():
    for name, value in dataclasses.asdict(ResNetSpec()).items():
        if name in ("until", "multi_grid"):  # absent by default: there is nothing to write
            continue
        assert ResNetSpec().replace(**{name: value}) == ResNetSpec()
    assert parse("resnet18 stride_in=3x3 gate_ratio=1/16") == parse("resnet18")


REFUSED = {
    "resnet5O": "There is no preset 'resnet5O'. The nearest are resnet50,",
    "resnet50 stm=deep": "unknown key 'stm'. Did you mean 'stem'? Allowed: depths,",
    "resnet50 stem=depe": "unknown stem 'depe'. Did you mean 'deep'? Allowed: 7x7, deep, deep2, tiered, 3x3",
    "resnet50 stem=deep stem=7x7": "stem is written twice (deep and 7x7)",
    "resnet50 resnet18": "'resnet18' is a second preset",
    "resnet50 deep": "'deep' is not a key=value word",
    "": "An empty line names no network",
    "resnet50 depths=3,x": "depths takes 1 to 6 whole numbers from 1 to 10000, like 1,2,2,2, not '3,x'.",
    "resnet50 depths=1,1,1,1,1,1,1": "1 to 6 whole numbers",
    "resnet50 drop_path=1": "drop_path takes a number from 0 to below 1, not",
    "resnet50 drop_path=nan": "drop_path takes a number from 0 to below 1, not",
    "resnet50 widths=64,128": "widths=64,128 has 2 values for 4 stages",
    "resnet18 stride_in=1x1": "stride_in=1x1 has no effect here, because a basic block has only one convolution that can stride",
    "resnet50 gate_ratio=1/8": "gate=none squeezes no channels",
    "resnet50 dilate=full": "no stage is dilated",
    "resnet50 head_dropout=.5 classes=0": "the network has no fc",
    "resnet50 first_shortcut=project": "stage 1 changes the shape and has a projection anyway",
    "resnet50 output_stride=12": "Allowed: natural, 8, 16, 32",
    "resnet20 output_stride=8": "cannot be reached: the network's own output stride is 4, and its stem's is 1",
    "resnet50 output_stride=8 strides=1,2,2,1": "output_stride=8 decides strides and dilations itself",
    "resnet50_siamrpn output_stride=8": "output_stride=8 decides strides and dilations itself",
    "resnet50 padding=valid output_stride=8 shortcut_kernel=3x3": "dilate=exact is impossible with padding=valid",
    "resnet50 padding=valid dilations=1,1,2,4 strides=1,2,1,1 shortcut_kernel=3x3": "dilate=exact is impossible with padding=valid",
    "resnet50_siamrpn strides=1,2,2,1": "padding=valid cannot stride and dilate in one stage",
    "resnet50 padding=valid": "Write shortcut=B shortcut_kernel=3x3",
    "resnet50 norm=group output_stride=8": "dilate=exact is impossible with group norm",
    "resnet50 output_stride=8 dilate=full shortcut=D": "comes from systems without shortcut=D",
    "resnet34 output_stride=8 dilate=grid": "detectron2's, which dilates no basic block",
    "resnet50 output_stride=8 dilate=grid multi_grid=1,2": "has 2 dilations for 3 blocks",
    "resnet50 until=layer3.6": "layer3 has the blocks 0 to 5. Write until=layer3.5.",
    "resnet50 until=layer5": "the last stage is layer4. Write until=layer4.",
    "resnet50 until=layer3 classes=10": "Leave out one of them",
    "resnet50 zero_init=yes join=mul": "zero_init=yes would make the output zero for ever with join=mul",
    "plain34 zero_init=yes": "zero for ever with shortcut=none",
    "plain34 gate=se": "shortcut=none has no join",
    "plain34 join=mul": "shortcut=none has none. Write shortcut=B",
    "plain34 drop_path=.1": "drop_path=0.1 would set the signal to zero",
    "resnet50 norm=none stem_bias=yes": "every convolution has a bias",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(line):
    with pytest.raises(SpecError) as caught:
        parse(line)
    assert REFUSED[line] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_python_and_files_are_checked_like_words():
    with pytest.raises(SpecError, match="unknown key"):
        ResNetSpec().replace(stm="deep")
    with pytest.raises(SpecError, match="Allowed"):
        from_json('{"preset": "resnet50", "stem": "depe"}')
    with pytest.raises(SpecError, match="not valid TOML at line 2"):
        from_toml('preset = "resnet50"\nstem = deep\n')
    with pytest.raises(SpecError, match="not valid JSON at line 3"):
        from_json('{\n"preset": "resnet50",\n}')
    with pytest.raises(SpecError, match="A spec in JSON is an object"):
        from_json("[]")
    assert from_toml('preset = "resnet50"\nstem = "deep"') == parse("resnet50c")
    assert plusx.spec("resnet50").replace(depths=(3, 4, 23, 3)) == parse("resnet101")
