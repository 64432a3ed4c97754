"""What is kept of data between starts is hashed, and notices files that changed without changing their size."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from making import png, samples, tar

from data.test_data_parquet import hugging_face
from plusx.data import Splits, indexing, open_data
from plusx.data import parquet as parquet_module


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PLUSX_CACHE", str(folder))
    return folder


def content(splits: Splits) -> list[tuple[str, str, bytes]]:
    """Name, class and bytes of every image."""
    return [
        (part.names[i], part.classes[part.labels[i]], part.encoded(i))
        for part in (splits.train, splits.val)
        for i in range(len(part))
    ]


def folder(root: Path) -> Path:
    for number in range(12):
        path = root / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return root


def source(kind: str, root: Path) -> Path:
    if kind == "folder":
        return folder(root / "photos")
    return tar(root / "a.tar", samples(12)) if kind == "tar" else hugging_face(root / "a.parquet")


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("kind", ["tar", "parquet", "folder"])
def test_no_bit_of_a_kept_index_turns_unseen(
    kind: str, hashed: bool, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made again, or gives the same data. Without the hash, other labels, or other images, come out."""
    data = source(kind, tmp_path)
    wanted = content(open_data(data))
    (kept,) = cache.rglob("*.json")
    raw, draw, wrong = kept.read_bytes(), random.Random(0), 0
    start = 0 if hashed else raw.index(b"\n") + 1
    for _ in range(60):
        at = draw.randrange(start, len(raw))
        turned = raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(7)]) + raw[at + 1 :]
        if not hashed:
            rest = turned.partition(b"\n")[2]
            turned = indexing.hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest
        kept.write_bytes(turned)
        try:
            wrong += content(open_data(data)) != wanted
        except Exception:
            assert not hashed
            wrong += 1
    assert (wrong == 0) == hashed or kind == "folder"  # a folder's labels are its own


@pytest.mark.parametrize("keeps_time", [False, True])
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_images_that_changed_without_changing_their_size_are_other_data(
    kind: str, keeps_time: bool, tmp_path: Path
) -> None:
    """Also where their time was set back (cp -p, rsync -t): the inode's time tells. Touched only, they are the same."""
    data = source(kind, tmp_path)
    first = open_data(data)
    victim = data / "a/00.png" if kind == "folder" else data
    raw = victim.read_bytes()
    end = raw.index(b"IEND") + 7  # of a checksum, which decoders do not compare
    changed = raw[:end] + bytes([raw[end] ^ 1]) + raw[end + 1 :]
    victim.write_bytes(raw)
    assert open_data(data).train.fingerprint == first.train.fingerprint
    about = victim.stat()
    victim.write_bytes(changed)
    if keeps_time:
        os.utime(victim, ns=(about.st_atime_ns, about.st_mtime_ns))
    again = open_data(data)
    assert {again.train.fingerprint, again.val.fingerprint} != {first.train.fingerprint, first.val.fingerprint}


def test_a_copy_of_a_folder_is_the_same_data(tmp_path: Path) -> None:
    """Neither path nor times count, so a folder may be moved to another machine."""
    first, second = folder(tmp_path / "one/photos"), folder(tmp_path / "two/photos")
    os.utime(second / "a/00.png", (1, 1))
    assert open_data(first).train.fingerprint == open_data(second).train.fingerprint


def test_packs_of_killed_starts_are_swept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pid = hugging_face(tmp_path / "a.parquet"), os.fork()
    if not pid:
        monkeypatch.setattr(parquet_module, "_is_same", lambda *_: time.sleep(600))
        open_data(path)
        os._exit(0)
    try:
        while not [part for part in cache.glob("parquet/.*.plusx-part") if part.stat().st_size]:
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
            time.sleep(0.01)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    open_data(path)
    assert sorted(file.suffix for file in (cache / "parquet").iterdir()) == [".json", ".pack"]


def test_a_pack_that_is_there_is_not_replaced_under_who_reads_it(tmp_path: Path, cache: Path) -> None:
    """Two first starts at once pack the same file; a pack that was changed is written again."""
    path = hugging_face(tmp_path / "a.parquet")
    first = open_data(path)
    for index in cache.rglob("*.json"):
        index.unlink()
    wanted = content(open_data(path))
    assert content(first) == wanted
    (pack,) = cache.rglob("*.pack")
    raw = pack.read_bytes()
    pack.write_bytes(b"x" * len(raw))
    assert content(open_data(path)) == wanted and pack.read_bytes() == raw
