"""plusx serve: bundles behind an address."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from plusx.cli.predict import add_engine, engine_options
from plusx.cli.printing import note, report, say
from plusx.errors import SpecError
from plusx.files import read_regular
from plusx.i18n import Message, _

MOST_TOKEN = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "bundles",
        nargs="+",
        metavar="BUNDLE",
        help=_("bundles or runs: PATH, NAME=PATH or NAME:VERSION=PATH; a folder of versions has 1/, 2/, …"),
    )
    add(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help=_("address to listen at; 0.0.0.0 for all (default: 127.0.0.1)"),
    )
    add("--port", type=int, default=8000, metavar="PORT", help=_("0 for a free one (default: 8000)"))
    add_engine(parser)
    add(
        "--timeout",
        type=float,
        default=30.0,
        metavar="S",
        help=_("seconds in which a request is answered, or refused (default: 30)"),
    )
    add("--queue", type=int, default=256, metavar="N", help=_("images that may wait for a model (default: 256)"))
    add("--max-mb", type=int, default=32, metavar="MB", help=_("megabytes of a request (default: 32)"))
    add("--max-mpx", type=int, default=50, metavar="MPX", help=_("million pixels of an image (default: 50)"))
    add("--token-file", metavar="FILE", help=_("ask clients for the token in FILE (default: PLUSX_TOKEN, else none)"))
    add("--verbose", action="store_true", help=_("a line for each request on stderr"))


def run(args: argparse.Namespace) -> int:
    from plusx.serving.limits import Limits
    from plusx.serving.served import ServingOptions
    from plusx.serving.server import Address, ModelServer
    from plusx.serving.sources import read_sources

    sources = read_sources(args.bundles)
    limits = Limits(args.max_mb << 20, args.max_mpx * 1_000_000, args.timeout, args.queue)
    options = ServingOptions(engine_options(args), args.exact_decode, limits, report)
    address = Address(args.host, args.port, read_token(args.token_file))
    server = ModelServer(sources, address, options, log_requests=args.verbose, debug=args.debug)
    server.load()
    if not address.is_loopback and address.token is None:
        note(_("everyone who reaches this machine can use the server. --token-file FILE asks for a token."))
    for model in server.repository:
        say(described(model.name, model.version, len(model.classes), model.plan.text()))
    say(_("serving at {url} (Ctrl-C ends it)", url=server.url))
    flush()
    ended = server.serve()
    report(_("the server has ended"))
    if not ended:  # a thread inside an engine would crash the interpreter's own end
        flush()
        os._exit(0)
    return 0


def described(name: str, version: int, classes: int, plan: Message) -> Message:
    """The line of a model at the start."""
    return _(
        "{name} version {version}: {classes} classes, {plan}", name=name, version=version, classes=classes, plan=plan
    )


def flush() -> None:
    """Show what was printed now: the server does not end for a long time."""
    import sys

    sys.stdout.flush()


def read_token(path: str | None) -> str | None:
    """The token that clients have to send, or None. Raises SpecError."""
    from plusx import settings

    if path is None:
        return settings.token()
    try:
        token = read_regular(Path(os.path.expanduser(path)), MOST_TOKEN).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _("it is not text")
        raise SpecError(_("--token-file {path} cannot be read ({reason}).", path=path, reason=reason)) from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SpecError(
            _("--token-file {path} holds no token. Write one line of letters and digits into it.", path=path)
        )
    return token
