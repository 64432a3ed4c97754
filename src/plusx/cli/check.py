"""plusx check: whether a network that somebody wrote is a ResNet, and where it deviates from the nearest."""

from __future__ import annotations

import argparse
from pathlib import Path

from plusx.checking import Checked, check
from plusx.checking.reading import LIMIT_S
from plusx.checking.report import to_record, to_text
from plusx.cli.languages import add_language, language
from plusx.cli.networks import is_module_name, read_network, read_size
from plusx.cli.output import add_output, choose, choose_format, emit, is_stdout, screen_width, write_whole, wrote
from plusx.cli.printing import report
from plusx.errors import SpecError
from plusx.files import json_text
from plusx.i18n import _, bytes_text, translator

FORMATS = ("text", "json")
DRAWINGS = ("svg", "png", "pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "network",
        metavar="FILE.py:NAME",
        help=_(
            "a torch module in a Python file: a class, a function that returns one, or a module; the file's code runs"
        ),
    )
    add("--size", metavar="N|HxW", help=_("input in pixels (default: guessed from the first convolution)"))
    add("--args", default="", metavar="ARGUMENTS", help=_("arguments of the class or function, like 'num_classes=10'"))
    add("--network", dest="against", metavar="WORDS", help=_("what it is meant to be (default: the nearest network)"))
    text = _("how long the file's code may run (default: {seconds})", seconds=LIMIT_S)
    add("--seconds", type=float, default=float(LIMIT_S), metavar="S", help=text)
    add("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else text"))
    add_output(parser)
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    drawing = _drawing(args.output)
    if drawing is not None and args.format is not None:
        choose(_("format"), args.format, FORMATS)
    form = (args.format or "text") if drawing else choose_format(args.format, args.output, (*FORMATS, *DRAWINGS))
    choose(_("format"), form, FORMATS)
    lang = language(args.lang)
    if not is_module_name(args.network):
        raise SpecError(_("{word} names no Python file. Write FILE.py:NAME, like net.py:Net.", word=args.network))
    against = None if args.against is None else read_network(args.against.split())
    report(
        _(
            "running the code of {file} in a process of its own, for at most {seconds:g} s",
            file=args.network.rpartition(":")[0] or args.network,
            seconds=args.seconds,
        )
    )
    found = check(args.network, size=read_size(args.size), args=args.args, network=against, limit_s=args.seconds)
    say = translator(lang)
    text = (
        json_text(to_record(found, say), 1) + "\n"
        if form == "json"
        else to_text(found, say, screen_width(None if drawing else args.output))
    )
    emit(text, None if drawing else args.output)
    if drawing is not None:
        _draw(found, str(args.output), drawing, lang)
    return 0 if found.passed else 1


def _drawing(output: str | None) -> str | None:
    """The format of the drawing that -o asks for, or None."""
    suffix = "" if is_stdout(output) else Path(str(output)).suffix.lower().removeprefix(".")
    return suffix if suffix in DRAWINGS else None


def _draw(found: Checked, output: str, form: str, lang: str) -> None:
    from plusx.svg.render import draw

    if found.spec is None:
        raise SpecError(_("-o {output} was not written: there is no network to draw.", output=output))
    text = draw(found.spec, lang=lang, fold=False, marks=found.marks)
    data = text.encode()
    if form != "svg":
        from plusx.svg.convert import converted

        data = converted(text, form)
    write_whole(output, data)
    wrote(output, bytes_text(len(data)))
