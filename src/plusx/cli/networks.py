"""What NETWORK and SOURCE mean on the command line: words, a spec file, a bundle, a run, a weights file of any family,
or a torch module in a Python file."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plusx.cli.printing import note
from plusx.cli.ranges import whole_number
from plusx.errors import BundleError, GeometryError, SpecError, WeightsError
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec, parse, read_spec_file
from plusx.specs.parsing import read_words
from plusx.weights.hub.recognising import is_folder, is_name

if TYPE_CHECKING:
    from plusx.bundles import Bundle
    from plusx.weights import Identification

MOST_BYTES = 1 << 20
SOURCE = _("a bundle, a run, a weights file or its name at a hub, like torchvision/resnet50")


def add_network(parser: argparse.ArgumentParser) -> None:
    """The positional NETWORK of a command: one or more words; and --key."""
    parser.add_argument(
        "network",
        nargs="+",
        metavar="NETWORK",
        help=_("a preset and key=value words, a .toml or .json file, a bundle, a run, a weights file or FILE.py:NAME"),
    )
    add_key(parser)


def add_key(parser: argparse.ArgumentParser) -> None:
    """--key, for commands that take a weights file."""
    parser.add_argument(
        "--key", metavar="PATH", help=_("the network in a weights file that holds several, like model_ema")
    )


def add_words(parser: argparse.ArgumentParser) -> None:
    """--network, beside a positional `words`: what a file does not show."""
    parser.add_argument(
        "--network",
        metavar="WORDS",
        help=_("what FILE holds, like 'resnet50 stride_in=1x1' (default: found from its tensors)"),
    )


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """What a bundle knows and a weights file may not, for commands that take either."""
    add = parser.add_argument
    add("--labels", metavar="FILE|imagenet-1k", help=_("for a weights file: the names of its classes"))
    add(
        "--preprocessing",
        metavar="NAME|FILE",
        help=_(
            "for a weights file: imagenet, bicubic, cifar, detectron, keras or a JSON file (default: that of its family)"
        ),
    )
    add_key(parser)


def add_source(parser: argparse.ArgumentParser, name: str = "source", metavar: str = "SOURCE") -> None:
    """The positional SOURCE of a command that needs trained weights, and the options for a weights file."""
    parser.add_argument(name, metavar=metavar, help=SOURCE)
    parser.add_argument(
        "--network",
        metavar="WORDS",
        help=_("for a weights file: what its tensors do not show, like norm=group8, or its whole network"),
    )
    add_file_options(parser)


def read_network(words: list[str], key: str | None = None, *, quiet: bool = False) -> ResNetSpec:
    """The spec that the words name; what a weights file does not show is said on stderr, unless `quiet`.

    Raises SpecError, BundleError, WeightsError.
    """
    if is_name(words[0]) and not is_module_name(words[0]):
        return _spec_of_name(words[0], words[1:], key, _silent if quiet else note)
    path = Path(words[0])
    if is_module_name(words[0]):
        spec = _with(_spec_of_module(words[0], _silent if quiet else note), words[1:])
    elif path.suffix in (".toml", ".json") and path.is_file():
        spec = _with(read_spec_file(path), words[1:])
    elif path.is_dir():
        spec = _with(_spec_of_directory(path), words[1:])
    elif path.is_file():
        return _spec_of_weights(words[0], words[1:], key, _silent if quiet else note)
    elif _is_path(words[0]):
        raise WeightsError(_no_file(words[0]))
    else:
        spec = parse(" ".join(words))
    if key is not None:
        raise SpecError(
            _("--key {key} is for weights files, but {word} is none. Leave it out.", key=key, word=words[0])
        )
    return spec


def open_source(args: argparse.Namespace, *, quiet: bool = False, for_features: bool = False) -> Bundle:
    """The bundle, run or weights file that `args` (of `add_source`) names.

    What a weights file does not show is said on stderr, unless `quiet`. Raises BundleError, WeightsError, SpecError,
    DataError.
    """
    from plusx.weights.opening import open_source as open_any

    given = [name for name in ("labels", "preprocessing", "network", "key") if getattr(args, name) is not None]
    if given and is_folder(args.source):
        raise SpecError(
            _(
                "--{name} is for weights files, but {source} is a bundle or a run. Leave it out.",
                name=given[0],
                source=args.source,
            )
        )
    spec, fields = words_of(args)
    return open_any(
        args.source,
        labels=args.labels,
        preprocessing=args.preprocessing,
        spec=spec,
        key=args.key,
        say=_silent if quiet else note,
        for_features=for_features,
        **fields,
    )


@contextmanager
def bundle_on_disk(args: argparse.Namespace, *, for_features: bool = False) -> Iterator[str]:
    """The path of a bundle or run; of a weights file, that of a temporary bundle.

    It is for commands that start further processes on SOURCE, which need no options then.
    """
    if is_folder(args.source):
        yield args.source
        return
    from plusx.weights import FileBundle, write_bundle

    bundle = open_source(args, for_features=for_features)
    with tempfile.TemporaryDirectory(prefix="plusx-bundle-") as scratch:
        path = Path(scratch) / "bundle"
        if isinstance(bundle, FileBundle):
            write_bundle(bundle, path)
        yield str(path)


def require_bundle(source: str, remedy: Message) -> None:
    """Refuse a weights file where a command writes into the bundle. Raises SpecError."""
    if is_name(source) or Path(source).is_file():
        raise SpecError(
            _("{source} is a weights file, and results cannot be stored in it. {remedy}", source=source, remedy=remedy)
        )


def words_of(args: argparse.Namespace) -> tuple[str | None, dict[str, Any]]:
    """The whole network, or single fields, that --network and the key=value words of a command give. Raises SpecError."""
    words = [*(args.network or "").split(), *getattr(args, "words", [])]
    if words and "=" not in words[0]:
        return " ".join(words), {}
    return None, read_words(words)


def is_module_name(word: str) -> bool:
    """Whether a word names a torch module in a Python file: `net.py:Net`."""
    return word.endswith(".py") or ".py:" in word


def _spec_of_module(word: str, say: Callable[[str], None]) -> ResNetSpec:
    """The network that a user's own code is, where it is one exactly; the code runs in a process of its own."""
    from plusx.checking import spec_of_file

    say(_("this runs the code of {file} in a process of its own", file=word.rpartition(":")[0] or word))
    return spec_of_file(word)


def say_assumptions(
    found: Identification, spec: ResNetSpec, notes: Sequence[Message] = (), say: Callable[[str], None] = note
) -> None:
    """Say on stderr what a file leaves open, and what was assumed instead."""
    from plusx.weights.assumptions import said_of

    for line in said_of(found, spec, notes):
        say(line.text)


def _silent(line: str) -> None:
    """For processes whose notes another process prints."""


def _is_path(word: str) -> bool:
    """Whether a word can only mean a file: it has no `=`, and has a `/` or ends like a file."""
    return "=" not in word and ("/" in word or Path(word).suffix.lower() in WEIGHTS_ENDINGS)


WEIGHTS_ENDINGS = (
    ".pth", ".pt", ".ckpt", ".safetensors", ".tar", ".bin", ".onnx", ".pkl", ".pickle", ".h5", ".keras", ".npz", ".pdparams",
    ".caffemodel", ".pt2", ".toml", ".json",
)  # fmt: skip


def _no_file(word: str) -> Message:
    from plusx.weights.hub.names import similar_name

    near = similar_name(word)
    if near is None:
        return _("There is no file {path}. Check the path.", path=word)
    return _(
        "There is no file {path}. Check the path, or write {near} if you meant weights of a hub.", path=word, near=near
    )


def _spec_of_name(name: str, words: list[str], key: str | None, say: Callable[[str], None]) -> ResNetSpec:
    """The network of a hub's weights: from the shipped table, else from the file, which is fetched."""
    from plusx.weights.hub.names import read_name

    named = read_name(name)
    spec = None if named.entry is None or key is not None else named.entry.spec
    if spec is None:
        return _spec_of_weights(name, words, key, say)
    for line in named.said:
        say(line)
    return _with(spec, words)


def _spec_of_weights(source: str, words: list[str], key: str | None, say: Callable[[str], None]) -> ResNetSpec:
    from plusx.weights import identify
    from plusx.weights.conversion.translate import settled_spec

    found = identify(source, key)
    spec = settled_spec(found, **read_words(words))
    say_assumptions(found, spec, found.notes, say)
    return spec


def _with(spec: ResNetSpec, words: list[str]) -> ResNetSpec:
    return spec.replace(**read_words(words)) if words else spec


def _spec_of_directory(path: Path) -> ResNetSpec:
    for name in ("bundle.json", "run.json"):
        file = path / name
        if os.path.lexists(file):
            try:
                return ResNetSpec.from_dict(json.loads(read_regular(file, MOST_BYTES))["spec"])
            except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
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
    first, x, second = text.lower().partition("x")
    height = whole_number(first)
    width = whole_number(second) if x else height
    if height is None or width is None or height < 1 or width < 1:
        raise GeometryError(
            _(
                "--size {text!r} is not a size. Write a side in pixels like 224, or height x width like 480x640.",
                text=text,
            )
        )
    return height, width
