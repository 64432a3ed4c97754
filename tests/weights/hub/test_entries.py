"""The shipped table agrees with torchvision's and timm's own metadata, field by field, and with plusx's own networks."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

import plusx
from plusx.weights.hub.entries import ENTRIES, KERAS, MICROSOFT, TIMM, TORCHVISION, entry_of_sha256
from plusx.weights.hub.entry import Entry

torchvision = pytest.importorskip("torchvision")
timm = pytest.importorskip("timm")
MARKET = (
    *(f"torchvision/{name}:IMAGENET1K_V1" for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d")),
    *(f"torchvision/{name}:IMAGENET1K_V2" for name in ("resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d")),
    "torchvision/resnext101_64x4d:IMAGENET1K_V1", "torchvision/wide_resnet50_2:IMAGENET1K_V1",
    "torchvision/wide_resnet50_2:IMAGENET1K_V2", "torchvision/wide_resnet101_2:IMAGENET1K_V2",
    *(f"hf:microsoft/resnet-{depth}" for depth in (18, 26, 34, 50, 101, 152)),
    *(f"timm/{name}" for name in (
        "resnet18.a1_in1k", "resnet34.a1_in1k", "resnet50.a1_in1k", "resnet50.tv_in1k", "resnet50d.ra2_in1k", "resnet101.a1h_in1k",
        "resnet152.a1h_in1k", "wide_resnet50_2.racm_in1k", "resnet18.fb_swsl_ig1b_ft_in1k", "resnet18.fb_ssl_yfcc100m_ft_in1k",
        "resnetv2_50x1_bit.goog_in21k",
    )),
)  # fmt: skip
"""The weights that people use most; the list was made from download counts and questions, not from the table."""


def weights_of(name: str) -> Any:
    network, _colon, member = name.partition(":")
    return getattr(torchvision.models.get_model_weights(network), member)


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_row_of_torchvision(name: str) -> None:
    entry, theirs = ENTRIES[f"torchvision/{name}"], weights_of(name)
    shown, meta = theirs.transforms(), theirs.meta
    assert [file.url for file in entry.files] == [theirs.url]
    assert entry.digest is not None and f"-{entry.digest.start}.pth" in theirs.url
    assert entry.digest == entry.files[0].digest
    assert entry.top1 == meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert entry.mib == meta["_file_size"]
    assert [entry.input.resize_px] == shown.resize_size and [entry.input.crop_px] == shown.crop_size
    assert entry.input.interpolation == shown.interpolation.value
    assert (list(entry.input.mean), list(entry.input.std)) == (list(shown.mean), list(shown.std))
    assert entry.input.scale == 1 / 255 and entry.colour == "RGB"
    simple = "simple training recipe" in meta["_docs"]
    assert entry.frozen.verdict == ("good" if simple else "poor")
    assert simple or "new training recipe" in meta["_docs"]


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_network_of_torchvision(name: str) -> None:
    entry, meta = ENTRIES[f"torchvision/{name}"], weights_of(name).meta
    analysis = plusx.analyse(entry.words)
    assert analysis.totals.params == meta["num_params"]
    assert abs(analysis.totals.macs / 1e9 - meta["_ops"]) < 0.01
    stored = (entry.mib or 0) * 2**20 / meta["num_params"]
    assert stored == pytest.approx(2 if name.startswith("wide") and name.endswith("V1") else 4, rel=0.01), (
        "bytes a number"
    )


def test_the_classes_of_torchvision() -> None:
    from plusx.weights import read_labels

    for name in TORCHVISION:
        theirs = weights_of(name).meta["categories"]
        ours = read_labels("imagenet-1k", 1000)
        assert len(theirs) == 1000
        assert [(a, b) for a, b in zip(ours, theirs, strict=True) if plain(a) != plain(b)] == []


def plain(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


@pytest.mark.parametrize("name", TIMM)
def test_a_row_of_timm(name: str) -> None:
    entry = ENTRIES[f"timm/{name}"]
    theirs = timm.models.get_pretrained_cfg(name)
    assert theirs is not None
    (file,) = entry.files
    assert (file.repo, file.revision) == (theirs.hf_hub_id, "main")
    assert file.path == timm.models._hub.HF_SAFE_WEIGHTS_NAME
    assert file.url == f"https://huggingface.co/{theirs.hf_hub_id}/resolve/main/{file.path}"
    assert entry.licence == theirs.license
    assert (theirs.input_size, theirs.crop_mode) == ((3, entry.input.crop_px, entry.input.crop_px), "center")
    assert entry.input.resize_px == math.floor(entry.input.crop_px / theirs.crop_pct)
    assert (entry.input.interpolation, entry.input.mean, entry.input.std) == (
        theirs.interpolation,
        theirs.mean,
        theirs.std,
    )
    assert entry.digest is None, "timm states no hash of its safetensors files"
    assert (entry.labels == "imagenet-1k") == (theirs.num_classes == 1000)
    if not entry.words:
        assert entry.refuses and theirs.num_classes != 1000
        return
    import torch

    with torch.device("meta"):
        net = timm.create_model(theirs.architecture)
    assert plusx.analyse(entry.words).totals.params == sum(each.numel() for each in net.parameters())


def test_timm_and_torchvision_name_the_same_file() -> None:
    """So what is known of its features is the same."""
    url = timm.models.get_pretrained_cfg("resnet50.tv_in1k").url
    first = ENTRIES["torchvision/resnet50:IMAGENET1K_V1"]
    ours = ENTRIES["timm/resnet50.tv_in1k"]
    assert url == first.files[0].url
    assert (ours.input, ours.frozen) == (first.input, first.frozen)
    assert ours.top1 == pytest.approx(first.top1, abs=0.01)


@pytest.mark.parametrize("name", MICROSOFT)
def test_a_row_of_transformers(name: str) -> None:
    """convert_resnet_to_pytorch.py: depths and layer_type of each; the image processor crops 224 at 0.875, bicubic."""
    depths, block = {
        "resnet-18": ((2, 2, 2, 2), "basic"), "resnet-26": ((2, 2, 2, 2), "bottleneck"), "resnet-34": ((3, 4, 6, 3), "basic"),
        "resnet-50": ((3, 4, 6, 3), "bottleneck"), "resnet-101": ((3, 4, 23, 3), "bottleneck"),
        "resnet-152": ((3, 8, 36, 3), "bottleneck"),
    }[name]  # fmt: skip
    entry = ENTRIES[f"hf:microsoft/{name}"]
    spec = entry.spec
    assert spec is not None and (spec.depths, spec.block) == (depths, block)
    assert spec == plusx.spec("resnet50" if block == "bottleneck" else "resnet18").replace(depths=depths)
    assert (entry.top1, entry.digest, entry.licence, entry.frozen.verdict) == (None, None, "unknown", "unknown")


@pytest.mark.parametrize("name", KERAS)
def test_a_row_of_keras(name: str) -> None:
    """keras/src/applications/resnet.py, and the table of keras.io/api/applications."""
    md5, top1, mib = {
        "resnet50": ("2cb95161c43110f7111970584f804107", 74.9, 98),
        "resnet101": ("f1aeb4b969a6efcfb50fad2f0c20cfc5", 76.4, 171),
        "resnet152": ("100835be76be38e30d865e96f2aaae62", 76.6, 232),
    }[name]
    entry = ENTRIES[f"keras/{name}"]
    base = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
    assert entry.files[0].url == f"{base}{name}_weights_tf_dim_ordering_tf_kernels.h5"
    assert entry.digest is not None and (entry.digest.kind, entry.digest.start, entry.digest.whole) == (
        "md5",
        md5,
        True,
    )
    assert (entry.top1, entry.mib, entry.colour) == (top1, mib, "BGR")
    assert plusx.analyse(entry.words).totals.params * 4 / 2**20 == pytest.approx(mib, rel=0.02)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_a_row_is_whole(entry: Entry) -> None:
    assert (entry.spec is None) == (entry.refuses is not None)
    assert entry.spec is None or str(entry.spec) == entry.words
    assert all(file.url.startswith("https://") for file in entry.files)
    assert entry.preprocessing.crop_px == entry.input.crop_px
    assert entry.licence and entry.source and entry.frozen.why
    assert entry.frozen.verdict in ("good", "poor", "unknown")


def test_the_weights_that_people_ask_for_are_there() -> None:
    assert [name for name in MARKET if name not in ENTRIES] == []
    assert len(ENTRIES) == len(TORCHVISION) + len(TIMM) + len(MICROSOFT) + len(KERAS)
    places = [file.place for entry in ENTRIES.values() for file in entry.files]
    assert len(places) == len(set(places))


def test_a_hash_finds_its_row() -> None:
    found = entry_of_sha256("0676ba61" + "0" * 56)
    assert found is not None and found.name == "torchvision/resnet50:IMAGENET1K_V1"
    assert entry_of_sha256("0676ba62" + "0" * 56) is None
    assert entry_of_sha256("") is None
    assert entry_of_sha256("2cb95161c43110f7111970584f804107" + "0" * 32) is None, "an md5 is no sha256"
