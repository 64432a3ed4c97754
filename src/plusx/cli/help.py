"""The text of --help: argparse's arguments in the user's language, wrapped to the terminal by the width of its characters."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence

from plusx.cli.printing import localized
from plusx.cli.ranges import RANGES
from plusx.i18n import _
from plusx.text.alignment import paragraph, terminal_width

MOST_LEFT = 24
"""Columns of the arguments' names; a longer name stands on a line of its own."""


def help_text(prog: str, description: str, actions: Sequence[argparse.Action]) -> str:
    """Usage, description, and a paragraph for each argument."""
    width = shutil.get_terminal_size().columns
    named = [action for action in actions if action.help is not argparse.SUPPRESS]
    positional = [action for action in named if not action.option_strings]
    options = [action for action in named if action.option_strings]
    lines = [*usage(prog, [*positional, *options], width), "", *paragraph(localized(description), width)]
    for heading, group in ((_("positional arguments:"), positional), (_("options:"), options)):
        if group:
            lines += ["", localized(heading)]
            lines += [line for action in group for line in _entry(action, width)]
    return "\n".join(lines) + "\n"


def usage(prog: str, actions: Sequence[argparse.Action], width: int) -> list[str]:
    """The lines of `usage: plusx show NETWORK … [--size N|HxW]`, broken between arguments."""
    start = localized(_("usage: {program}", program=prog)) + " "
    lines, indent = [start], " " * terminal_width(start)
    for action in actions:
        piece = _usage_piece(action)
        if lines[-1].strip() and lines[-1] != start and terminal_width(lines[-1] + piece) > width:
            lines.append(indent)
        lines[-1] += f"{piece} "
    return [line.rstrip() for line in lines]


def written(action: argparse.Action) -> str:
    """How an argument is written: `NETWORK`, `--lr LR`, `--format table|json`."""
    return " ".join([*action.option_strings[:1], *_value(action)])


def _value(action: argparse.Action) -> list[str]:
    if action.nargs == 0:
        return []
    if action.choices is not None:
        return ["|".join(str(choice) for choice in action.choices)]
    return [str(action.metavar or action.dest.upper())]


def _usage_piece(action: argparse.Action) -> str:
    piece = written(action) + (" …" if action.nargs in ("+", "*") else "")
    optional = not action.required if action.option_strings else action.nargs in ("*", "?")
    return f"[{piece}]" if optional else piece


def _entry(action: argparse.Action, width: int) -> list[str]:
    """`  -o, --output FILE    write to FILE instead of stdout`."""
    name = " ".join([*([", ".join(action.option_strings)] if action.option_strings else []), *_value(action)])
    text = localized(action.help or "").replace("%%", "%")
    if action.type in (int, float):
        text = localized(_("{text}; {range}", text=text, range=RANGES[action.option_strings[-1]].text))
    indent = " " * (MOST_LEFT + 2)
    if terminal_width(name) + 4 <= len(indent):
        return paragraph(text, width, indent, f"  {name}".ljust(len(indent)))
    return [f"  {name}", *paragraph(text, width, indent)]
