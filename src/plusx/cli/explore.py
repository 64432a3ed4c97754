"""plusx explore: the page of a network, in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import quote_plus

from plusx.cli.languages import language
from plusx.cli.networks import add_key, read_network
from plusx.cli.output import wrote
from plusx.cli.printing import note
from plusx.i18n import _, bytes_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "network",
        nargs="*",
        metavar="NETWORK",
        help=_("a preset and key=value words, a file, a bundle or a run (default: resnet50)"),
    )
    add_key(parser)
    add("--port", type=int, default=0, metavar="N", help=_("port to serve (default: 0, a free one)"))
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help=_("address to serve (default: 127.0.0.1, this machine alone)"),
    )
    add("--no-browser", action="store_true", help=_("print the address, and open no browser"))
    add(
        "--export",
        metavar="DIR",
        help=_("write the page as a static site instead, in which Python runs in the browser"),
    )
    add(
        "--vendor",
        metavar="DIR|FILE.tgz",
        help=_("where npm's packages for the browser are (default: the cache, then npm)"),
    )


def run(args: argparse.Namespace) -> int:
    from plusx.explorer.views import START, bounded

    net = str(bounded(str(read_network(args.network, args.key)))) if args.network else START
    vendor = None if args.vendor is None else Path(args.vendor)
    if args.export is not None:
        from plusx.explorer.export import write_site

        wrote(args.export, bytes_text(write_site(Path(args.export), net, vendor)))
        return 0
    return _serve(args, net, vendor)


def _serve(args: argparse.Namespace, net: str, vendor: Path | None) -> int:
    import socket

    from plusx.explorer.server import LOOPBACK, create_app, listen, serve

    listening = listen(args.host, args.port)
    address = _address(args.host, listening.getsockname()[1], net, language(args.lang))
    print(address, flush=True)
    hosts = LOOPBACK
    if args.host not in LOOPBACK:
        hosts = (*LOOPBACK, args.host, socket.gethostname())
        note(_("The page is served to other machines, because --host is {host}.", host=args.host))
    if not args.no_browser:
        import webbrowser

        webbrowser.open(address)
    try:
        serve(create_app(net=net, hosts=hosts, vendor=vendor), listening)
    except KeyboardInterrupt:  # the usual end of a server
        pass
    return 0


def _address(host: str, port: int, net: str, lang: str) -> str:
    """
    >>> _address("::1", 8000, "resnet50 gate=se", "en")
    'http://[::1]:8000/#net=resnet50+gate%3Dse'
    """
    where = f"[{host}]" if ":" in host else host
    return f"http://{where}:{port}/#net={quote_plus(net)}{'' if lang == 'en' else f'&lang={lang}'}"
