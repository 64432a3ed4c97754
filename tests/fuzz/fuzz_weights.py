"""An atheris target over the checkpoint readers: whatever the bytes, a tree of tensors or one WeightsError of one line.

    pip install atheris
    python tests/fuzz/fuzz_weights.py FOLDER tests/fuzz/weights -max_total_time=600 -rss_limit_mb=2000

New inputs go to FOLDER; a crash is written beside it as crash-…, and `python tests/fuzz/fuzz_weights.py crash-…` runs it again.
The corpus in tests/fuzz/weights has one small file a format; `--corpus` writes it anew.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

FORMATS = (
    "safetensors",
    "zip",
    "legacy",
    "model",
    "torchscript",
    "pickle",
    "pickle of tensors",
    "paddle",
    "npz",
    "deflated zip",
)


def check(path: Path) -> None:
    """Reads a file and all of its values. Raises whatever is no clear refusal."""
    from plusx.errors import PlusxError
    from plusx.weights.containers import read

    try:
        found = read(path)
        pending: list[Any] = [found.tree]
        while pending:
            item = pending.pop()
            if isinstance(item, dict | list):
                pending.extend(item.values() if isinstance(item, dict) else item)
            elif hasattr(item, "array"):
                values = item.array()
                if values.shape != item.shape:
                    raise AssertionError(f"{values.shape} was read where {item.shape} was announced")
    except PlusxError as error:
        line = str(error)
        if "\n" in line or not line.isprintable():
            raise AssertionError(f"a refusal that is not one printable line: {line!r}") from error


def write_corpus(folder: Path) -> None:
    """One small file a format, as the tests make them."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "weights"))
    from weight_files import small_files

    with tempfile.TemporaryDirectory() as scratch:
        for name, raw in small_files(Path(scratch)).items():
            if name in FORMATS:
                (folder / name.replace(" ", "-")).write_bytes(raw)


def main() -> None:
    if "--corpus" in sys.argv:
        write_corpus(Path(__file__).parent / "weights")
        return
    import atheris

    with atheris.instrument_imports(include=["plusx.weights.containers", "plusx.pickles"]):
        import plusx.pickles
        import plusx.weights.containers  # noqa: F401

    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "input.bin"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        check(path)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
