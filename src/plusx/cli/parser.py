"""argparse with plusx's own help and errors: every refusal is a SpecError with a translation."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from plusx.cli.help import help_text, written
from plusx.cli.printing import listed
from plusx.cli.ranges import RANGES
from plusx.errors import SpecError, unknown
from plusx.i18n import Message, _

_EXAMPLES = {int: 4, float: 0.5}
"""A value for an error where the option has no default."""


class Parser(argparse.ArgumentParser):
    """The arguments of one command. `read` takes options and positional arguments in any order.

    `answer` may know what an option means that the command does not have.
    """

    answer: Callable[[Sequence[str]], Message | None] | None = None

    def __init__(self, prog: str, description: Message) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, exit_on_error=False, add_help=False)
        self.add_argument("-h", "--help", action="help", help=_("show this help and exit"))

    def has_option(self, name: str) -> bool:
        return name in self._option_string_actions

    def format_help(self) -> str:
        """The text of --help; argparse prints it."""
        return help_text(self.prog, self.description or "", self._actions)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """What the words ask for. Raises SpecError."""
        if {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words):
            # argparse would print it while it reads the options alone, when its positional arguments are blank
            self.print_help()
            self.exit()
        try:
            args, rest = self.parse_known_intermixed_args(words)
        except argparse.ArgumentError as error:  # what is left beside _get_value and _match_argument: --flag=value
            raise SpecError(
                _("{option} of {command} takes no value. Remove the = sign and what follows it.",
                  option=error.argument_name, command=self.prog)
            ) from None  # fmt: skip
        if rest:
            answer = None if self.answer is None else self.answer(rest)
            raise SpecError(answer or self._surplus(rest[0]))
        return args

    def error(self, message: str) -> NoReturn:
        """argparse calls this for arguments that are missing, and names them behind a colon."""
        names = set(message.rpartition(": ")[2].split(", "))
        lacking = [action for action in self._actions if action.required and _names(action) & names]
        if not lacking:
            raise SpecError(_("{command} does not take these arguments. See {command} --help.", command=self.prog))
        wanted = [_("{argument} ({help})", argument=written(action), help=action.help) for action in lacking]
        name, command = self.prog.split()[-1], self.prog
        raise SpecError(
            _("{name} needs {wanted}. See {command} --help.", name=name, wanted=listed(wanted), command=command)
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[-1] if action.option_strings else action.dest
            raise SpecError(unknown(name, str(value), [str(choice) for choice in action.choices]))

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        kind = action.type
        if kind is not int and kind is not float:
            return arg_string
        numbers = RANGES[action.option_strings[-1]]
        value = numbers.read(arg_string)
        if value is not None:
            return value
        shown = arg_string if len(arg_string) <= 40 else f"{arg_string[:40]}…"
        raise SpecError(
            _("{option} takes {kind}, not {value!r}. Write it like {option} {example}.",
              option=action.option_strings[-1], kind=numbers.takes, value=shown, example=action.default or _EXAMPLES[kind])
        )  # fmt: skip

    def _match_argument(self, action: argparse.Action, arg_strings_pattern: str) -> int:
        try:
            # argparse calls this for options alone
            return super()._match_argument(action, arg_strings_pattern)  # pyright: ignore[reportAttributeAccessIssue]
        except argparse.ArgumentError:
            name = action.option_strings[-1]
            raise SpecError(
                _("{option} needs a value. Write {written}. A value that begins with a dash is written {option}=-1.",
                  option=name, written=written(action))
            ) from None  # fmt: skip

    def _surplus(self, word: str) -> Message:
        options = sorted(name for action in self._actions for name in action.option_strings if _is_shown(action))
        if word.startswith("-"):
            return unknown(_("option of {command}", command=self.prog), word, options)
        taken = " ".join(written(action) for action in self._actions if not action.option_strings)
        if not taken:
            return _("{word!r} is one argument too many. {command} takes options only.", word=word, command=self.prog)
        return _(
            "{word!r} is one argument too many. {command} takes {taken}. Quote a name that has spaces.",
            word=word, command=self.prog, taken=taken,
        )  # fmt: skip


def _names(action: argparse.Action) -> set[str]:
    """What argparse may call an argument in a message."""
    return {"/".join(action.option_strings), str(action.metavar), action.dest}


def _is_shown(action: argparse.Action) -> bool:
    return action.help is not argparse.SUPPRESS and action.dest != "help"
