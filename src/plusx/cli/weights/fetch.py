"""plusx weights fetch: weights by name onto this machine; prints their path."""

from __future__ import annotations

import argparse

from plusx.cli.printing import note
from plusx.errors import SpecError
from plusx.i18n import Message, _
from plusx.specs import parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help=_("a name of plusx weights list, hf:ORGANISATION/NAME, or an address"))
    add("words", nargs="*", metavar="NETWORK", help=_("for the name imagenet: the network, like resnet50"))


def run(args: argparse.Namespace) -> int:
    from plusx.weights import fetch
    from plusx.weights.hub.recognising import IMAGENET, is_name

    if args.words and args.name != IMAGENET:
        raise SpecError(
            _("{name} says by itself which weights it means. Leave out {words}.", name=args.name, words=" ".join(args.words))
        )  # fmt: skip
    if not is_name(args.name):
        raise SpecError(_no_name(args.name))
    found = fetch(args.name, network=parse(" ".join(args.words)) if args.words else None)
    for line in found.said:
        note(line)
    print(found.path)
    return 0


def _no_name(word: str) -> Message:
    from plusx.weights.hub.names import LISTING, similar_name

    near = similar_name(word)
    if near is None:
        return _("{word!r} is no name of weights. {listing} shows those that plusx knows.", word=word, listing=LISTING)
    return _(
        "{word!r} is no name of weights. Did you mean {near!r}? {listing} shows all.",
        word=word,
        near=near,
        listing=LISTING,
    )
