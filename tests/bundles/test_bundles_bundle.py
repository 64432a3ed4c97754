"""A bundle comes back as it went in, or says what is wrong; the old one stands until the new one does."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import (
    DataRecord,
    PartRecord,
    Provenance,
    atomic,
    bytes_to_tensors,
    is_bundle,
    open_bundle,
    save_bundle,
    tensors_to_bytes,
)
from plusx.errors import BundleError, RunError
from plusx.images import Preprocessing
from plusx.specs import parse
from waiting import HANG

PRE = Preprocessing("L", 8, 8, mean=(0.3,), std=(0.2,))
SPEC = parse("resnet18 classes=2 in_channels=1")
MADE = Provenance(
    network="resnet18", seed=3, data=DataRecord("digits", val=PartRecord(7, "f"), val_split=0.2), other={"run": "here"}
)


def tensors(value: float = 1.0) -> dict[str, np.ndarray]:
    return {
        "conv1.weight": np.full((4, 1, 3, 3), value, np.float32),
        "bn1.num_batches_tracked": np.array(7, np.int64),
        "fc.weight": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not contiguous
    }


def save(path: Path, value: float = 1.0) -> Path:
    return save_bundle(path, SPEC, ("ant", "蜂"), PRE, tensors(value), {"top1": value}, MADE)


def test_round_trip(tmp_path):
    bundle = open_bundle(save(tmp_path / "b"))
    assert bundle.spec == SPEC and bundle.classes == ("ant", "蜂")
    assert bundle.preprocessing == PRE and bundle.metrics == {"top1": 1.0} and bundle.provenance == MADE
    weights = bundle.weights()
    for name, tensor in tensors().items():
        assert weights[name].dtype == tensor.dtype and weights[name].shape == tensor.shape
        assert np.array_equal(weights[name], tensor)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"] and is_bundle(tmp_path / "b")


def test_the_layout_is_the_pinned_one(tmp_path):
    path = save(tmp_path / "b")
    found = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
    assert found["schema"] == "plusx.bundle/1"
    assert {"spec", "classes", "preprocessing", "metrics", "provenance", "files"} < set(found)
    raw = (path / "weights.safetensors").read_bytes()
    entry = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    assert found["files"] == {"weights.safetensors": entry}
    assert sorted(p.name for p in path.iterdir()) == ["bundle.json", "weights.safetensors"]


def test_same_content_same_bytes(tmp_path):
    a, b = save(tmp_path / "a"), save(tmp_path / "b")
    for name in ("bundle.json", "weights.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes()


def test_every_flipped_byte_and_every_cut_is_found(tmp_path):
    path = save(tmp_path / "b")
    for name in ("bundle.json", "weights.safetensors"):
        raw = (path / name).read_bytes()
        for at in range(0, len(raw), 1 if name == "bundle.json" else 5):
            (path / name).write_bytes(raw[:at] + bytes([raw[at] ^ 0x04]) + raw[at + 1 :])
            try:
                found = open_bundle(path)
            except BundleError as error:
                assert "\n" not in str(error) and str(path) in str(error)
            else:  # white space between JSON's words carries nothing
                assert name == "bundle.json" and raw[at] in b" \n" and found.weights().keys() == tensors().keys()
        for cut in range(0, len(raw), 7):
            (path / name).write_bytes(raw[:cut])
            with pytest.raises(BundleError):
                open_bundle(path)
        (path / name).unlink()
        with pytest.raises(BundleError, match=r"no bundle|missing|cannot be read"):
            open_bundle(path)
        (path / name).write_bytes(raw)
    open_bundle(path)


def rewritten(path: Path, **changes: object) -> Path:
    """bundle.json with other fields and a hash that fits: what another writer, or an attacker, would make."""
    found = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
    found.update(changes)
    found[atomic._DIGEST] = atomic._digest(found)
    (path / "bundle.json").write_text(json.dumps(found), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "plusx.bundle/2"}, "newer than this plusx. Upgrade"),
        ({"schema": "plusx.run/1"}, "instead of 'plusx.bundle/1'"),
        ({"schema": 1}, "instead of"),
        ({"files": {}}, "weights.safetensors"),
        ({"files": []}, "no valid list of files"),
        ({"files": {"../../etc/passwd": {"bytes": 1, "sha256": "x"}}}, "leads out of"),
        ({"files": {"/etc/passwd": {"bytes": 1, "sha256": "x"}}}, "leads out of"),
        ({"files": {"weights.safetensors": {"bytes": "1", "sha256": "x"}}}, "no valid list"),
        ({"classes": None}, "fields of another kind"),
        ({"spec": []}, "fields of another kind"),
        ({"spec": {"stem": "depe"}}, "cannot be used. [Uu]nknown stem 'depe'"),
        ({"provenance": {"data": None, "seed": "7"}}, "fields of another kind"),
        ({"provenance": {"threads": [1]}}, "fields of another kind"),
        ({"provenance": []}, "fields of another kind"),
        ({"preprocessing": {"mode": "L"}}, "bundle.json cannot be used: it (lacks|holds fields)"),
    ],
)
def test_strange_manifests_are_one_line(tmp_path, changes, words):
    path = rewritten(save(tmp_path / "b"), **changes)
    with pytest.raises(BundleError, match=words) as caught:
        open_bundle(path)
    assert "\n" not in str(caught.value)


def test_a_run_gives_its_best_bundle(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(BundleError, match="has no bundle yet"):
        open_bundle(tmp_path)
    save(tmp_path / "bundle", 3.0)
    assert open_bundle(tmp_path).metrics == {"top1": 3.0}
    with pytest.raises(BundleError, match="no bundle at"):
        open_bundle(tmp_path / "nowhere")


def test_it_never_overwrites_what_is_no_bundle(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dear.jpg").touch()
    (tmp_path / "file").touch()
    for name in ("photos", "file"):
        with pytest.raises(BundleError, match="is not a bundle"):
            save(tmp_path / name)
    assert (tmp_path / "photos" / "dear.jpg").exists()
    (tmp_path / "empty").mkdir()
    assert open_bundle(save(tmp_path / "empty")).metrics == {"top1": 1.0}


class Killed(BaseException):
    """Not an Exception: nothing in plusx may catch it, as nothing catches kill -9."""


def kill_at(monkeypatch, nth: int, before: bool) -> None:
    count = 0

    def stopping(real):
        def call(*args):
            nonlocal count
            count += 1
            if before and count == nth:
                raise Killed
            answer = real(*args)
            if not before and count == nth:
                raise Killed
            return answer

        return call

    for name in ("_fsync", "_rename", "_remove"):
        monkeypatch.setattr(atomic, name, stopping(getattr(atomic, name)))


def test_killed_at_any_step_the_old_or_the_new_one_stands(tmp_path, monkeypatch):
    seen: set[float] = set()
    for nth in range(1, 40):
        for before in (True, False):
            path = save(tmp_path / f"b{nth}{before}", 1.0)
            with monkeypatch.context() as patch:
                kill_at(patch, nth, before)
                try:
                    save(path, 2.0)
                except Killed:
                    pass
                else:
                    assert nth > 8, "too few steps were stopped"
                    assert seen == {1.0, 2.0}
                    return
            assert open_bundle(path).weights()["conv1.weight"].flat[0] == open_bundle(path).metrics["top1"]
            with monkeypatch.context() as patch, pytest.raises(Killed):  # and once more, after it cleared up
                kill_at(patch, 3, before)
                save(path, 2.0)
            value = open_bundle(path).metrics["top1"]
            assert open_bundle(path).weights()["conv1.weight"].flat[0] == value
            seen.add(value)
            assert open_bundle(save(path, 3.0)).metrics["top1"] == 3.0
            assert not [p for p in tmp_path.iterdir() if p.name.startswith(f".b{nth}{before}")], "left-overs"
    pytest.fail("the writer never came to its end")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_keeps_the_old(tmp_path, monkeypatch, code):
    path = save(tmp_path / "b", 1.0)
    for name in ("_fsync", "_rename"):
        with monkeypatch.context() as patch:

            def refuse(*_):
                raise OSError(code, os.strerror(code))

            patch.setattr(atomic, name, refuse)
            with pytest.raises(RunError, match="disk is full" if code in (28, 122) else "cannot be written") as caught:
                save(path, 2.0)
            assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
        assert open_bundle(path).metrics == {"top1": 1.0}
        assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_real_limit_on_file_size(tmp_path):
    """RLIMIT_FSIZE: the kernel, not a mock, cuts the write."""
    path = save(tmp_path / "b", 1.0)
    script = (
        "import resource, numpy as np; from pathlib import Path; from plusx.bundles import save_bundle\n"
        "from plusx.images import Preprocessing; from plusx.errors import RunError; from plusx.specs import ResNetSpec\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "try: save_bundle(Path(%r), ResNetSpec(), ['a'], Preprocessing('RGB', 8, 8), {'w': np.zeros(10**6)})\n"
        "except RunError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script % str(path)], capture_output=True, text=True, timeout=HANG)
    assert "Raise the limit (ulimit -f)" in done.stdout and not done.stderr
    assert open_bundle(path).metrics == {"top1": 1.0}


def test_tensors_keep_shape_type_and_values():
    rows = {
        "0-d": np.array(3, np.int64),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "strided": np.arange(10, dtype=np.float64)[::3],
        "empty": np.zeros((0, 4), np.float16),
        "bytes": np.arange(256, dtype=np.uint8),
        "no": np.array([True, False]),
    }
    again = bytes_to_tensors(tensors_to_bytes(rows), "x")
    for name, tensor in rows.items():
        assert again[name].shape == tensor.shape and again[name].dtype == tensor.dtype, name
        assert np.array_equal(again[name], tensor), name
    with pytest.raises(BundleError, match="complex128"):
        tensors_to_bytes({"x": np.zeros(2, np.complex128)})
    for raw in (b"", b"\xff" * 8, tensors_to_bytes(rows)[:-1]):
        with pytest.raises(BundleError, match="x is not a complete safetensors file"):
            bytes_to_tensors(raw, "x")


def test_no_torch():
    script = (
        "import sys, plusx.bundles, plusx.metrics, plusx.data, plusx.images, safetensors.numpy\n"
        "plusx.bundles.tensors_to_bytes({}); plusx.data.open_data('digits')\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout.strip() == "False"
