"""A reader beside a training reads one version of a bundle, and a result is stored beside its own weights alone."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from bundles.test_bundles_bundle import save
from plusx.bundles import bundle as bundle_module
from plusx.bundles import open_bundle
from plusx.bundles.engines import put_engine, put_file
from plusx.bundles.writing import sole_writer
from plusx.errors import BundleError
from plusx.locks import acquire


def value(bundle: bundle_module.Bundle) -> float:
    """What is in the weights, which every writer makes equal to the metric."""
    found = {float(number) for number in np.unique(bundle.weights()["conv1.weight"])}
    assert found == {bundle.metrics["top1"]}
    return bundle.metrics["top1"]


def test_an_opened_bundle_stays_what_it_was(tmp_path: Path) -> None:
    opened = open_bundle(save(tmp_path / "b", 1.0))
    for new in (2.0, 3.0):
        save(tmp_path / "b", new)
        assert value(opened) == 1.0 and value(open_bundle(tmp_path / "b")) == new
    shutil.rmtree(tmp_path / "b")
    assert value(opened) == 1.0
    with pytest.raises(BundleError, match="missing"):  # another process, which has nothing open
        pickle.loads(pickle.dumps(opened)).weights()


def test_a_file_changed_in_place_is_told(tmp_path: Path) -> None:
    opened = open_bundle(save(tmp_path / "b"))
    with (tmp_path / "b/weights.safetensors").open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(BundleError, match=r"weights.safetensors is damaged \(its sha256"):
        opened.weights()


@pytest.mark.parametrize("tries", [50, 1])
@pytest.mark.parametrize("step", ["read_manifest", "OpenFiles", "current_location"])
def test_replaced_while_it_is_opened(step: str, tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a better one at three moments, three times in a row. Opened once only, it would be called damaged."""
    path, real, times = save(tmp_path / "b", 1.0), getattr(bundle_module, step), [3]

    def replacing(*arguments: object) -> object:
        found = real(*arguments)
        if times[0]:
            times[0] -= 1
            monkeypatch.setattr(bundle_module, step, real)
            save(path, 5.0 - times[0])
            monkeypatch.setattr(bundle_module, step, replacing)
        return found

    monkeypatch.setattr(bundle_module, step, replacing)
    monkeypatch.setattr(bundle_module, "_MOST_TRIES", tries)
    try:
        assert value(open_bundle(path)) in (1.0, 3.0, 4.0, 5.0)
    except BundleError:
        assert tries == 1
    else:
        assert tries == 50 or step != "read_manifest"


def test_a_reader_and_a_writer_two_hundred_times(tmp_path: Path) -> None:
    path, pid = save(tmp_path / "b", 0.0), os.fork()
    if not pid:
        try:
            for new in range(1, 201):
                save(path, float(new))
        finally:
            os._exit(0)
    seen = [0.0]
    while seen[-1] < 200:
        seen.append(value(open_bundle(path)))
    os.waitpid(pid, 0)
    assert seen == sorted(seen) and len(set(seen)) > 5


def test_a_result_is_stored_beside_its_own_weights_alone(tmp_path: Path) -> None:
    """What was made from the old ones is refused, and the new bundle stays as it was written."""
    path = save(tmp_path / "b", 1.0)
    old = open_bundle(path)
    put_file(old, "engines/tuned.json", b"{}")
    put_engine(old, "x-fp32", {}, {"model": b"first"})
    assert set(open_bundle(path).files) == {
        "weights.safetensors", "engines/tuned.json", "engines/x-fp32/model", "engines/x-fp32/engine.json",
    }  # fmt: skip
    save(path, 2.0)
    before = {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for store in (lambda: put_engine(old, "x-fp32", {}, {"m": b""}), lambda: put_file(old, "engines/tuned.json", b"")):
        with pytest.raises(BundleError, match=r"was replaced by other weights meanwhile, so nothing was stored\. Run"):
            store()
    assert {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    put_engine(open_bundle(path), "x-fp32", {}, {"model": b"second"})
    assert open_bundle(path).read("engines/x-fp32/model") == b"second"


def test_writers_of_a_bundle_take_turns_and_leave_no_lock(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "b"):
        assert (tmp_path / ".b.lock").exists()
    assert list(tmp_path.iterdir()) == []
    lock = acquire(tmp_path / ".b.lock")
    pid = os.fork()
    if not pid:
        try:
            save(tmp_path / "b", 2.0)
        finally:
            os._exit(0)
    assert os.waitpid(pid, os.WNOHANG)[0] == 0
    assert not (tmp_path / "b").exists()
    lock.release()
    os.waitpid(pid, 0)
    assert value(open_bundle(tmp_path / "b")) == 2.0
