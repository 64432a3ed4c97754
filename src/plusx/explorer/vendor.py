"""Packages that run in the browser. They come from npm, are pinned by hash, and never stand in the repository.

Looked for in the place that the user gives, in plusx's cache, and with `npm pack`; every file is verified each time.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

from plusx import settings
from plusx.errors import PlusxError, RunError
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.locks import replacing

MOST_TAR = 512 << 20
"""More bytes than any package here has unpacked."""
PATIENCE_S = 600


class NpmPackage(NamedTuple):
    """A package of npm: `integrity` is the SHA-512 of its archive as npm writes it, `files` maps the files that are
    needed (below package/) to their SHA-256."""

    version: str
    integrity: str
    most_bytes: int
    files: dict[str, str]


PACKAGES = {
    "pyodide": NpmPackage(
        "314.0.7",
        "sha512-0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A==",
        16 << 20,
        {
            "pyodide.mjs": "6f1d60f7bf529beb300f0f47983c921d3982363640ba20af0e38efdddbc66109",
            "pyodide.asm.mjs": "f7cdc8ece80678ceb712f8e65ebe6d3a83203a180c399865f49612a051693635",
            "pyodide.asm.wasm": "cc36e3cab04fdfc9a63ff13eb52eae2b911bf46c025cc7b281f394bd3de1d5e6",
            "python_stdlib.zip": "fa1957e5777068fc4f7437f96d860ae2fbe9c19732ba06c84e004ec16dd7dd7a",
            "pyodide-lock.json": "5dc2fc119108bc148c7457dc86e7675b5c87e1cafd420b9c34c1eaef7b36c010",
            "package.json": "40ca48e43ce4ddc68412d5b7a7ca9e2477cd4f0e672277ae468ac2245717079b",
        },
    ),
    "onnxruntime-web": NpmPackage(
        "1.30.0",
        "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        48 << 20,
        {
            "dist/ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
            "dist/ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
            "dist/ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
            "package.json": "16f69f755509990539aeb1c8445884960e91adcacab2e8dca8e44ee43601df5c",
        },
    ),
}
"""`files` of a package go into one folder under their last name, so `dist/` is left out there."""


def vendored(package: str, given: Path | None = None) -> Path:
    """A folder with the verified files of a package of PACKAGES, flat: `vendored("pyodide") / "pyodide.mjs"`.

    `given` is an archive as `npm pack` writes it, or a folder with such archives or with the unpacked package. Raises
    PlusxError for a given file that is not the pinned one, RunError where there is neither cache nor npm.
    """
    wanted = PACKAGES[package]
    place = settings.cache_dir() / "vendor" / f"{package}-{wanted.version}"
    if given is not None and (files := _given(package, given)) is not None:
        return _stored(place, files)
    if _is_whole(place, wanted):
        return place
    return _stored(place, _unpacked(package, _packed_by_npm(package)))


def archive_name(package: str) -> str:
    """The name that `npm pack` gives the archive.

    >>> archive_name("pyodide")
    'pyodide-314.0.7.tgz'
    """
    return f"{package}-{PACKAGES[package].version}.tgz"


def _is_whole(folder: Path, wanted: NpmPackage) -> bool:
    try:
        return all(
            hashlib.sha256(read_regular(folder / Path(name).name, wanted.most_bytes)).hexdigest() == digest
            for name, digest in wanted.files.items()
        )
    except OSError:
        return False


def _given(package: str, given: Path) -> dict[str, bytes] | None:
    """The files of the package in the place that the user gave; None for a place of another package. Raises PlusxError."""
    wanted = PACKAGES[package]
    if given.is_dir():
        if (given / archive_name(package)).is_file():
            return _unpacked(package, _read(given / archive_name(package)))
        for folder in (given / package, given):
            if (folder / next(iter(wanted.files))).is_file():
                files = {name: _read(folder / name) for name in wanted.files}
                return _verified(package, files, folder)
        return None
    content = _read(given)
    others = {each.integrity for name, each in PACKAGES.items() if name != package}
    return None if _integrity(content) in others else _unpacked(package, content, given)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MOST_TAR)
    except OSError as error:
        raise PlusxError(
            _("{path} cannot be read ({reason}). Give a file that npm pack wrote.", path=path, reason=error.strerror)
        ) from None


def _integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def _unpacked(package: str, content: bytes, path: Path | None = None) -> dict[str, bytes]:
    """The needed files of an archive; its hash is compared before anything is decompressed. Raises PlusxError."""
    wanted = PACKAGES[package]
    where = path or Path(archive_name(package))
    if _integrity(content) != wanted.integrity:
        raise PlusxError(_not_pinned(package, where))
    found: dict[str, bytes] = {}
    try:
        with gzip.open(io.BytesIO(content)) as packed, tarfile.open(fileobj=io.BytesIO(packed.read(MOST_TAR))) as tar:
            for member in tar:
                name = member.name.removeprefix("package/")
                if name in wanted.files and member.isreg() and member.size <= wanted.most_bytes:
                    file = tar.extractfile(member)
                    found[name] = file.read() if file else b""
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        raise PlusxError(_not_pinned(package, where)) from None
    return _verified(package, found, where)


def _verified(package: str, files: dict[str, bytes], where: Path) -> dict[str, bytes]:
    for name, digest in PACKAGES[package].files.items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != digest:
            raise PlusxError(_not_pinned(package, where))
    return files


def _not_pinned(package: str, where: Path) -> Message:
    return _(
        "{path} is not {package} {version} as it was published. Fetch it with npm pack {package}@{version}.",
        path=where, package=package, version=PACKAGES[package].version,
    )  # fmt: skip


def _packed_by_npm(package: str) -> bytes:
    """The archive, fetched by npm. Raises RunError with the way out where that is impossible."""
    npm = shutil.which("npm")
    if npm is None or settings.offline():
        raise RunError(_absent(package, _("npm is not installed here") if npm is None else _("PLUSX_OFFLINE is set")))
    with tempfile.TemporaryDirectory(prefix="plusx-npm-") as scratch:
        command = [npm, "pack", f"{package}@{PACKAGES[package].version}", "--ignore-scripts", "--silent"]
        try:
            subprocess.run(command, cwd=scratch, check=True, capture_output=True, timeout=PATIENCE_S)
            return read_regular(Path(scratch) / archive_name(package), MOST_TAR)
        except (OSError, subprocess.SubprocessError):
            raise RunError(_absent(package, _("npm could not fetch it"))) from None


def _absent(package: str, reason: Message) -> Message:
    return _(
        "{package} {version} is needed for this, and {reason}. Run npm pack {package}@{version} where there is a network, "
        "and give the file with --vendor {archive}.",
        package=package, version=PACKAGES[package].version, reason=reason, archive=archive_name(package),
    )  # fmt: skip


def _stored(place: Path, files: dict[str, bytes]) -> Path:
    """`files` written into the folder `place`, each whole or not at all. Raises RunError."""
    try:
        for name, content in files.items():
            with replacing(place / Path(name).name) as file:
                file.write(content)
    except OSError as error:
        raise RunError(
            _("{path} cannot be written ({reason}). Set PLUSX_CACHE to a folder with space.",
              path=place, reason=error.strerror)
        ) from None  # fmt: skip
    return place
