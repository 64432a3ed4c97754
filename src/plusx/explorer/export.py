"""The page as a static site: the same files, and plusx itself as a zip that Pyodide runs in a web worker."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from plusx.errors import PlusxError, RunError
from plusx.explorer.site import about, page_files
from plusx.explorer.vendor import vendored
from plusx.explorer.views import answer
from plusx.files import json_text
from plusx.i18n import LANGUAGES, _
from plusx.locks import replacing

SOURCES = (
    "__init__.py", "version.py", "errors.py", "settings.py", "files.py", "i18n", "specs", "graph", "names", "analysis", "text",
    "svg", "explorer/__init__.py", "explorer/views.py", "explorer/switches.py", "explorer/snippets.py",
)  # fmt: skip
"""What `explorer.views` imports, all of it on the standard library alone."""
PYTHON = "plusx.zip"
ROOT = Path(__file__).resolve().parents[1]


def write_site(folder: Path, net: str, vendor: Path | None = None) -> int:
    """Writes the site into a folder that is new, empty, or an earlier site; its size in bytes. Raises PlusxError, RunError."""
    if folder.exists() and not (folder / "about.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise PlusxError(_("{path} exists and is no site of plusx. Give a new folder.", path=folder))
    found = about(static=True, net=net)
    files = {name: file.content for name, file in page_files().items()}
    files["about.json"] = json_text(found).encode()
    files[PYTHON] = python_zip()
    # the first network is there before Python is
    files |= {f"start-{lang}.json": json_text(answer({"net": net, "lang": lang})).encode() for lang in LANGUAGES}
    for package in ("pyodide", *(["onnxruntime-web"] if found["live"] else [])):
        files |= {f"vendor/{package}/{path.name}": path.read_bytes() for path in vendored(package, vendor).iterdir()}
    try:
        for name, content in files.items():
            with replacing(folder / name) as file:
                file.write(content)
    except OSError as error:
        raise RunError(_("{path} cannot be written ({reason}).", path=folder, reason=error.strerror)) from None
    return sum(map(len, files.values()))


def python_zip() -> bytes:
    """The rooms that the page needs, as a zip; the same sources give the same bytes."""
    paths = [path for source in SOURCES for path in [ROOT / source, *(ROOT / source).rglob("*")] if path.is_file()]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(paths):
            if path.suffix in (".py", ".mo"):
                entry = zipfile.ZipInfo(f"plusx/{path.relative_to(ROOT).as_posix()}", (2026, 1, 1, 0, 0, 0))
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return out.getvalue()
