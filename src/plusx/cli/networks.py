"""What NETWORK and SOURCE mean on the command line: words, a spec file, a bundle, a run or a weights file of any family."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plusx.errors import BundleError, GeometryError, SpecError, WeightsError
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec, parse, read_spec_file
from plusx.specs.text import read_words

if TYPE_CHECKING:
    from plusx.bundles import Bundle
    from plusx.weights.identification import Identification

MOST_BYTES = 1 << 20
SOURCE = _("a bundle, a run or a weights file")


def add_network(parser: argparse.ArgumentParser) -> None:
    """The positional NETWORK of a command: one or more words; and --key."""
    parser.add_argument(
        "network",
        nargs="+",
        metavar="NETWORK",
        help=_("a preset and key=value words, a .toml or .json file, a bundle, a run or a weights file"),
    )
    add_key(parser)


def add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key", metavar="PATH", help=_("which network of a weights file that holds several, like model_ema")
    )


def add_words(parser: argparse.ArgumentParser) -> None:
    """--network, beside a positional `words`: what a file does not tell."""
    parser.add_argument(
        "--network", metavar="WORDS", help=_("what FILE holds, like 'resnet50 stride_in=1x1' (default: what it tells)")
    )


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """What only a bundle knows, for commands that take a weights file in its place."""
    add = parser.add_argument
    add("--labels", metavar="FILE|imagenet-1k", help=_("of a weights file: names of its classes"))
    add(
        "--preprocessing",
        metavar="NAME|FILE",
        help=_("of a weights file: imagenet, bicubic, cifar, detectron, keras or a JSON file (default: its family's)"),
    )
    add_key(parser)


def add_source(parser: argparse.ArgumentParser, name: str = "source", metavar: str = "SOURCE") -> None:
    """The positional SOURCE of a command that needs trained weights, and the options for a weights file."""
    parser.add_argument(name, metavar=metavar, help=SOURCE)
    parser.add_argument(
        "--network", metavar="WORDS", help=_("of a weights file: what it does not tell, like norm=group8, or its whole network")
    )  # fmt: skip
    add_file_options(parser)


def read_network(words: list[str], key: str | None = None) -> ResNetSpec:
    """The spec that the words name. Raises SpecError, BundleError, WeightsError."""
    path = Path(words[0])
    if path.suffix in (".toml", ".json") and path.is_file():
        spec = _with(read_spec_file(path), words[1:])
    elif path.is_dir():
        spec = _with(_spec_of_directory(path), words[1:])
    elif path.is_file():
        return _spec_of_weights(path, words[1:], key)
    elif _is_path(words[0]):
        raise WeightsError(_("There is no file {path}. Check the path.", path=path))
    else:
        spec = parse(" ".join(words))
    if key is not None:
        raise SpecError(_("--key {key} chooses a network of a weights file, and {word} is none. Leave it out.", key=key, word=words[0]))  # fmt: skip
    return spec


def open_source(args: argparse.Namespace, *, spec: str | None = None, quiet: bool = False, **fields: Any) -> Bundle:
    """The bundle, run or weights file that `args` (of `add_source`) names; what a file does not tell is said on stderr.

    Raises BundleError, WeightsError, SpecError, DataError.
    """
    from plusx.weights.opening import open_source as open_any

    source = args.source
    written = [name for name in ("labels", "preprocessing", "network", "key") if getattr(args, name) is not None]
    if written and Path(source).is_dir():
        raise SpecError(
            _("--{name} is for weights files, and {source} is a bundle or a run, which says it itself. Leave it out.", name=written[0], source=source)
        )  # fmt: skip
    if spec is None and not fields:
        spec, fields = words_of(args)
    return open_any(
        source,
        labels=args.labels,
        preprocessing=args.preprocessing,
        spec=spec,
        key=args.key,
        say=_nobody if quiet else say_note,
        **fields,
    )


@contextmanager
def bundle_on_disk(args: argparse.Namespace) -> Iterator[str]:
    """The path of a bundle or run, or of a bundle that is made of a weights file for the time being.

    For commands that start further processes on SOURCE: these then need no options.
    """
    if Path(args.source).is_dir():
        yield args.source
        return
    from plusx.weights.bundling import FileBundle, write_bundle

    bundle = open_source(args)
    with tempfile.TemporaryDirectory(prefix="plusx-bundle-") as scratch:
        path = Path(scratch) / "bundle"
        if isinstance(bundle, FileBundle):
            write_bundle(bundle, path)
        yield str(path)


def require_bundle(source: str, what: Message) -> None:
    """Raises SpecError where a weights file stands for a bundle that a command writes into; `what` says the way out."""
    if Path(source).is_file():
        raise SpecError(
            _("{source} is a weights file, which has no place for results. {what}", source=source, what=what)
        )


def words_of(args: argparse.Namespace) -> tuple[str | None, dict[str, Any]]:
    """(whole network, single fields) of --network and the key=value words of a command. Raises SpecError."""
    words = [*(args.network or "").split(), *getattr(args, "words", [])]
    if words and "=" not in words[0]:
        return " ".join(words), {}
    return None, read_words(words)


def colour_of(args: argparse.Namespace) -> str | None:
    return "RGB" if args.bgr_to_rgb else None


def say_assumptions(found: Identification, spec: ResNetSpec, notes: Sequence[str] = ()) -> None:
    """On stderr: what a file left open and was taken by convention or by default."""
    from plusx.weights.assumptions import said_of

    for line in said_of(found, spec, notes):
        say_note(line.text)


def _nobody(line: str) -> None:
    """What another process of the same command says already."""


def say_note(line: str) -> None:
    print(_("note: {line}", line=line), file=sys.stderr)


def _is_path(word: str) -> bool:
    """Whether a word can only be meant as a file: it names a folder, or ends as files do and holds no `=`."""
    return "=" not in word and ("/" in word or Path(word).suffix.lower() in WEIGHTS_ENDINGS)


WEIGHTS_ENDINGS = (
    ".pth", ".pt", ".ckpt", ".safetensors", ".tar", ".bin", ".onnx", ".pkl", ".pickle", ".h5", ".keras", ".npz", ".pdparams",
    ".caffemodel", ".pt2", ".toml", ".json",
)  # fmt: skip


def _spec_of_weights(path: Path, words: list[str], key: str | None) -> ResNetSpec:
    from plusx.weights.identify import identify
    from plusx.weights.translate import settle

    found = identify(path, key)
    spec = settle(found, **read_words(words))
    say_assumptions(found, spec, found.notes)
    return spec


def _with(spec: ResNetSpec, words: list[str]) -> ResNetSpec:
    return spec.replace(**read_words(words)) if words else spec


def _spec_of_directory(path: Path) -> ResNetSpec:
    for name in ("bundle.json", "run.json"):
        file = path / name
        if file.is_file() and file.stat().st_size <= MOST_BYTES:
            try:
                return ResNetSpec.from_dict(json.loads(file.read_text(encoding="utf-8"))["spec"])
            except (ValueError, KeyError, TypeError):
                raise BundleError(
                    _("{file} holds no spec. Give a bundle or a run that plusx wrote.", file=file)
                ) from None
    raise BundleError(
        f"{path} is neither a bundle nor a run (no bundle.json, no run.json); give a preset, a file or a bundle"
    )


def read_size(text: str | None) -> tuple[int, int] | None:
    """An input size: `224` or `480x640` (height x width). Raises GeometryError."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 0 < int(part) <= 1_000_000 for part in parts):
        raise GeometryError(f"size {text!r}; write a side in pixels like 224, or height x width like 480x640")
    return int(parts[0]), int(parts[-1])
