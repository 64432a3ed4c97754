"""Networks, blocks and recipes share one language: what is printed reads back, and what is wrong is answered alike."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plusx import spec
from plusx.errors import SpecError
from plusx.i18n import Message, translate
from plusx.specs import KEYS, PRESETS, SPEC, ResNetSpec
from plusx.specs.aliases import ELSEWHERE, RENAMED, RESPELT
from plusx.specs.language import Language, show_value
from plusx.training import recipe_keys
from plusx.training.recipe import Recipe, parse_recipe
from plusx.training.recipe_keys import RECIPE

HAS_TORCH = importlib.util.find_spec("torch") is not None
factory: Any = importlib.import_module("plusx.nn.factory") if HAS_TORCH else None

READERS: dict[str, tuple[Language, Callable[[str], object], str]] = {
    "network": (SPEC, spec, "resnet18"),
    "recipe": (RECIPE, parse_recipe, "default"),
}
if HAS_TORCH:
    READERS["block"] = (factory.BLOCK, factory.block, "basic")


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises(SpecError) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_the_same_fault_has_the_same_answer(name: str):
    language, read, start = READERS[name]
    key = next(iter(language.keys))
    value = language.keys[key].allowed.split(", ")[0]
    assert (
        refusal(lambda: read(f"{start} oops"))
        == f"'oops' is not a key=value word. Write words like {language.example}."
    )
    assert "is written twice (" in refusal(lambda: read(f"{start} {key}={value} {key}={value}"))
    assert refusal(lambda: read(f"{start} {key}x=1")).startswith(
        f"unknown {language.what} '{key}x'. Did you mean '{key}'?"
    )
    assert re.fullmatch(rf"{key} takes .*, not '-1'\.", refusal(lambda: read(f"{start} {key}=-1")))


# what people write who come from torchvision, timm, Keras, mmpretrain, and the words that plusx has for it
ANSWERS = {
    "resnet50 num_classes=10": "num_classes is written classes in plusx. Write classes=10.",
    "resnet50 n_classes=10": "n_classes is written classes in plusx. Write classes=10.",
    "resnet50 in_chans=1": "in_chans is written in_channels in plusx. Write in_channels=1.",
    "resnet50 in_ch=1": "in_ch is written in_channels in plusx. Write in_channels=1.",
    "resnet50 channels=1": "channels is written in_channels in plusx. Write in_channels=1.",
    "resnet50 base_width=4 cardinality=32": "base_width is written width_per_group in plusx. Write width_per_group=4.",
    "resnet50 cardinality=32": "cardinality is written groups in plusx. Write groups=32.",
    "resnet50 norm_layer=BatchNorm2d": "norm_layer is written norm in plusx. Write norm=batch.",
    "resnet50 norm_layer=mine": "norm_layer is written norm in plusx. Write it like norm=batch.",
    "resnet50 act_layer=swish": "act_layer is written act in plusx. Write act=silu.",
    "resnet50 layers=3,4,23,3": "layers is written depths in plusx. Write depths=3,4,23,3.",
    "resnet50 reduction=8": "reduction is written gate_ratio in plusx. Write gate_ratio=1/8.",
    "resnet50 Num-Classes=10": "Num-Classes is written classes in plusx. Write classes=10.",
    "resnet50 act=swish": "swish is written silu in plusx. Write act=silu.",
    "resnet50 norm=bn": "bn is written batch in plusx. Write norm=batch.",
    "resnet50 zero_init=True": "True is written yes in plusx. Write zero_init=yes.",
    "resnet50 crop=yes": "crop is written padding in plusx. Write padding=valid",
    "resnet50 pretrained=True": 'pretrained is not a key of a network. Give trained weights beside its words: weights="FILE"',
    "resnet50 out_indices=1,2": 'out_indices is not a key of a network. Use plusx.features(net, ("layer2", ',
    "resnet50 replace_stride_with_dilation=1": "replace_stride_with_dilation is written output_stride in plusx. Write output_",
    "resnet50 depth=50": "depth is not a key of a network. Write the name of a preset, like resnet50, or depths=3,4,6,3.",
}


@pytest.mark.parametrize("words", ANSWERS)
def test_names_of_other_libraries_are_answered_with_ours(words: str):
    said = refusal(lambda: spec(words))
    assert said.startswith(ANSWERS[words])
    proposed = re.search(r"Write (?:it like )?(\w+=\S+?)\.?$", said)
    if proposed and "output_stride" not in said:
        key, _, value = proposed[1].partition("=")
        SPEC.value(key, value)  # what is proposed is itself right


PYTHON: dict[str, dict[str, Any]] = {
    "num_classes is written classes in plusx. Write classes=10.": {"num_classes": 10},
    "pretrained is not a key of a network.": {"pretrained": True},
    "norm_layer is written norm in plusx. Write it like norm=batch.": {"norm_layer": object},
    "replace_stride_with_dilation is written output_stride": {"replace_stride_with_dilation": [False, True, True]},
    "swish is written silu": {"act": "swish"},
    "unknown key 'nonsense'": {"nonsense": 1},
}


@pytest.mark.parametrize("says", PYTHON)
def test_python_is_answered_as_the_command_line_is(says: str):
    assert refusal(lambda: spec("resnet50").replace(**PYTHON[says])).startswith(says)
    assert refusal(lambda: ResNetSpec.from_dict(PYTHON[says])).startswith(says)
    if HAS_TORCH:
        from plusx import resnet50

        assert refusal(lambda: resnet50(**PYTHON[says])).startswith(says)


def test_recipes_and_blocks_know_other_names_too():
    said = "batch_size is written batch in plusx. Write batch=64."
    assert refusal(lambda: parse_recipe("default batch_size=64")) == said
    assert refusal(lambda: parse_recipe("default").replace(batch_size=64)) == said
    assert refusal(lambda: Recipe.from_dict({"name": "default", "batch_size": 64})) == said
    if HAS_TORCH:
        assert refusal(lambda: factory.block("basic inplanes=4")) == "inplanes is written c_in in plusx. Write c_in=4."


@pytest.mark.parametrize(
    ("keys", "renamed", "elsewhere", "respelt"),
    [
        (KEYS, RENAMED, ELSEWHERE, RESPELT),
        (RECIPE.keys, recipe_keys.RENAMED, recipe_keys.ELSEWHERE, recipe_keys.RESPELT),
        *([(factory.BLOCK.keys, factory.BLOCK.renamed, {}, factory.BLOCK.respelt)] if HAS_TORCH else []),
    ],
)
def test_the_tables_of_other_names_are_sound(keys: Any, renamed: Any, elsewhere: Any, respelt: Any):
    assert set(renamed.values()) <= set(keys)
    assert not (set(renamed) | set(elsewhere)) & set(keys) and not set(renamed) & set(elsewhere)
    assert all(name == name.lower() for name in (*renamed, *elsewhere))
    for key, values in respelt.items():
        if key in keys:
            for wrong, right in values.items():
                keys[key].parse(right)
                with pytest.raises((LookupError, ValueError)):
                    keys[key].parse(wrong)
    assert all(
        re.search(r"[\u4e00-\u9fff]", translate(Message(str(text), values={"key": "x"}), "zh"))
        for text in elsewhere.values()
    )


def test_an_unknown_preset_shows_the_nearest_five():
    said = refusal(lambda: spec("resnet5O"))
    assert said.startswith("There is no preset 'resnet5O'. The nearest are resnet50, ")
    assert sum(word.strip("',.") in PRESETS for word in said.split()) == 5
    assert said.endswith(f"plusx presets lists all {len(PRESETS)}.")


@pytest.mark.parametrize("name", READERS)
def test_the_first_allowed_value_is_the_default(name: str):
    language = READERS[name][0]
    defaults = {"network": ResNetSpec(), "recipe": Recipe("none")}.get(name)
    for key, known in language.keys.items():
        value = known.parse(known.allowed.split(", ")[0])
        if defaults and not known.unwritten:
            assert value == getattr(defaults, key), key


NUMBERS = st.floats(1e-9, 0.999, allow_nan=False)


@given(
    lr=st.floats(1e-9, 1e9), share=NUMBERS, ema=NUMBERS, size=st.none() | st.integers(1, 4096), flip=st.booleans(),
    epochs=st.integers(1, 1000), policy=st.sampled_from(["none", "augmix"]), mixup=st.floats(0, 1e6),
)  # fmt: skip
def test_a_recipe_reads_back_as_it_is_printed(
    lr: float, share: float, ema: float, size: int | None, flip: bool, epochs: int, policy: str, mixup: float
):
    keys = {"lr": lr, "area": share, "ema": ema, "size": size, "flip": flip, "epochs": epochs, "policy": policy}
    recipe = parse_recipe("digits").replace(**keys, mixup=mixup)
    assert parse_recipe(str(recipe)) == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert {key: getattr(recipe, key) for key in keys} == keys


@given(st.floats(0, 1, exclude_max=True))
def test_a_number_of_a_network_reads_back_to_the_bit(value: float):
    assert SPEC.value("drop_path", show_value(value)) == value


def test_a_recipe_made_in_python_is_checked_and_holds_the_types_of_its_keys():
    assert refusal(lambda: Recipe("mine", lr=0)) == "lr takes a number above 0, not '0'."
    assert refusal(lambda: Recipe("mine", epochs=True)).startswith("epochs takes a whole number from 1")
    made = Recipe("mine", lr=1, size="96")  # type: ignore[arg-type]
    assert (type(made.lr), made.size) == (float, 96)


def test_a_recipe_text_without_a_name_takes_the_one_it_is_given():
    assert parse_recipe("epochs=3", default="digits") == parse_recipe("digits epochs=3")
    assert parse_recipe("", default="digits") == parse_recipe("digits")
    assert "Write 'default epochs=3'." in refusal(lambda: parse_recipe("epochs=3"))
