"""The command line: finds the command, runs it, turns errors into one line and an exit code.

Each command is one module with SUMMARY, add_arguments and run. Only the module of the command that was typed is imported,
so `plusx show` starts without numpy or torch. argparse rather than a library: its import is 5 ms of the 300 ms budget.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

from plusx.errors import PlusxError, SpecError, unknown

COMMANDS = {
    "show": "a network as a table: layers, sizes, fields, parameters, multiply-adds",
    "geometry": "where the cells of each stage look",
    "explain": "a network's numbers and names, in words",
    "diff": "what moved between two networks",
    "draw": "a network as SVG, PNG, PDF or HTML",
    "presets": "the named networks and the keys of the language",
    "train": "train a network on images",
    "evaluate": "measure a trained network on images",
    "runs": "the trainings below a folder: how far, how good, how to go on",
    "predict": "name what is on images",
    "embed": "feature vectors of images",
    "export": "a trained network for OpenVINO, ONNX, torch.export and model servers",
    "tune": "measure which engine, precision and batch are fastest here",
    "bench": "how fast a trained network answers here, beside others",
    "cam": "where a trained network looks, on the image",
    "weights": "say what a weights file is, or cut it",
    "data": "check images before training: unreadable, duplicate, leaking, odd, uneven",
    "recipes": "the training recipes and their settings",
    "doctor": "this machine: processor, threads, extras, disk",
}
GLOBAL = "everywhere: --lang en|zh (PLUSX_LANG), --debug for tracebacks. NETWORK: a preset and key=value words, a .toml or .json file, a bundle or a run."


class Parser(argparse.ArgumentParser):
    """argparse whose complaint is one line in plusx's form."""

    def error(self, message: str) -> NoReturn:
        raise SpecError(f"{message}; {self.prog} --help tells how")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[-1] if action.option_strings else action.dest
            raise SpecError(unknown(name, str(value), [str(choice) for choice in action.choices]))


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a gate said no, 2 bad input, 3 failed at work, 130/143 signals."""
    words = sys.argv[1:] if argv is None else argv
    debug = "--debug" in words
    lang = _language(words)
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except PlusxError as error:
        if debug:
            raise
        return error.exit_code if error.quiet else _fail(error.message, error.exit_code, lang)
    except BrokenPipeError:  # the reader of our output went away: nothing to say, nobody to say it to
        sys.stdout = open(os.devnull, "w")
        return 0
    except KeyboardInterrupt:
        return _fail("stopped", 130, lang)
    except ModuleNotFoundError as error:
        if debug:
            raise
        return _fail(
            f"{error.name} is not installed; pip install 'plusx[train]' brings what this command needs", 2, lang
        )
    except OSError as error:
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}; nothing was lost", 3, lang)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        from plusx import __version__

        print(f"plusx {__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        raise SpecError(unknown("command", name, COMMANDS))
    module = import_module(f"plusx.cli.{name}")
    parser = Parser(prog=f"plusx {name}", description=COMMANDS[name], epilog=GLOBAL, allow_abbrev=False)
    module.add_arguments(parser)
    options = {string for action in parser._actions for string in action.option_strings}
    if "--lang" not in options:
        parser.add_argument("--lang", choices=LANGUAGES, help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    args, rest = parser.parse_known_intermixed_args(words[1:])
    if rest:
        raise SpecError(unknown(f"word for plusx {name}", rest[0], sorted(options - {"-h", "--help", "--debug"})))
    return module.run(args)


LANGUAGES = ("en", "zh")


def _language(words: list[str]) -> str:
    """The language of messages, found before parsing so that parsing errors can speak it."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word == "--lang" and after in LANGUAGES:
            return after
        if word.startswith("--lang=") and word.removeprefix("--lang=") in LANGUAGES:
            return word.removeprefix("--lang=")
    wanted = os.environ.get("PLUSX_LANG", "en")[:2]
    return wanted if wanted in LANGUAGES else "en"


def _fail(text: str, code: int, lang: str) -> int:
    if lang != "en":
        from plusx.i18n import translate

        text = translate(text, lang)
    print(f"plusx: {text}", file=sys.stderr)
    return code


def overview() -> str:
    """What `plusx` alone prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "plusx: every ResNet from one line of text",
            "",
            "usage: plusx COMMAND …    plusx COMMAND --help",
            "",
            *lines,
            "",
            GLOBAL,
        ]
    )
