"""Vendored packages: only the pinned bytes are used, wherever they come from."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from plusx.errors import PlusxError, RunError
from plusx.explorer import vendor
from plusx.explorer.vendor import NpmPackage, vendored

FILES = {"one.mjs": b"export default 1\n", "dist/two.wasm": b"\0asm"}


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in {**files, "README.md": b"not needed"}.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The archive of a small package that the table knows; an empty cache; npm that nobody has."""
    content = archive(FILES)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    sums = {name: hashlib.sha256(each).hexdigest() for name, each in FILES.items()}
    monkeypatch.setitem(vendor.PACKAGES, "small", NpmPackage("1.0.0", integrity, 1 << 10, sums))
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLUSX_OFFLINE", raising=False)
    monkeypatch.setattr(vendor.shutil, "which", lambda _name: None)
    return content


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WANTED = {"one.mjs": FILES["one.mjs"], "two.wasm": FILES["dist/two.wasm"]}


def test_an_archive_gives_the_needed_files_and_the_cache_keeps_them(packed: bytes, tmp_path: Path) -> None:
    given = tmp_path / "small-1.0.0.tgz"
    given.write_bytes(packed)
    assert held(vendored("small", given)) == WANTED
    given.unlink()
    assert held(vendored("small")) == WANTED


def test_a_folder_of_archives_and_an_unpacked_package_serve_too(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/small-1.0.0.tgz").write_bytes(packed)
    assert held(vendored("small", tmp_path / "a")) == WANTED
    for name, content in FILES.items():
        path = tmp_path / "node_modules/small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert held(vendored("small", tmp_path / "node_modules")) == WANTED
    assert held(vendored("small", tmp_path / "node_modules/small")) == WANTED


@pytest.mark.parametrize("wrong", [b"", b"not an archive", archive({**FILES, "one.mjs": b"evil"})])
def test_other_bytes_are_refused(packed: bytes, tmp_path: Path, wrong: bytes) -> None:
    given = tmp_path / "small-1.0.0.tgz"
    given.write_bytes(wrong)
    with pytest.raises(PlusxError, match=r"is not small 1\.0\.0 as it was published"):
        vendored("small", given)


def test_an_unpacked_package_with_a_changed_file_is_refused(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "one.mjs").write_bytes(b"evil")
    (tmp_path / "dist/two.wasm").write_bytes(FILES["dist/two.wasm"])
    with pytest.raises(PlusxError, match="as it was published"):
        vendored("small", tmp_path)


def test_a_damaged_cache_is_not_used(packed: bytes, tmp_path: Path) -> None:
    given = tmp_path / "small-1.0.0.tgz"
    given.write_bytes(packed)
    (vendored("small", given) / "one.mjs").write_bytes(b"evil")
    with pytest.raises(RunError, match=r"npm pack small@1\.0\.0.*--vendor small-1\.0\.0\.tgz"):
        vendored("small")


def test_an_archive_of_another_known_package_is_passed_over(
    packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vendor.PACKAGES, "other", NpmPackage("2", "sha512-other", 1, {"x": "0"}))
    given = tmp_path / "small-1.0.0.tgz"
    given.write_bytes(packed)
    with pytest.raises(RunError, match="other 2 is needed"):
        vendored("other", given)


def test_npm_is_asked_last_and_not_at_all_offline(
    packed: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def npm(command: list[str], *, cwd: str, **_more: object) -> None:
        asked.append(command)
        (Path(cwd) / "small-1.0.0.tgz").write_bytes(packed)

    monkeypatch.setattr(vendor.shutil, "which", lambda _name: "/usr/bin/npm")
    monkeypatch.setattr(vendor.subprocess, "run", npm)
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    with pytest.raises(RunError, match="PLUSX_OFFLINE is set"):
        vendored("small")
    monkeypatch.delenv("PLUSX_OFFLINE")
    assert held(vendored("small")) == WANTED
    vendored("small")
    assert [command[1:3] for command in asked] == [["pack", "small@1.0.0"]]


def test_npm_that_fails_gives_the_way_out(packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def npm(*_command: object, **_more: object) -> None:
        raise subprocess.CalledProcessError(1, "npm")

    monkeypatch.setattr(vendor.shutil, "which", lambda _name: "/usr/bin/npm")
    monkeypatch.setattr(vendor.subprocess, "run", npm)
    with pytest.raises(RunError, match="npm could not fetch it"):
        vendored("small")
