"""Checkpoints as people publish them: the network is found, exact, and what lies beside it is named."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
import torch
import torchvision
from storing import net, outputs, pre, stored
from torch import nn

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import WeightsError
from plusx.names import key_names
from plusx.weights.conversion.translate import load_file, translate
from plusx.weights.identification.identify import identify


def assert_same(file, theirs, channels=3, key=None, **given):
    x, y = torch.randn(2, 2, channels, 65, 97)
    with torch.inference_mode():
        out = theirs(x)
        assert_alive(out, theirs(y))
    assert relative(outputs(load_file(file, key=key, **given), x), out) <= 1e-5


def groups(found):
    return {group.name for group in found.set_aside}


def test_lightning_checkpoint():
    theirs = net(num_classes=6)
    file = stored({
        "epoch": 9, "pytorch-lightning_version": "2.5.0", "state_dict": pre(theirs.state_dict(), "model."), "callbacks": {},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(64, 3, 7, 7)}}}], "hyper_parameters": {"num_classes": 6},
    })  # fmt: skip
    found = identify(file)
    assert (str(found.spec), found.wrapper, found.prefix) == ("resnet18 classes=6", "state_dict", "model.")
    assert groups(found) == {"training state"}
    assert_same(file, theirs)


def test_byol_asks_which():
    a, b = net("resnet50"), net("resnet50", seed=1)
    state = pre(a.state_dict(), "learner.online_encoder.net.") | pre(b.state_dict(), "learner.target_encoder.net.")
    for part in ("online_encoder.projector", "target_encoder.projector", "online_predictor"):
        state |= {f"learner.{part}.0.weight": torch.zeros(64, 256), f"learner.{part}.0.bias": torch.zeros(64)}
    file = stored({"epoch": 127, "state_dict": state})
    with pytest.raises(WeightsError, match=r"online_encoder\.net, state_dict\.learner\.target_encoder\.net.*--key"):
        identify(file)
    for key, theirs in (("online_encoder", a), ("state_dict.learner.target_encoder.net", b)):
        found = identify(file, key)
        assert (found.family, str(found.spec)) == ("self-supervised", "resnet50")
        assert {"projection head", "prediction head"} <= groups(found)
        assert_same(file, theirs, key=key)
    with pytest.raises(WeightsError, match=r"no network at 'offline'.*online_encoder"):
        identify(file, "offline")


def test_dino_teacher_and_student_that_agree():
    theirs = net("resnet50")
    state = {key: value for key, value in theirs.state_dict().items() if key[:3] != "fc."}
    theirs.fc = nn.Identity()
    head = {"head.mlp.0.weight": torch.zeros(64, 2048), "head.last_layer.weight": torch.zeros(30, 64)}
    file = stored({
        "student": pre(state, "module.backbone.") | pre(head, "module."), "teacher": pre(state, "backbone.") | head,
        "optimizer": {}, "epoch": 800, "dino_loss": {"center": torch.zeros(1, 30)},
    })  # fmt: skip
    found = identify(file)
    assert str(found.spec) == "resnet50 classes=0"
    assert found.others == ("teacher.backbone",)
    assert found.family_why.startswith("DINO")
    assert_same(file, theirs)
    other = {key: value.clone() for key, value in state.items()}
    other["layer4.2.bn3.bias"][7] += 0.01
    differing = stored({"student": pre(state, "module.backbone."), "teacher": pre(other, "backbone.")})
    with pytest.raises(WeightsError, match=r"student\.module\.backbone, teacher\.backbone"):
        identify(differing)
    assert identify(differing, "teacher").key == "teacher.backbone"


@pytest.mark.parametrize("ecosystem", ["Hugging Face", "mmpretrain", "detectron2", "MMDetection", "timm"])
def test_the_same_net_under_other_names(ecosystem):
    theirs = net("resnet50")
    names = key_names("resnet50", ecosystem)
    state = {name: theirs.state_dict()[key] for key, name in names.items()}
    if not any(key.startswith("fc.") for key in names):
        theirs.fc = nn.Identity()
    file = stored({"meta": {"CLASSES": ["a"]}, "state_dict": state} if ecosystem.startswith(("mm", "MM")) else state)
    given = {"stride_in": "3x3"} if ecosystem == "detectron2" else {}
    found = identify(file)
    assert ecosystem.split()[0].lower() in found.family.lower() or ecosystem == "timm"
    assert found.fields["stride_in"].how == "convention"
    assert_same(file, theirs, **given)


def test_detectron2_zoo():
    theirs = net("resnet50")
    names = key_names("resnet50 classes=0", "detectron2")
    state = {name: theirs.state_dict()[key].numpy() for key, name in names.items()}
    extra = {
        "backbone.fpn_lateral2.weight": np.zeros((256, 256, 1, 1), np.float32),
        "proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4), np.float32),
    }
    file = stored({"model": state | extra, "__author__": "Detectron2 Model Zoo"}, "pickle")
    found = identify(file)
    assert str(found.spec) == "resnet50 stride_in=1x1 classes=0"
    assert (found.fields["stride_in"].how, found.colour.value, found.colour.how) == ("convention", "BGR", "convention")
    assert groups(found) == {"feature pyramid", "region proposals"}
    assert str(identify(stored({"model": state, "__author__": "torchvision"})).spec) == "resnet50 classes=0"
    two = {f"{who}.{key}": value for who in ("modelTeacher", "modelStudent") for key, value in (state | extra).items()}
    both = identify(stored({"model": two, "iteration": 9}))
    assert both.others == ("model.modelStudent.backbone.bottom_up",)
    assert both.key == "model.modelTeacher.backbone.bottom_up"


def test_children_numbered_by_sequential():
    theirs = net("resnet50")
    body = nn.Sequential(*list(theirs.children())[:-2])
    state = pre(body.state_dict(), "backbone.") | {
        "deconv.0.weight": torch.zeros(64, 8, 4, 4),
        "final_layer.weight": torch.zeros(14, 8, 1, 1),
    }
    found = identify(stored(state))
    assert (str(found.spec), found.prefix) == ("resnet50 classes=0", "backbone.")
    assert "deconvolutions" in groups(found)
    theirs.fc = nn.Identity()
    assert_same(stored(state), theirs)


def test_fastai():
    theirs = net("resnet34")
    body = nn.Sequential(*list(theirs.children())[:-2])
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(), nn.Linear(1024, 512, bias=False)
    )
    file = stored({"model": nn.Sequential(body, head).state_dict(), "opt": {}})
    found = identify(file)
    assert (found.family, str(found.spec)) == ("fastai", "resnet34 classes=0")
    theirs.fc = nn.Identity()
    assert_same(file, theirs)


def test_three_dimensional_kernels_are_named():
    video = torchvision.models.video.r3d_18(num_classes=5).state_dict()
    with pytest.raises(WeightsError, match="3-D kernels"):
        identify(stored(video))
    state = {key: value[:, :, None] if value.ndim == 4 else value for key, value in net().state_dict().items()}
    found = identify(stored({"state_dict": pre(state, "module.")}))
    assert found.spec is None and "3-D" in found.refuses
    with pytest.raises(WeightsError, match="3-D"):
        load_file(stored(state), spec="resnet18")


@pytest.mark.parametrize("channels", [1, 2, 4, 10, 13])
def test_channels_of_the_input(channels):
    theirs = net(num_classes=7)
    theirs.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    found = identify(stored(theirs.state_dict()))
    assert (found.spec.in_channels, found.spec.classes, found.preprocessing) == (channels, 7, None)
    assert_same(stored(theirs.state_dict()), theirs, channels)


def test_old_detector_without_counters():
    theirs = net("resnet101")
    state = {key: value for key, value in theirs.state_dict().items() if "num_batches" not in key and key[:3] != "fc."}
    file = stored(
        pre(state, "resnet.") | {"rpn_net.weight": torch.zeros(512, 1024, 3, 3), "cls_score_net.bias": torch.zeros(21)}
    )
    found = identify(file)
    assert (str(found.spec), found.prefix) == ("resnet101 classes=0", "resnet.")
    assert groups(found) == {"region proposals", "detection head"}
    assert {name for name, verdict in found.fields.items() if verdict.how == "unknown"} == {
        "stride_in",
        "stem_pool",
        "until",
    }
    theirs.fc = nn.Identity()
    assert_same(file, theirs)
    assert_same(stored(state), theirs)


IMAGENET_EXAMPLES = {
    "checkpoint.pth.tar": lambda s: {"epoch": 90, "arch": "resnet18", "state_dict": pre(s, "module."), "best_acc1": torch.tensor(69.8), "optimizer": {"param_groups": [{"lr": 0.1}]}},
    "final_full.pth": lambda s: {"epoch": 90, "model_state_dict": s, "class_names": ("a", "b"), "img_size": 224, "imagenet_mean": [0.485, 0.456, 0.406]},
    "tv_reference.pth": lambda s: {"model": s, "model_ema": pre(s, "module.") | {"n_averaged": torch.tensor(5)}},
    "dp.pth": lambda s: pre(s, "module."),
    "compiled.pth": lambda s: pre(s, "_orig_mod."),
    "deep": lambda s: {"a": [{"b": {"net": pre(s, "_fsdp_wrapped_module._orig_mod.trunk.")}}]},
    "thop": lambda s: s | {"total_ops": torch.zeros(1), "layer1.0.conv1.total_ops": torch.zeros(1), "layer1.0.total_params": torch.zeros(1)},
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGENET_EXAMPLES)
def test_wrappers(name):
    theirs = net()
    file = stored(IMAGENET_EXAMPLES[name](theirs.state_dict()))
    assert str(identify(file).spec) == "resnet18"
    assert_same(file, theirs)


def test_average_and_model_that_differ_are_asked_for():
    a, b = net(), net(seed=1)
    file = stored(
        {"model": a.state_dict(), "model_ema": pre(b.state_dict(), "module.") | {"n_averaged": torch.tensor(5)}}
    )
    with pytest.raises(WeightsError, match=r"2 networks that differ: model, model_ema\.module"):
        identify(file)
    assert_same(file, b, key="model_ema")
    assert_same(file, a, key="model")


def test_own_names_are_refused_with_the_nearest():
    state = {re.sub(r"^layer(\d)\.", lambda m: f"layers.{int(m[1]) - 1}.", k): v for k, v in net().state_dict().items()}
    with pytest.raises(
        WeightsError,
        match=r"shapes of resnet18 under unknown names: layers\.0\.0\.conv1\.weight where.*layer1\.0\.conv1\.weight",
    ):
        identify(stored(state))


NORMS = {
    "gn8": partial(nn.GroupNorm, 8), "gn32": partial(nn.GroupNorm, 32), "gn2": partial(nn.GroupNorm, 2),
    "instance": partial(nn.InstanceNorm2d, affine=True), "no statistics": partial(nn.BatchNorm2d, track_running_stats=False),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_norms_without_statistics_must_be_told(name):
    theirs = enliven(torchvision.models.resnet18(norm_layer=NORMS[name], num_classes=5))
    file = stored(theirs.state_dict())
    found = identify(file)
    assert found.fields["norm"].how == "unknown" and found.needs["norm"][:3] == ("group64", "group", "group16")
    with pytest.raises(
        WeightsError, match=r"does not show its norm .*norm=group64, norm=group, norm=group16, norm=group8"
    ):
        load_file(file)
    if name.startswith("gn"):
        assert_same(file, theirs, norm=f"group{name[2:]}")
        assert_same(file, theirs, spec=f"resnet18 norm=group{name[2:]} classes=5")


@pytest.mark.parametrize("words", ["plain20", "resnet20", "resnet20 shortcut_align=centre", "plain18"])
def test_plain_and_option_a_must_be_told(words):
    theirs = enliven(plusx.build(words))
    file = stored(theirs.state_dict())
    assert identify(file).fields["shortcut"].how == "unknown"
    with pytest.raises(WeightsError, match=r"shortcut=A, shortcut=A shortcut_align=centre, shortcut=none"):
        load_file(file)
    assert_same(file, theirs, spec=words)
    with pytest.raises(WeightsError, match=r"holds .*, not resnet50: "):
        load_file(file, spec="resnet50")


def test_akamaster_is_option_a_centred_by_convention():
    theirs = enliven(plusx.build("resnet20 shortcut_align=centre"))
    state = {key.replace("fc.", "linear."): value for key, value in theirs.state_dict().items()}
    file = stored({"state_dict": pre(state, "module."), "best_prec1": 91.7})
    found = identify(file)
    assert (found.family, found.fields["shortcut"].how, found.fields["shortcut_align"].value) == (
        "akamaster",
        "convention",
        "centre",
    )
    assert_same(file, theirs)


def test_doubles_and_halves_are_cast_with_a_word():
    theirs = net(num_classes=5)
    state = {key: value.double() if value.is_floating_point() else value for key, value in theirs.state_dict().items()}
    assert_same(stored(state), theirs)
    assert any("102 tensors were stored as float64" in note for note in load_file(stored(state)).notes)
    half = enliven(torchvision.models.resnet18(num_classes=5)).half().float()
    state = {key: value.half() if value.is_floating_point() else value for key, value in half.state_dict().items()}
    assert_same(stored(state), half)


def test_values_that_no_trained_network_has_are_named():
    state = {key: value.clone() for key, value in net(num_classes=5).state_dict().items()}
    state["layer3.0.bn1.running_var"][3] = float("nan")
    state["layer2.0.bn1.running_var"] *= -1
    state["layer1.0.conv1.weight"][:] = 0
    state["fc.bias"][0] = float("inf")
    lines = identify(stored(state)).suspicious
    assert [line.split()[0] for line in lines] == [
        "layer1.0.conv1.weight", "layer2.0.bn1.running_var", "layer3.0.bn1.running_var", "fc.bias"
    ]  # fmt: skip
    assert [
        "throughout" in lines[0],
        "negative" in lines[1],
        "1 NaN of 256" in lines[2],
        "1 infinite of 5" in lines[3],
    ] == [True] * 4
    assert identify(stored(net().state_dict())).suspicious == ()
    fresh = identify(stored(torchvision.models.resnet18().state_dict())).suspicious
    assert len(fresh) == 1 and "never trained" in fresh[0]


def test_pruned_weights_are_multiplied_with_their_masks():
    from torch.nn.utils import prune

    theirs = net(num_classes=5)
    prune.l1_unstructured(theirs.layer1[0].conv1, "weight", 0.3)
    found = identify(stored(theirs.state_dict()))
    assert any("masks (layer1.0.conv1.weight_orig" in note for note in found.notes)
    assert_same(stored(theirs.state_dict()), theirs)


def test_parts_that_change_the_function_are_refused():
    state = net("resnet50").state_dict() | {"layer2.0.conv2.conv_offset.weight": torch.zeros(18, 128, 3, 3)}
    found = identify(stored(state))
    assert found.spec is None and "layer2.0.conv2.conv_offset.weight" in found.refuses
    with pytest.raises(WeightsError, match="conv_offset"):
        translate(stored(state), found)


def test_clip_is_named_and_not_loaded():
    state = net("resnet50").state_dict()
    clip = {key: value for key, value in state.items() if key[:3] != "fc."} | {
        "attnpool.k_proj.weight": torch.zeros(2048, 2048)
    }
    found = identify(stored(pre(clip, "visual.")))
    assert (found.family, found.spec) == ("CLIP", None) and "attention" in found.refuses


def test_a_part_without_stem_is_named():
    state = {f"roi_heads.{key}": value for key, value in net().state_dict().items() if key.startswith("layer4")}
    with pytest.raises(WeightsError, match=r"a part of a ResNet at roi_heads: layer4 without a stem, layer1"):
        identify(stored(state))


def test_what_plusx_wrote_is_known():
    theirs = enliven(plusx.build("resnet50 stride_in=1x1 until=layer2"))
    file = stored(theirs.state_dict(), "safetensors", metadata={"plusx.spec": str(theirs.spec)})
    found = identify(file)
    assert found.spec == theirs.spec and {verdict.how for verdict in found.fields.values()} == {"known"}
    assert_same(file, theirs)
    lying = stored(theirs.state_dict(), "safetensors", metadata={"plusx.spec": "resnet18"})
    with pytest.raises(WeightsError, match="states the spec resnet18, but"):
        identify(lying)


def test_class_names_in_the_file():
    file = stored(
        {"state_dict": net(num_classes=3).state_dict(), "class_names": ("cat", "dog", "cow"), "tags": ("x", "y", "z")}
    )
    assert identify(file).classes == ("cat", "dog", "cow")


def test_what_lies_behind_the_last_stage_is_set_aside():
    theirs = net("resnet50", num_classes=4)
    beside = {
        "norm.weight": torch.ones(4),
        "norm.bias": torch.ones(4),
        "layer5.conv2d_list.0.weight": torch.zeros(21, 2048, 3, 3),
    }
    assert_same(stored(theirs.state_dict() | beside), theirs)
    assert {key for group in identify(stored(theirs.state_dict() | beside)).set_aside for key in group.keys} == set(
        beside
    )


def test_moco_gives_an_embedding():
    theirs = net("resnet50", num_classes=128)
    file = stored({"state_dict": pre(theirs.state_dict(), "module.encoder_q.") | {"module.queue": torch.zeros(128, 9)}})
    found = identify(file)
    assert str(found.spec) == "resnet50 classes=128" and any("embedding of 128" in note for note in found.notes)
    assert_same(file, theirs)


def test_moco_with_a_head_of_two_layers():
    theirs = net("resnet50")
    theirs.fc = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 128))
    file = stored({"state_dict": pre(theirs.state_dict(), "module.encoder_q.")})
    found = identify(file)
    assert (str(found.spec), groups(found)) == ("resnet50 classes=0", {"MLP head"})
    theirs.fc = nn.Identity()
    assert_same(file, theirs)


@pytest.mark.parametrize(
    ("words", "stride"), [("seresnet50", "1x1"), ("seresnet50 groups=32 width_per_group=4", "3x3")]
)
def test_cadenes_senets_stride_as_caffe_does(words, stride):
    """Cadene/pretrained-models.pytorch, senet.py: every stem ends with MaxPool2d(3, 2, ceil_mode=True)."""
    theirs = enliven(plusx.build(f"{words} stride_in={stride} stem_pool=caffe"))
    stem = {"conv1": "layer0.conv1", "bn1": "layer0.bn1", "fc": "last_linear"}
    state = {}
    for key, value in theirs.state_dict().items():
        path, _, tensor = key.rpartition(".")
        state[f"{stem.get(path, path.replace('.se.', '.se_module.'))}.{tensor}"] = value
    assert_same(stored(state), theirs)


@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "fcn_resnet50"])
def test_torchvisions_segmentation_dilates(name):
    torch.manual_seed(0)
    theirs = enliven(getattr(torchvision.models.segmentation, name)(weights_backbone=None, aux_loss=True))
    file = stored(theirs.state_dict())
    found = identify(file)
    assert found.family == "torchvision's segmentation"
    assert (found.fields["dilations"].value, found.fields["dilations"].how) == ((1, 1, 2, 4), "convention")
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        want = theirs.backbone(x)["out"]
    assert relative(outputs(load_file(file, until="layer4"), x), want) <= 1e-5


def test_beside_other_segmentation_heads_dilation_is_unknown():
    state = pre(net("resnet50").state_dict(), "encoder.") | {"decoder.aspp.0.weight": torch.zeros(3, 3, 1, 1)}
    found = identify(stored(state))
    assert found.fields["dilations"].how == found.fields["strides"].how == "unknown"
    assert "decoder.aspp.0.weight" in found.fields["dilations"].why


def test_torchvisions_detector():
    theirs = enliven(torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None))
    found = identify(stored(theirs.state_dict()))
    assert (str(found.spec), found.prefix) == ("resnet50 classes=0", "backbone.body.")
    assert {"feature pyramid", "region proposals", "detection head"} <= groups(found)
