"""argparse whose every complaint is plusx's own sentence, raised as SpecError."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from plusx.errors import SpecError, unknown

_KINDS = {int: ("a whole number", 4), float: ("a finite number", 0.5)}
"""What an option's type is called, and an example where it has no default."""


class Parser(argparse.ArgumentParser):
    """The words of one command. `read` takes options and other words in any order."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(prog, description=description, epilog=epilog, allow_abbrev=False, exit_on_error=False)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """What the words ask for. Raises SpecError."""
        try:
            args, rest = self.parse_known_intermixed_args(words)
        except argparse.ArgumentError as error:  # what is left beside _get_value and _match_argument: --flag=value
            raise SpecError(
                f"{error.argument_name or 'A word'} of {self.prog} takes no value. Leave out what follows the = sign."
            ) from None
        if rest:
            raise SpecError(self._surplus(rest[0]))
        return args

    def error(self, message: str) -> NoReturn:
        """argparse calls this for arguments that are missing, and names them behind a colon."""
        names = set(message.rpartition(": ")[2].split(", "))
        lacking = [action for action in self._actions if action.required and _names(action) & names]
        if not lacking:
            raise SpecError(f"{self.prog} cannot make sense of these words. {self.prog} --help shows which it takes.")
        wanted = " and ".join(f"{label(action)} ({_help(action)})" for action in lacking)
        raise SpecError(f"{self.prog.split()[-1]} needs {wanted}. {self.prog} --help explains every word.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[-1] if action.option_strings else action.dest
            raise SpecError(unknown(name, str(value), [str(choice) for choice in action.choices]))

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        kind = action.type
        if kind is not int and kind is not float:
            return arg_string
        try:
            value = kind(arg_string)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        what, example = _KINDS[kind]
        name = label(action).split()[0]
        shown = arg_string if len(arg_string) <= 40 else f"{arg_string[:40]}…"
        raise SpecError(
            f"{name} needs {what}, and {shown!r} is none. Write it like {name} {action.default or example}."
        )

    def _match_argument(self, action: argparse.Action, arg_strings_pattern: str) -> int:
        try:
            # argparse calls this for options alone
            return super()._match_argument(action, arg_strings_pattern)  # pyright: ignore[reportAttributeAccessIssue]
        except argparse.ArgumentError:
            name = action.option_strings[-1]
            raise SpecError(
                f"{name} needs a value behind it. Write {label(action)}; "
                f"a value that begins with a dash is written {name}=-…"
            ) from None

    def _surplus(self, word: str) -> str:
        options = sorted(name for action in self._actions for name in action.option_strings if _is_shown(action))
        if word.startswith("-"):
            return unknown(f"word for {self.prog}", word, options)
        taken = " ".join(label(action) for action in self._actions if not action.option_strings) or "no words"
        return f"{word!r} is one word too many. {self.prog} takes {taken}; quote a name that has spaces."


def label(action: argparse.Action) -> str:
    """How an argument is written: `NETWORK`, `--lr LR`, `--format table|json`."""
    if action.choices is not None:
        value = "|".join(str(choice) for choice in action.choices)
    else:
        value = str(action.metavar or action.dest.upper())
    return f"{action.option_strings[0]} {value}" if action.option_strings else value


def _names(action: argparse.Action) -> set[str]:
    """What argparse may call an argument in a message."""
    return {"/".join(action.option_strings), str(action.metavar), action.dest}


def _help(action: argparse.Action) -> str:
    return (action.help or "no default").replace("%%", "%")


def _is_shown(action: argparse.Action) -> bool:
    return action.help is not argparse.SUPPRESS and action.dest != "help"
