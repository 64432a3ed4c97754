"""Presets x families x prefixes x partial files: a field that is said to be known is right, and only what cannot be told is not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from storing import Path

import plusx
from plusx.errors import WeightsError
from plusx.names import ECOSYSTEMS, key_names
from plusx.specs.rules import unread
from plusx.weights.identification.identify import identify
from plusx.weights.identification.verdicts import SHAPES, UNTOLD
from plusx.weights.stored import StoredFile, StoredTensor

PRESETS = [name for name in plusx.presets if sum(plusx.spec(name).depths) < 34]
OTHERS = [
    "resnet18 shortcut=C", "resnet18 norm=group8", "resnet18 norm=none", "resnet18 gate=cbam", "resnet18 stem=deep2",
    "resnet18 groups=2", "resnet50 gate=se gate_ratio=1/8", "resnet18 in_channels=4", "resnet18 classes=0",
    "resnet50 widths=16,32,64,128 stem_width=16", "resnet50 output_stride=8", "resnet34 act=silu join=modulate",
    "resnet50 norm=frozen", "resnet50 order=pre stem=deep shortcut=D", "resnet18d first_shortcut=project",
]  # fmt: skip
PREFIXES = (
    "", "module.", "state_dict/module.encoder_q.", "model/_orig_mod.backbone.", "a/b/net.trunk.0._fsdp_wrapped_module.",
    "teacher/ema.model.", "learner.online_encoder.net.",
)  # fmt: skip
HIDDEN = {*UNTOLD, "until", "norm", "shortcut", "shortcut_align"}
"""Fields that tensors may leave open."""
HWIO = (2, 3, 1, 0)


def file_of(words, ecosystem, prefix, without=()):
    """A file of tensors that say nothing but name and shape: one number each, so they cost no memory."""
    names = key_names(words, ecosystem)
    tree = content = {}
    *wrappers, prefix = prefix.split("/")
    for wrapper in wrappers:
        content[wrapper] = content = {}
    for key, tensor in plusx.lower(words).tensors():
        if key not in names or any(part in key for part in without):
            continue
        shape = tensor.shape
        if ecosystem == "Keras" and len(shape) == 4:
            shape = tuple(shape[axis] for axis in HWIO)
        if ecosystem in ("Keras", "Paddle") and key == "fc.weight":
            shape = shape[::-1]
        whole = key.endswith("num_batches_tracked")
        values = np.broadcast_to(np.array(1 if whole else 0.5, np.int64 if whole else np.float32), shape)
        content[prefix + names[key]] = StoredTensor(shape, str(values.dtype), lambda values=values: values)
    return StoredFile(Path("file"), "torch zip", tree)


def checked(found, truth):
    """No field that is known is wrong, and only fields that tensors leave open are not known. Returns the wrong ones."""
    assert found.refuses is None, found.refuses
    wrong = {name for name, verdict in found.fields.items() if verdict.value != getattr(truth, name)}
    sure = {name for name in wrong if found.fields[name].how == "known"}
    moot = {name for name, _ in unread(found.spec)} | {name for name, _ in unread(truth)}
    sure -= {"norm"} if truth.norm == "frozen" else set()
    assert not sure - moot, {name: (found.fields[name], getattr(truth, name)) for name in sure - moot}
    unsure = {name for name, verdict in found.fields.items() if verdict.how != "known"}
    assert unsure <= HIDDEN
    assert set(SHAPES) - HIDDEN <= set(found.fields) - unsure
    return wrong


def expressible(words, ecosystem):
    names = key_names(words, ecosystem)
    wanted = [key for key, tensor in plusx.lower(words).tensors() if tensor.name != "num_batches_tracked"]
    return all(key in names for key in wanted if not key.startswith("fc."))


CASES = [(words, eco) for words in [*PRESETS, *OTHERS] for eco in ECOSYSTEMS if expressible(words, eco)]
FEW = {n for n, (words, _) in enumerate(CASES) if n % 3 == 0 or n == 0 or words != CASES[n - 1][0]}
"""Every third, and the first of each network."""


@pytest.mark.parametrize(
    "number",
    [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in range(len(CASES))],
    ids=lambda n: f"{CASES[n][0]} as {CASES[n][1]}",
)
def test_every_preset_in_every_family(number):
    words, ecosystem = CASES[number]
    prefix = PREFIXES[number % len(PREFIXES)]
    truth = plusx.spec(words)
    if "fc.weight" not in key_names(words, ecosystem):
        truth = truth if truth.until else truth.replace(classes=0)
    found = identify(file_of(words, ecosystem, prefix))
    if truth.until:  # a cut net is one of fewer stages; where it was cut is not told
        stages = len(plusx.lower(truth).stages)
        cut = {name: getattr(truth, name)[:stages] for name in ("depths", "widths", "strides", "dilations")}
        truth = truth.replace(until=None, classes=0, **cut)
    wrong = checked(found, truth)
    if "norm" in found.needs or "shortcut" in found.needs:
        assert ecosystem != "akamaster"
    assert wrong <= HIDDEN


MISSING = [("fc.",), ("num_batches",), ("fc.", "num_batches"), ("layer4.", "fc."), ("layer3.", "layer4.", "fc.")]
PARTIAL = [*itertools.product(("resnet18", "resnet50", "resnet50d", "seresnet50"), MISSING)]


@pytest.mark.parametrize(
    ("words", "without", "prefix"),
    [
        pytest.param(*case, prefix, marks=[] if i % len(PREFIXES) == j else pytest.mark.slow)
        for i, case in enumerate(PARTIAL)
        for j, prefix in enumerate(PREFIXES)
    ],
)
def test_partial_files(words, without, prefix):
    found = identify(file_of(words, "timm", prefix, without))
    truth = plusx.spec(words)
    stages = 4 - sum(part.startswith("layer") for part in without)
    if stages < 4:
        truth = truth.replace(depths=truth.depths[:stages])
    if "fc." in without:
        truth = truth.replace(classes=0)
    assert checked(found, truth) == set()
    assert found.spec == truth
    open_to_doubt = "num_batches" in without and truth.block == "bottleneck"
    assert (found.fields["stride_in"].how == "unknown") == open_to_doubt
    assert found.fields["until"].how == ("unknown" if "fc." in without else "known")


@pytest.mark.parametrize(
    "missing", ["layer2.1.conv1.weight", "layer1.0.bn2.running_var", "layer3.0.downsample.0.weight"]
)
def test_holes_are_named(missing):
    found = identify(file_of("resnet18", "timm", "module.", (missing,)))
    assert found.spec is None and missing in found.refuses


@pytest.mark.parametrize("gone", [("conv1",), ("layer1.",)])
def test_what_lies_under_no_stem_is_refused(gone):
    with pytest.raises(WeightsError, match=r"a part of a ResNet|names that plusx does not know"):
        identify(file_of("resnet18", "timm", "", gone))
