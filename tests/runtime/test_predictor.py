"""Predicting without torch: the same answers, rows for what cannot be read, whatever is given as an image."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import plusx
from plusx.bundles import open_bundle
from plusx.bundles.engines import put_engine
from plusx.deploy.reference import Reference
from plusx.errors import BundleError, DataError, MissingExtra, SpecError
from plusx.images import decode, resize_crop
from plusx.runtime import Item, cache, planning
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import EngineOptions
from plusx.runtime.planning import choose_plan
from plusx.runtime.predicting import softmax
from shipping import copy_bare, fresh

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")


def by_hand(bundle: Path, paths: list[Path]) -> np.ndarray:
    opened = open_bundle(bundle)
    pre = opened.preprocessing
    images = [resize_crop(decode(p, pre.mode, at_least_px=pre.decode_px), pre) for p in paths]
    return softmax(Reference(opened)(np.stack(images)))


def test_same_as_torch_on_digits(run: Path, digits: list[Path]) -> None:
    want, rows = by_hand(run, digits), plusx.predictor(run, precision="fp32", top=10)(digits)
    assert [row.path for row in rows] == [str(p) for p in digits]
    for shares, row in zip(want, rows, strict=True):
        assert [name for name, _ in row.top] == [str(i) for i in np.argsort(-shares, kind="stable")]
        assert np.allclose([p for _, p in row.top], np.sort(shares)[::-1], atol=1e-5)
    right = sum(row.top[0][0] == p.stem[-1] for row, p in zip(rows, digits, strict=True))
    assert right >= 38, "the network has learnt nothing, so agreement means nothing"


def test_same_as_torch_on_jpegs(photos: Path, jpegs: list[Path]) -> None:
    """Odd sizes, scaled decoding, three channels."""
    want, rows = by_hand(photos, jpegs), plusx.predictor(photos)(jpegs)
    got = np.array([[dict(row.top)[name] for name in open_bundle(photos).classes] for row in rows])
    assert np.abs(got - want).max() < 1e-5
    assert got.std(axis=0).max() > 1e-3


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_no_torch_is_imported(engine: str, run: Path, digits: list[Path], tmp_path: Path) -> None:
    """In a new interpreter where torch is installed. ONNX Runtime's network comes from an export made here."""
    if engine == "onnxruntime":
        from plusx.deploy import ExportConfig, export

        pytest.importorskip("onnxruntime")
        export(run, ExportConfig("onnx"))
    code = """
import sys
from plusx.cli.main import main
code = main(sys.argv[1:])
print("loaded", [name for name in ("torch", "torchvision", "openvino_telemetry", "pandas", "scipy") if sys.modules.get(name)])
sys.exit(code)
"""
    words = ["predict", str(run), *map(str, digits[:3]), "--engine", engine, "--precision", "fp32", "--format", "jsonl"]
    lines = fresh(code, *words).splitlines()
    assert lines[-1] == "loaded []"
    assert [json.loads(line)["top"][0]["class"] for line in lines[:3]] == [p.stem[-1] for p in digits[:3]]
    assert importlib_finds_torch()


def importlib_finds_torch() -> bool:
    """Else the test above would pass by itself."""
    import importlib.util

    return importlib.util.find_spec("torch") is not None


def test_images_may_be_paths_bytes_or_arrays(photos: Path, jpegs: list[Path]) -> None:
    predict = plusx.predictor(photos)
    path = jpegs[0]
    given = [path, str(path), path.read_bytes(), decode(path, "RGB", at_least_px=40)]
    rows = predict(given)
    assert len({row.top for row in rows}) == 1
    assert [row.path for row in rows] == [str(path), str(path), "#2", "#3"]
    assert predict(path) == rows[:1]
    assert predict([]) == []


def test_bad_images_are_rows(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(jpegs[0].read_bytes()[:900])
    float_array = np.zeros((4, 4, 3), np.float32)
    rows = plusx.predictor(photos)(
        [torn, jpegs[0], tmp_path / "none.png", b"", float_array, np.zeros((0, 4, 3), np.uint8), 7]
    )  # type: ignore[list-item]
    assert [row.error is None for row in rows] == [False, True, False, False, False, False, False]
    reasons = [
        "the JPEG is damaged",
        "cannot be read",
        "the file is empty",
        "Give uint8 (h, w, 3)",
        "Give uint8",
        "int is not an image",
    ]
    for row, reason in zip([r for r in rows if r.error], reasons, strict=True):
        assert reason in (row.error or "")
        assert row.top == ()


def test_answers_do_not_depend_on_neighbours_or_workers(photos: Path, jpegs: list[Path]) -> None:
    alone = [plusx.predictor(photos, threads=1)(path)[0] for path in jpegs]
    assert plusx.predictor(photos, threads=1)(jpegs) == alone
    for row, other in zip(plusx.predictor(photos, threads=3)(jpegs), alone, strict=True):
        assert [name for name, _ in row.top] == [name for name, _ in other.top]


def test_exact_decode_changes_what_scaled_decoding_does(photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.jpg")
    quick, exact = (plusx.predictor(photos, exact_decode=flag)(tmp_path / "large.jpg") for flag in (False, True))
    assert quick[0].top != exact[0].top


def test_items_are_taken_only_as_they_are_needed(photos: Path, jpegs: list[Path]) -> None:
    """Bounded work ahead: the source is never read to its end before rows come out."""
    predict = plusx.predictor(photos, threads=2)
    taken = 0

    def endless():
        nonlocal taken
        while taken < 5000:
            taken += 1
            yield Item("x", jpegs[0])

    rows = predict.stream(endless())
    for _ in range(50):
        next(rows)
    assert taken <= 50 + (4 * 2 + 1) * predict.plan.batch * 2
    rows.close()


# ---- the cache ----


def test_the_second_start_compiles_nothing(
    photos: Path, jpegs: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from plusx.runtime import with_openvino

    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path))
    first = plusx.predictor(photos)(jpegs)
    (kept,) = (tmp_path / "compiled").iterdir()
    monkeypatch.setattr(with_openvino, "source_model", lambda *a: pytest.fail("compiled again"))
    assert plusx.predictor(photos)(jpegs) == first
    whole = kept.read_bytes()
    for damage in (whole[:-7], b"", whole[:9000] + b"?" + whole[9001:]):
        kept.write_bytes(damage)
        assert cache.load(kept.stem) is None
    with pytest.raises(pytest.fail.Exception):  # a damaged one is not believed
        plusx.predictor(photos)


def test_other_weights_are_another_key(
    photos: Path, jpegs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bundles of one architecture must not share a compiled network."""
    from plusx.bundles import save_bundle

    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    one = open_bundle(photos)
    changed = {key: value * 1.5 if key == "fc.weight" else value for key, value in one.weights().items()}
    two = save_bundle(tmp_path / "two", one.spec, one.classes, one.preprocessing, changed)
    assert plusx.predictor(photos)(jpegs) != plusx.predictor(two)(jpegs)
    assert len(list((tmp_path / "cache" / "compiled").iterdir())) == 2


def test_an_unwritable_cache_is_no_obstacle(
    photos: Path, jpegs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "file"))
    assert plusx.predictor(photos)(jpegs[0])[0].error is None


def test_old_networks_leave_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path))
    for i in range(cache.MOST_NETWORKS + 3):
        cache.store(f"{i:032d}", b"network")
    assert len(list((tmp_path / "compiled").iterdir())) == cache.MOST_NETWORKS


# ---- what computes ----


def test_a_tampered_bundle_is_found(photos: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(photos, tmp_path / "copy")
    raw = bytearray((copy / "weights.safetensors").read_bytes())
    raw[-5] ^= 1
    (copy / "weights.safetensors").write_bytes(raw)
    with pytest.raises(BundleError, match=r"weights.safetensors is damaged"):
        plusx.predictor(copy)


def test_words_are_checked(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"unknown engine 'openvio'\. Did you mean 'openvino'"):
        plusx.predictor(photos, engine="openvio")
    with pytest.raises(SpecError, match="unknown precision 'fp16'"):
        plusx.predictor(photos, precision="fp16")
    with pytest.raises(DataError, match="top=0 names no class"):
        plusx.predictor(photos, top=0)
    with pytest.raises(
        BundleError, match=r"has no int8 network for openvino \(it has: none\)\. plusx export .* --precision int8"
    ):
        plusx.predictor(photos, precision="int8")
    with pytest.raises(BundleError, match="has no fp32 network for onnxruntime"):
        plusx.predictor(photos, engine="onnxruntime")
    monkeypatch.setattr(planning, "installed", lambda name: False)
    with pytest.raises(MissingExtra, match=r"pip install 'plusx\[cpu\]'"):
        plusx.predictor(photos)


def test_a_missing_engine_is_one_line(photos: Path) -> None:
    code = "import sys; sys.modules['openvino'] = None\nfrom plusx.cli.main import main; sys.exit(main(sys.argv[1:]))"
    out = fresh(code, "predict", str(photos), "x.jpg", "--engine", "openvino", fails=True)
    assert out.strip() == "plusx: openvino is not installed. Install it with pip install 'plusx[cpu]'."


def test_auto_takes_what_was_proven_and_tuned(run: Path, tmp_path: Path) -> None:
    """fp32 until an export has proven something quicker; a measurement of this processor before all."""
    path = copy_bare(run, tmp_path / "bundle")
    bare = open_bundle(path)
    plan = choose_plan(bare, EngineOptions(threads=2))
    assert plan == ExecutionPlan("openvino", "fp32", plan.batch, 2, 2)
    put_engine(bare, "openvino-int8", {"weights_sha256": bare.weights_sha256}, {})
    assert choose_plan(open_bundle(path), EngineOptions(threads=2)).precision == "int8"
    assert choose_plan(open_bundle(path), EngineOptions(precision="fp32", threads=2)).precision == "fp32"


def test_small_networks_get_batches_and_large_ones_do_not(run: Path) -> None:
    bundle = open_bundle(run)
    large = replace(
        bundle,
        spec=plusx.spec("resnet50"),
        preprocessing=replace(bundle.preprocessing, crop_px=224),
        files={},
    )
    bare = replace(bundle, files={})
    small, big = (choose_plan(each, EngineOptions("openvino")).batch for each in (bare, large))
    assert (small > 8, big) == (True, 1)


def test_answers_that_are_no_numbers_are_rows_with_a_reason(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    from plusx.bundles import save_bundle

    found = open_bundle(photos)
    weights = {key: value + np.float32("nan") if key == "fc.bias" else value for key, value in found.weights().items()}
    broken = save_bundle(tmp_path / "broken", found.spec, found.classes, found.preprocessing, weights)
    (row,) = plusx.predictor(broken)(jpegs[0])
    assert (row.error, row.top) == ("The network's output is not finite. Check the bundle's weights.", ())


def test_a_small_range_in_16_bits_is_said_once(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from PIL import Image

    caplog.set_level(logging.WARNING, "plusx")

    for i, top in enumerate((65535, 4095, 4095)):
        values = np.random.default_rng(i).integers(0, top + 1, (64, 64)).astype(np.uint16)
        values[0, 0] = top
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    plusx.predictor(photos, threads=1)([tmp_path / f"{i}.png" for i in range(3)])
    (said,) = [record.getMessage() for record in caplog.records if record.name == "plusx"]
    assert (
        f"{tmp_path}/1.png has 16 bits a channel and no value above 4095 of 65535" in said
        and "17 of 256 levels" in said
    )
