"""Feature vectors of a data set: what `plusx embed` gives, computed once, and again when anything has changed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundles.tmpfs import fill, small_disk
from plusx.bundles import Bundle, open_bundle, save_bundle
from plusx.cli.main import main
from plusx.data import open_data
from plusx.errors import DataError, SpecError
from plusx.images import Preprocessing, decode, resize_crop
from plusx.probing import running
from plusx.probing.running import Probing
from plusx.probing.vectors import ImageVectors, VectorMaker
from plusx.probing.views import CROPS, MIRRORED, PLAIN, ImageView
from plusx.runtime.engines import EngineOptions
from plusx.specs import parse
from shipping import photo_bundle

pytest.importorskip("openvino")
pytest.importorskip("sklearn")
FP32 = EngineOptions("openvino", "fp32", threads=1)
WORDS = "resnet18 depths=1,1 widths=8,32 stem_width=8 classes=3"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PLUSX_THREADS", "1")
    return tmp_path / "cache/vectors"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(photo_bundle(tmp_path_factory.getbasetemp(), WORDS))


def write(path: Path, colour: int, seed: int) -> Path:
    """A photograph of a kind: noise around a colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    small = np.clip(random.normal(60 + 60 * np.eye(3)[colour], 30, (6, 7, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(small).resize((60 + seed % 9, 48), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of nine images."""
    for colour, name in enumerate(("ant", "bee", "cow")):
        for i in range(9):
            write(tmp_path / "photos" / name / f"{i}.png", colour, 100 * colour + i)
    return tmp_path / "photos"


def vectors(network: Bundle, photos: Path, view: ImageView = PLAIN, **keys) -> ImageVectors:
    found = VectorMaker(network, FP32).vectors(open_data(photos, cache=False, **keys).train, view)
    assert found is not None
    return found


def test_vectors_are_those_of_plusx_embed(network, photos, cache, tmp_path):
    found, data = vectors(network, photos), open_data(photos).train
    paths = [data.path(int(i)) for i in found.kept]
    words = [
        "embed",
        str(network.path),
        *paths,
        "--engine",
        "openvino",
        "--precision",
        "fp32",
        "-o",
        str(tmp_path / "v.npy"),
    ]
    assert main(words) == 0
    assert np.array_equal(found.values, np.load(tmp_path / "v.npy"))
    assert found.values.shape == (21, 32) and (found.labels == data.labels).all()
    assert found.values.std(axis=0).max() > 1e-3


def test_views_are_mirrored_and_cropped(photos):
    pre = Preprocessing("RGB", 40, 32)
    image = decode(photos / "ant/0.png", "RGB")
    plain = resize_crop(image, pre)
    assert (PLAIN(image, pre) == plain).all() and (MIRRORED(image, pre) == plain[:, ::-1]).all()
    h, w = image.shape[:2]
    assert (CROPS[0](image, pre) == resize_crop(image[: round(0.75 * h), : round(0.75 * w)], pre)).all()
    corner = resize_crop(image[h - round(0.75 * h) :, w - round(0.75 * w) :], pre)
    assert (CROPS[1](image, pre) == corner[:, ::-1]).all()


# ---- the cache ----


def engine_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the engine computes; opening an engine counts too."""
    from plusx.probing import vectors as module
    from plusx.runtime.with_openvino import OpenVINOEngine

    calls: list[int] = []
    infer, opened = OpenVINOEngine.infer, module.embedder
    monkeypatch.setattr(OpenVINOEngine, "infer", lambda self, x: (calls.append(len(x)), infer(self, x))[1])
    monkeypatch.setattr(module, "embedder", lambda *args: (calls.append(0), opened(*args))[1])
    return calls


def test_the_second_run_computes_nothing(network, photos, cache, monkeypatch):
    calls = engine_calls(monkeypatch)
    first = vectors(network, photos)
    assert sum(calls) == first.computed == len(first) == 21
    calls.clear()
    second = vectors(network, photos)
    assert calls == [] and second.computed == 0
    assert np.array_equal(first.values, second.values) and first.keys == second.keys
    third = vectors(network, photos, seed=5)  # other images are held out, and only those are new
    names = [set(open_data(photos, seed=seed).train.names) for seed in (0, 5)]
    assert third.computed == sum(calls) == len(names[1] - names[0]) > 0


def test_a_changed_image_behind_the_same_path_size_and_time_is_computed_again(network, photos, cache):
    before = vectors(network, photos)
    data = open_data(photos).train
    path, other = Path(data.path(0)), Path(data.path(5))
    stat, content = path.stat(), bytearray(path.read_bytes())
    pixels = decode(path, "RGB")
    Image.fromarray(255 - pixels).save(path)
    raw = path.read_bytes()
    path.write_bytes(raw.ljust(len(content), b"\0")[: max(len(raw), len(content))])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = vectors(network, photos)
    assert after.computed == 1 and not np.array_equal(before.values[0], after.values[0])
    assert np.array_equal(before.values[1:], after.values[1:])
    path.write_bytes(other.read_bytes())
    copied = vectors(network, photos)
    assert copied.computed == 0 and np.array_equal(copied.values[0], copied.values[5])


def test_another_network_preprocessing_view_or_precision_has_its_own_vectors(network, photos, cache, tmp_path):
    vectors(network, photos)
    assert vectors(network, photos, MIRRORED).computed == 21
    other = replace(network, preprocessing=replace(network.preprocessing, resize_px=36))
    assert vectors(other, photos).computed == 21
    weights = network.weights()
    weights["layer2.0.conv1.weight"] = weights["layer2.0.conv1.weight"] * np.float32(1.5)
    saved = save_bundle(tmp_path / "other", network.spec, network.classes, network.preprocessing, weights)
    assert vectors(open_bundle(saved), photos).computed == 21
    half = VectorMaker(network, EngineOptions("openvino", "bf16")).vectors(open_data(photos).train)
    assert half is not None and half.computed == 21
    assert vectors(network, photos).computed == 0


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "foreign"])
def test_a_damaged_cache_entry_is_computed_again(damage, network, photos, cache):
    before = vectors(network, photos)
    (file,) = cache.glob("*/*.vectors")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes({"flipped": bytes(raw), "short": bytes(raw[:-8]), "empty": b"", "foreign": b"x" * 400}[damage])
    after = vectors(network, photos)
    assert after.computed == 21 and np.array_equal(before.values, after.values)
    assert vectors(network, photos).computed == 0


def test_a_full_disk_costs_a_word_and_nothing_else(network, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUSX_THREADS", "1")
    said: list[str] = []
    with small_disk(tmp_path / "disk", 64) as disk:
        monkeypatch.setenv("PLUSX_CACHE", str(disk))
        fill(disk, 0)
        found = VectorMaker(network, FP32, say=said.append).vectors(open_data(photos, cache=False).train)
        assert found is not None and len(found) == 21
        assert not list(disk.glob("vectors/*/*"))
    assert len(said) == 1 and "No space left" in said[0] and "\n" not in said[0]


def test_a_cache_that_cannot_be_written_costs_a_word(network, photos, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    said: list[str] = []
    found = VectorMaker(network, FP32, say=said.append).vectors(open_data(photos, cache=False).train)
    assert found is not None and len(found) == 21 and len(said) == 1


# ---- bad input ----


def test_unreadable_images_are_skipped_with_their_reason(network, photos, cache):
    data = open_data(photos).train
    Path(data.path(3)).write_bytes(b"\x89PNG nonsense")
    Path(data.path(4)).unlink()
    found = VectorMaker(network, FP32).vectors(data)
    assert found is not None and found.kept.tolist() == [i for i in range(21) if i not in (3, 4)]
    assert [row.path for row in found.skipped] == [data.path(3), data.path(4)]
    assert "No such file" in str(found.skipped[1].reason)
    for i in range(21):
        Path(data.path(i)).write_bytes(b"")
    with pytest.raises(DataError, match="None of 21 images gives a feature vector"):
        VectorMaker(network, FP32).vectors(data)


def test_a_class_with_only_unreadable_files_is_refused(network, photos, cache, tmp_path):
    splits = open_data(photos)
    for path in (photos / "bee").iterdir():
        path.write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="Class 'bee' has no training image that can be read"):
        Probing(network, splits, options=FP32).plain(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_without_vectors_are_refused(network, cache):
    cut = replace(network, spec=network.spec.replace(until="layer1"))
    with pytest.raises(SpecError, match="is cut at layer1"):
        VectorMaker(cut, FP32)
    from plusx.weights.file_bundles import plain_pixels

    for pre in (plain_pixels(3), Preprocessing("L", 40, 32, mean=(0.5,), std=(0.5,))):
        with pytest.raises(DataError, match=r"preprocessing of .* is unknown.*--preprocessing"):
            VectorMaker(replace(network, preprocessing=pre), FP32)


# ---- the bundle ----


def test_the_bundle_predicts_what_the_probe_says(network, photos, cache, tmp_path, capsys):
    splits, said = open_data(photos), []
    probing = Probing(network, splits, options=FP32, seed=7, progress=lambda *at: said.append(at))
    plain = probing.plain(tmp_path / "plain")
    assert plain is not None
    found = probing.with_views(plain, tmp_path / "out")
    assert found is not None and found.images == 27
    assert said[-1][0] == said[-1][1] and (21, 21) in said and (6, 6) in said
    bundle = open_bundle(found.bundle)
    assert bundle.spec == parse(WORDS) and bundle.classes == ("ant", "bee", "cow")
    assert bundle.preprocessing == network.preprocessing
    for name, array in network.weights().items():
        if not name.startswith("fc."):
            assert np.array_equal(bundle.weights()[name], array)
    # by hand, from the vectors and the standardised regression's arithmetic in the weights
    logits = found.val.values.astype(np.float64) @ found.probe.weight.T.astype(np.float64) + found.probe.bias
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    paths = [splits.val.path(int(i)) for i in found.val.kept]
    words = ["predict", str(found.bundle), *paths, "--top", "3", "--engine", "openvino", "--precision", "fp32"]
    capsys.readouterr()
    assert main([*words, "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row, share in zip(rows, shares, strict=True):
        got = {top["class"]: top["p"] for top in row["top"]}
        assert [got[name] for name in bundle.classes] == pytest.approx(share.tolist(), abs=2e-5)
    right = int((shares.argmax(1) == found.val.labels).sum())
    assert bundle.metrics["correct"] == found.evaluation.correct == right and bundle.metrics["n"] == 6
    about = bundle.provenance.other["probe"]
    assert about["c"] == found.probe.c and about["folds"] == 5 and bundle.provenance.seed == 7
    assert about["weights"]["sha256"] == network.files["weights.safetensors"]["sha256"]
    assert bundle.provenance.precision == "fp32"


def test_the_bundle_is_evaluated_alike_by_torch(network, photos, cache, tmp_path):
    from plusx.evaluation import evaluate

    splits = open_data(photos)
    found = Probing(network, splits, options=FP32).plain(tmp_path / "out")
    assert found is not None and found.views == ()
    theirs = evaluate(found.bundle, splits.val)
    assert theirs.correct == found.evaluation.correct and theirs.nll == pytest.approx(found.evaluation.nll, abs=1e-4)


def test_two_runs_write_the_same_weights_and_data_in_memory_works(cache, tmp_path):
    first = open_bundle(photo_bundle(tmp_path, WORDS))
    digits = open_data("digits")
    rows = np.arange(0, 600)
    splits = replace(digits, train=digits.train.subset(rows), val=digits.val.subset(np.arange(100)))
    one, two = (Probing(first, splits, options=FP32).plain(tmp_path / name) for name in ("a", "b"))
    assert one is not None and two is not None and two.train.computed == 0
    assert (one.probe.weight == two.probe.weight).all() and (one.probe.bias == two.probe.bias).all()
    assert one.evaluation.correct > 60 and one.probe.validation.accuracy > 0.6


def test_views_that_help_are_kept_and_bounded(network, photos, cache, tmp_path):
    probing = Probing(network, open_data(photos), options=FP32)
    plain = probing.plain(tmp_path / "plain")
    assert plain is not None and plain.views == () and len(list(cache.iterdir())) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "EXTRA_IMAGES", 20)
        assert running.tried_views(21) == [] and probing.with_views(plain, tmp_path / "none") is plain
    assert not (tmp_path / "none").exists() and len(list(cache.iterdir())) == 1
    assert [len(group) for group in running.tried_views(200)] == [1, 2], "600 images, the most"
    assert [len(group) for group in running.tried_views(201)] == [1]
    some = probing.with_views(plain, tmp_path / "views")
    assert some is not None and len(list(cache.iterdir())) == 4
    assert some.probe.validation.nll <= plain.probe.validation.nll
    assert (some.views != ()) == (some.probe.validation.nll < plain.probe.validation.nll) == (some is not plain)
    assert (tmp_path / "views").exists() == (some is not plain)


def test_labels_that_contradict_are_said(network, photos, cache, tmp_path):
    copy = (photos / "ant/0.png").read_bytes()
    (photos / "bee/copy.png").write_bytes(copy)
    said: list[str] = []
    assert Probing(network, open_data(photos), options=FP32, say=said.append).plain(tmp_path / "out") is not None
    (line,) = said
    assert "1 image is in two classes" in line and "copy.png" in line and "ant/0.png" in line and "\n" not in line


def test_a_stop_writes_no_bundle_and_keeps_the_vectors(network, photos, cache, tmp_path):
    asked = iter([False] * 8 + [True] * 1000)
    splits = open_data(photos)
    assert Probing(network, splits, options=FP32, stopped=lambda: next(asked)).plain(tmp_path / "out") is None
    assert not (tmp_path / "out").exists()
    again = VectorMaker(network, FP32).vectors(splits.train)
    assert again is not None and again.computed == 21 - 8
