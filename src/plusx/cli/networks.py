"""What NETWORK means on the command line: words, a spec file, a bundle or a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from plusx.errors import BundleError, GeometryError
from plusx.i18n import _
from plusx.specs import ResNetSpec, parse, read_spec_file

MOST_BYTES = 1 << 20


def add_network(parser: argparse.ArgumentParser) -> None:
    """The positional NETWORK of a command: one or more words."""
    parser.add_argument(
        "network", nargs="+", metavar="NETWORK", help=_("a preset and key=value words, a file, a bundle or a run")
    )


def read_network(words: list[str]) -> ResNetSpec:
    """The spec that the words name. Raises SpecError, BundleError."""
    path = Path(words[0])
    if path.suffix in (".toml", ".json") and path.is_file():
        return _with(read_spec_file(path), words[1:])
    if path.is_dir():
        return _with(_spec_of_directory(path), words[1:])
    return parse(" ".join(words))


def _with(spec: ResNetSpec, words: list[str]) -> ResNetSpec:
    if not words:
        return spec
    from plusx.specs.parsing import read_words

    return spec.replace(**read_words(words))


def _spec_of_directory(path: Path) -> ResNetSpec:
    for name in ("bundle.json", "run.json"):
        file = path / name
        if file.is_file() and file.stat().st_size <= MOST_BYTES:
            try:
                return ResNetSpec.from_dict(json.loads(file.read_text(encoding="utf-8"))["spec"])
            except (ValueError, KeyError, TypeError):
                raise BundleError(
                    _("{file} contains no network. Give a bundle or a run that plusx wrote.", file=file)
                ) from None
    raise BundleError(
        _(
            "{path} is neither a bundle nor a run, because it has no bundle.json and no run.json. Give a preset, a file, a "
            "bundle or a run.",
            path=path,
        )
    )


def read_size(text: str | None) -> tuple[int, int] | None:
    """An input size: `224` or `480x640` (height x width). Raises GeometryError."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 0 < int(part) <= 1_000_000 for part in parts):
        raise GeometryError(
            _(
                "--size {text!r} is not a size. Write a side in pixels like 224, or height x width like 480x640.",
                text=text,
            )
        )
    return int(parts[0]), int(parts[-1])
