"""plusx weights identify, convert, verify, guess, bundle: checkpoints as people publish them, from files to files."""

from __future__ import annotations

import argparse
import json
import pickle
from functools import partial

import numpy as np
import pytest
import safetensors.numpy
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import plusx
from living import assert_alive, enliven, relative
from plusx.bundles import open_bundle
from plusx.cli.main import main
from plusx.names import key_names
from plusx.weights.conversion.translate import load_file
from plusx.weights.loading import network_of

SIDE = 65
SMALL = "resnet50 depths=1,1,1,1"
"""A network of bottlenecks with a third of ResNet-50's parameters; tests/weights takes whole ones."""


def net(name="resnet18", seed=0, **options):
    torch.manual_seed(seed)
    small = partial(torchvision.models.ResNet, torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
    make = small if name == SMALL else getattr(torchvision.models, name)
    return enliven(make(**options), seed).eval()


def pre(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def headless(state):
    return {key: value for key, value in state.items() if key[:3] != "fc."}


def lightning(path):
    theirs = net(num_classes=6)
    torch.save({"epoch": 9, "pytorch-lightning_version": "2.5.0", "state_dict": pre(theirs.state_dict(), "model."), "callbacks": {},
                "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-3}]}], "hyper_parameters": {"num_classes": 6}}, path)  # fmt: skip
    return theirs


def dino_with_arguments(path):
    theirs = net(SMALL)
    state = headless(theirs.state_dict())
    head = {"head.mlp.0.weight": torch.zeros(64, 2048), "head.last_layer.weight": torch.zeros(30, 64)}
    torch.save({"student": pre(state, "module.backbone.") | pre(head, "module."), "teacher": pre(state, "backbone.") | head,
                "optimizer": {}, "epoch": 800, "dino_loss": {"center": torch.zeros(1, 30)},
                "args": argparse.Namespace(arch="resnet50")}, path)  # fmt: skip
    theirs.fc = nn.Identity()
    return theirs


def byol(path):
    a, b = net(SMALL), net(SMALL, seed=1)
    state = pre(a.state_dict(), "learner.online_encoder.net.") | pre(b.state_dict(), "learner.target_encoder.net.")
    for part in ("online_encoder.projector", "target_encoder.projector", "online_predictor"):
        state |= {f"learner.{part}.0.weight": torch.zeros(64, 256), f"learner.{part}.0.bias": torch.zeros(64)}
    torch.save({"epoch": 127, "state_dict": state}, path)
    return b


def hugging_face(path):
    theirs = net(SMALL)
    state = theirs.state_dict()
    save_file({new: state[old].contiguous() for old, new in key_names(SMALL, "Hugging Face").items()}, path)
    return theirs


def mmpretrain(path):
    theirs = net(SMALL)
    state = {new: theirs.state_dict()[old] for old, new in key_names(SMALL, "mmpretrain").items()}
    torch.save({"meta": {"CLASSES": ["a"]}, "state_dict": state}, path)
    return theirs


def detectron2(path):
    theirs = net(SMALL)
    state = {
        new: theirs.state_dict()[old].numpy() for old, new in key_names(f"{SMALL} classes=0", "detectron2").items()
    }
    extra = {"backbone.fpn_lateral2.weight": np.zeros((256, 256, 1, 1), np.float32)}
    path.write_bytes(pickle.dumps({"model": state | extra, "__author__": "Detectron2 Model Zoo"}))
    theirs.fc = nn.Identity()
    for stage in (theirs.layer2, theirs.layer3, theirs.layer4):  # its blocks stride in the first 1x1
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    kernels = theirs.conv1.weight.data
    kernels[:] = kernels.flip(1).clone()  # its images are BGR, plusx's networks take RGB ones
    return theirs


def children(path):
    theirs = net(SMALL)
    body = nn.Sequential(*list(theirs.children())[:-2])
    torch.save(pre(body.state_dict(), "backbone.") | {"final_layer.weight": torch.zeros(14, 8, 1, 1)}, path)
    theirs.fc = nn.Identity()
    return theirs


def whole_model(path):
    theirs = net(num_classes=5)
    torch.save(nn.DataParallel(theirs), path)
    return theirs


def torchscript(path):
    theirs = net(num_classes=5)
    torch.jit.trace(theirs, torch.randn(1, 3, 64, 64)).save(path)
    return theirs


def old_detector(path):
    theirs = net(SMALL)
    state = {key: value for key, value in headless(theirs.state_dict()).items() if "num_batches" not in key}
    torch.save(pre(state, "resnet.") | {"rpn_net.weight": torch.zeros(512, 1024, 3, 3)}, path)
    theirs.fc = nn.Identity()
    return theirs


def wrapped(path, make):
    theirs = net()
    torch.save(make(theirs.state_dict()), path)
    return theirs


def group_norm(path):
    theirs = net(norm_layer=partial(nn.GroupNorm, 8), num_classes=5)
    torch.save(theirs.state_dict(), path)
    return theirs


def doubles(path):
    theirs = net(num_classes=5)
    torch.save({key: v.double() if v.is_floating_point() else v for key, v in theirs.state_dict().items()}, path)
    return theirs


def legacy(path):
    theirs = net(num_classes=5)
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=False)
    return theirs


FILES = {
    "01 lightning.ckpt": (lightning, "resnet18 classes=6", [], "state_dict.model"),
    "03 epoch=127.ckpt": (byol, SMALL, ["--key", "target_encoder"], "state_dict.learner.target_encoder.net"),
    "05 dino.pth": (dino_with_arguments, f"{SMALL} classes=0", [], "student.module.backbone"),
    "06 model.safetensors": (hugging_face, SMALL, [], "resnet"),
    "06 mmcls.pth": (mmpretrain, SMALL, [], "state_dict.backbone"),
    "07 model_final.pkl": (detectron2, f"{SMALL} stride_in=1x1 classes=0", [], "model.backbone.bottom_up"),
    "09 heatmap_best.pth": (children, f"{SMALL} classes=0", [], "backbone"),
    "10 dp.pt": (whole_model, "resnet18 classes=5", [], "module"),
    "11 RN.pt": (torchscript, "resnet18 classes=5", [], ""),
    "15 res101.pth": (old_detector, f"{SMALL} classes=0", [], "resnet"),
    "17 checkpoint.pth.tar": (partial(wrapped, make=lambda s: {"epoch": 90, "arch": "resnet18", "state_dict": pre(s, "module.")}), "resnet18", [], "state_dict.module"),
    "17 final_full.pth": (partial(wrapped, make=lambda s: {"epoch": 90, "model_state_dict": s, "img_size": 224}), "resnet18", [], "model_state_dict"),
    "17 compiled.pth": (partial(wrapped, make=lambda s: pre(s, "_orig_mod.")), "resnet18", [], "_orig_mod"),
    "21 double.pth": (doubles, "resnet18 classes=5", [], ""),
    "22 legacy.pth": (legacy, "resnet18 classes=5", [], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_published_checkpoints(name, tmp_path, capsys):
    """identify finds the exact spec; convert writes what torchvision's own network computes."""
    make, spec, words, key = FILES[name]
    path, out = tmp_path / name, tmp_path / "out.safetensors"
    theirs = make(path)
    assert main(["weights", "identify", str(path), "--format", "json", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spec"] == str(plusx.spec(spec)) and found["refuses"] is None and found["needs"] == {}
    assert f"{found['wrapper']}.{found['prefix']}".strip("./") == key
    assert main(["weights", "convert", str(path), "--to", "plusx", "-o", str(out), *words]) == 0
    ours = plusx.load(out)
    assert ours.spec == plusx.spec(spec)
    x, y = torch.randn(2, 2, 3, SIDE, SIDE)
    with torch.inference_mode():
        wanted = theirs(x)
        assert_alive(wanted, theirs(y))
        assert relative(ours(x), wanted) <= 1e-5


REFUSED = {
    "byol without a key": (byol, r"2 networks that differ: .*online_encoder\.net, .*target_encoder\.net\. Choose one with --key"),
    "3-D kernels": (lambda path: torch.save(torchvision.models.video.r3d_18(num_classes=5).state_dict(), path), "holds no ResNet|3-D"),
    "own names": (lambda path: torch.save({f"layers.{k}": v for k, v in net().state_dict().items() if "layer" in k}, path), "under unknown names"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_loaded_is_one_line(case, tmp_path, capsys):
    make, says = REFUSED[case]
    make(tmp_path / "x.pth")
    assert main(["show", str(tmp_path / "x.pth")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    with pytest.raises(plusx.PlusxError, match=says):
        plusx.load(tmp_path / "x.pth")


def test_groups_of_a_norm_must_be_given_and_can_be(tmp_path, capsys):
    """A GroupNorm(8) file was taken for norm=group, a third of the output wrong."""
    path = str(tmp_path / "gn8.pth")
    theirs = group_norm(path)
    assert main(["show", path]) == 2
    assert "does not show its norm" in (said := capsys.readouterr().err) and "norm=group8" in said
    assert main(["show", path, "norm=group8", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"] == "resnet18 norm=group8 classes=5"
    assert (
        main(["weights", "convert", path, "norm=group8", "--to", "plusx", "-o", str(tmp_path / "o.safetensors")]) == 0
    )
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert relative(plusx.load(tmp_path / "o.safetensors")(x), theirs(x)) <= 1e-5
        assert relative(plusx.build("resnet18 norm=group classes=5", theirs.state_dict()).eval()(x), theirs(x)) > 0.05


@pytest.mark.parametrize("words", ["plain20", "resnet20", "resnet20 shortcut_align=centre"])
def test_plain_and_option_a_must_be_given(words, tmp_path, capsys):
    path = str(tmp_path / "net.pth")
    torch.save(enliven(plusx.build(words)).state_dict(), path)
    assert main(["weights", "bundle", path, "-o", str(tmp_path / "b")]) == 2
    assert "does not show its shortcut" in capsys.readouterr().err and not (tmp_path / "b").exists()
    assert main(["weights", "bundle", path, "-o", str(tmp_path / "b"), "--network", words]) == 0
    assert open_bundle(tmp_path / "b").spec == plusx.spec(words)


def test_identify_takes_several_files_and_says_which_are_none(tmp_path, capsys):
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(net().state_dict(), good)
    torch.save({"a": torch.zeros(3)}, bad)
    assert main(["weights", "identify", str(good), str(bad)]) == 2
    said = capsys.readouterr()
    assert f"file         {good}" in said.out and "network      resnet18\n" in said.out
    assert f"{bad} holds no ResNet" in said.err and "1 of 2 files" in said.err


def test_values_that_look_wrong_are_named(tmp_path, capsys):
    state = dict(net(num_classes=5).state_dict())
    state["layer3.0.bn1.running_var"] = -state["layer3.0.bn1.running_var"]
    torch.save(state, tmp_path / "x.pth")
    assert main(["weights", "identify", str(tmp_path / "x.pth")]) == 0
    assert "warning      layer3.0.bn1.running_var" in capsys.readouterr().out


# ---- convert, verify ----


@pytest.mark.parametrize("to", ["torchvision", "timm", "mmdet", "mmpretrain", "huggingface", "detectron2"])
def test_convert_writes_for_others_with_a_proof_and_the_rest_beside(to, tmp_path, capsys):
    path = tmp_path / "net.ckpt"
    theirs = net(SMALL, num_classes=7)
    torch.save({"state_dict": pre(theirs.state_dict(), "model.") | {"model.projector.weight": torch.ones(3, 4)}}, path)
    ending = {"huggingface": "", "detectron2": ".pkl"}.get(to, ".pth")
    out = tmp_path / f"out{ending}"
    assert main(["weights", "convert", str(path), "--to", to, "-o", str(out)]) == 0
    beside = out if to == "huggingface" else tmp_path
    stem = "" if to == "huggingface" else f"{out.name}."
    proof = json.loads((beside / f"{stem}proof.json").read_text())
    assert proof["spec"] == f"{SMALL} classes=7" and proof["largest_difference"] <= 1e-6
    extra = safetensors.numpy.load_file(beside / f"{stem}extra.safetensors")
    assert np.array_equal(extra["state_dict.model.projector.weight"], np.ones((3, 4)))
    given = f"{SMALL} classes={0 if to == 'mmdet' else 7}"  # some say no stride, by convention another
    back = network_of(load_file(out / "model.safetensors" if to == "huggingface" else out, spec=given)).eval()
    if to == "mmdet":
        theirs.fc = nn.Identity()
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert relative(back(x), theirs(x)) <= 1e-5
    said = capsys.readouterr().err
    assert "wrote " in said and ("INPUT.FORMAT" in said) == (to == "detectron2")


def test_convert_refuses_what_the_target_cannot_hold(tmp_path, capsys):
    torch.save(net("resnet50").state_dict(), tmp_path / "x.pth")
    words = [
        "weights",
        "convert",
        str(tmp_path / "x.pth"),
        "stride_in=1x1",
        "--to",
        "torchvision",
        "-o",
        str(tmp_path / "o.pth"),
    ]
    assert main(words) == 2
    assert "cannot hold it: stride_in=1x1" in capsys.readouterr().err and not (tmp_path / "o.pth").exists()


def test_colours_are_turned_on_request(tmp_path):
    detectron2(path := tmp_path / "model_final.pkl")
    stored = pickle.loads(path.read_bytes())["model"]["backbone.bottom_up.stem.conv1.weight"]
    for words, wanted in (([], stored), (["--bgr-to-rgb"], stored[:, ::-1])):
        out = tmp_path / f"o{len(words)}.safetensors"
        assert main(["weights", "convert", str(path), "--to", "timm", "-o", str(out), "stride_in=3x3", *words]) == 0
        assert np.array_equal(safetensors.numpy.load_file(out)["conv1.weight"], wanted)


def test_convert_to_keras_says_whose_images_it_takes(tmp_path, capsys):
    pytest.importorskip("h5py")
    pytest.importorskip("pyfive")
    theirs = enliven(plusx.build("resnet50 stride_in=1x1 classes=5"))
    torch.save(theirs.state_dict(), source := tmp_path / "a.pth")
    words = ["weights", "convert", str(source), "stride_in=1x1", "--to", "keras", "-o"]
    out = tmp_path / "o.h5"
    assert main([*words, str(out)]) == 0
    assert "its input is RGB images, where preprocess_input" in capsys.readouterr().err
    import h5py

    with h5py.File(out) as file:  # keras.applications.ResNet50's layers with weights, in the order of its model.layers
        layers = list(map(str, file.attrs["layer_names"]))
    block = "1_conv 1_bn 2_conv 2_bn 0_conv 3_conv 0_bn 3_bn".split()
    assert layers[:12] == ["conv1_conv", "conv1_bn", *(f"conv2_block1_{part}" for part in block), "conv2_block2_1_conv", "conv2_block2_1_bn"]  # fmt: skip
    assert (
        main(
            [
                "weights",
                "verify",
                str(source),
                str(out),
                "--network-a",
                "resnet50 stride_in=1x1 classes=5",
                "--size",
                "64",
            ]
        )
        == 1
    )
    assert "They compute the same where" in capsys.readouterr().out
    assert main([*words, str(tmp_path / "o.weights.h5")]) == 2
    assert "Name it o.h5" in capsys.readouterr().err


def test_verify_tells_equal_from_different(tmp_path, capsys):
    a, b = tmp_path / "a.pth", tmp_path / "b.safetensors"
    theirs = net()
    torch.save({"state_dict": theirs.state_dict()}, a)
    save_file(theirs.state_dict(), b)
    assert main(["weights", "verify", str(a), str(b), "--size", "64"]) == 0
    assert "compute the same" in capsys.readouterr().out
    theirs.layer4[1].bn2.bias.data[7] += 0.5
    save_file(theirs.state_dict(), b)
    assert main(["weights", "verify", str(a), str(b), "--size", "64"]) == 1
    assert "differ" in capsys.readouterr().out


def test_guess_ranks_what_outputs_show(tmp_path, capsys):
    """A GroupNorm(8) network's own outputs put norm=group8 first, of everything that its file leaves open."""
    theirs = group_norm(tmp_path / "gn8.pth")
    x = torch.randn(4, 3, 64, 64)
    np.save(tmp_path / "x.npy", x.numpy())
    with torch.inference_mode():
        np.save(tmp_path / "y.npy", theirs(x).numpy())
    words = [
        "weights",
        "guess",
        str(tmp_path / "gn8.pth"),
        "--inputs",
        str(tmp_path / "x.npy"),
        "--outputs",
        str(tmp_path / "y.npy"),
    ]
    assert main([*words, "--format", "json"]) == 0
    first, second, *_ = json.loads(capsys.readouterr().out)
    assert first["words"] == ["stem_pool=max", "norm=group8"] and first["colour"] == "RGB"
    assert first["score"] > -1e-4 > 10 * second["score"]
    assert main(words) == 0
    assert "norm=group8" in capsys.readouterr().out.splitlines()[1]
    assert main(words[:3]) == 2 and "needs evidence" in capsys.readouterr().err


# ---- bundle, cut ----


def test_a_bundle_has_labels_and_preprocessing(tmp_path, capsys):
    torch.save(net().state_dict(), tmp_path / "x.pth")
    out = tmp_path / "b"
    assert (
        main(
            [
                "weights",
                "bundle",
                str(tmp_path / "x.pth"),
                "-o",
                str(out),
                "--labels",
                "imagenet-1k",
                "--preprocessing",
                "bicubic",
            ]
        )
        == 0
    )
    assert "taken by convention" in capsys.readouterr().err
    bundle = open_bundle(out)
    assert bundle.classes[:2] == ("tench", "goldfish") and bundle.preprocessing.interpolation == "bicubic"
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    assert (
        main(
            [
                "weights",
                "bundle",
                str(tmp_path / "x.pth"),
                "-o",
                str(tmp_path / "c"),
                "--labels",
                str(tmp_path / "two.txt"),
            ]
        )
        == 2
    )
    assert "name 2 classes, and the network has 1000" in capsys.readouterr().err


def test_the_weights_of_a_bundle_are_what_the_bundle_says(tmp_path, capsys):
    """No tensor tells resnet20 from plain20, the bundle does."""
    net = enliven(plusx.build("resnet20"))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    bundle, labels = tmp_path / "b", tmp_path / "labels.txt"
    labels.write_text("\n".join(f"c{i}" for i in range(net.spec.classes)))
    assert (
        main(["weights", "bundle", str(tmp_path / "net.pth"), "shortcut=A", "-o", str(bundle), "--labels", str(labels)])
        == 0
    )
    capsys.readouterr()
    assert main(["weights", "identify", str(bundle / "weights.safetensors"), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spec"] == "resnet20" and not found["needs"] and found["classes"][:2] == ["c0", "c1"]
    assert found["preprocessing"] == json.loads((bundle / "bundle.json").read_text())["preprocessing"]
    ours, x = plusx.load(bundle / "weights.safetensors"), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(ours(x), net.eval()(x))


def test_what_a_cut_file_says_of_itself_is_honoured(tmp_path, capsys):
    """Cut at layer3 with stride_in=1x1: load, show and identify gave another stride, and pooled features for a map."""
    whole = enliven(plusx.build("resnet50 stride_in=1x1")).eval()
    path, out = str(tmp_path / "v1.pth"), str(tmp_path / "cut.safetensors")
    torch.save(whole.state_dict(), path)
    assert main(["weights", "cut", path, "--network", "resnet50 stride_in=1x1", "--until", "layer3", "-o", out]) == 0
    spec = "resnet50 stride_in=1x1 until=layer3"
    capsys.readouterr()
    assert main(["weights", "identify", out, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"] == spec
    assert main(["show", out, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"] == spec
    ours, x = plusx.load(out), torch.randn(1, 3, 64, 64)
    assert str(ours.spec) == spec
    with torch.no_grad():
        assert torch.equal(ours(x), plusx.cut(whole, "layer3")(x))
        assert torch.equal(plusx.build(spec, out).eval()(x), ours(x))


def test_a_cut_of_a_network_for_bgr_images_takes_rgb_and_keeps_its_preprocessing(tmp_path):
    theirs = detectron2(path := tmp_path / "model_final.pkl")
    assert main(["weights", "cut", str(path), "--until", "layer1", "-o", str(tmp_path / "c.safetensors")]) == 0
    ours, x = plusx.load(tmp_path / "c.safetensors"), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x)))))
        assert relative(ours(x), wanted) <= 1e-6
    assert ours.preprocessing.scale == 1.0 and ours.preprocessing == plusx.load(path).preprocessing
