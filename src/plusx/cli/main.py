"""The command line: finds the command, runs it, turns errors into one line and an exit code.

Each command is one module with SUMMARY, add_arguments and run. Only the module of the command that was typed is imported,
so `plusx show` starts without numpy or torch. argparse rather than a library: its import is 5 ms of the 300 ms budget.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from importlib import import_module
from types import TracebackType

from plusx import settings
from plusx.cli.parser import Parser
from plusx.errors import PlusxError, RunError, SpecError, missing, unknown

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
    "weights": "say what weights files are; convert, verify, cut and bundle them",
    "data": "check images before training: unreadable, duplicate, leaking, odd, uneven",
    "recipes": "the training recipes and their settings",
    "doctor": "this machine: processor, threads, extras, disk",
}
GLOBAL = "everywhere: --lang en|zh (PLUSX_LANG), --debug for tracebacks. NETWORK: a preset and key=value words, a .toml or .json file, a bundle, a run or a weights file."


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
    except (KeyboardInterrupt, ImportError, OSError, MemoryError, RuntimeError) as error:
        known = explained(error)
        if known is None or (debug and not isinstance(error, KeyboardInterrupt)):
            raise
        return _fail(*known, lang)


def explained(error: BaseException) -> tuple[str, int] | None:
    """Text and exit code for what the system, an import or a user stopped; None for what only a traceback explains."""
    if isinstance(error, KeyboardInterrupt):
        # OpenBLAS, refused a thread while numpy is imported, sends SIGINT to its own process
        if "numpy" in _modules(error.__traceback__) and _threads_refused():
            return _NO_THREADS, RunError.exit_code
        return "stopped", 130
    if isinstance(error, ImportError) and (error.name or "plusx").partition(".")[0] == "plusx":
        return None
    if isinstance(error, ModuleNotFoundError):
        return str(missing(error.name or "a package")), 2
    if isinstance(error, ImportError):
        name = (error.name or "a package").partition(".")[0]
        return f"{name} is installed but does not load. Install it again, or raise the memory limit (ulimit -v).", 3
    if isinstance(error, MemoryError):
        return "There is not enough memory for this. Use a smaller --batch, size or network.", RunError.exit_code
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"The disk is full{where}. Free some space and run the same command again.", RunError.exit_code
        return f"The system refused{where}: {error.strerror or type(error).__name__}.", RunError.exit_code
    return (_NO_THREADS, RunError.exit_code) if "start new thread" in str(error) else None


_NO_THREADS = (
    "The system gives this process no more threads. Raise the limit (ulimit -u), or set PLUSX_THREADS=1, "
    "OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1."
)


def _modules(trace: TracebackType | None) -> set[str]:
    """The packages whose code was running."""
    found: set[str] = set()
    while trace is not None:
        found.add(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        trace = trace.tb_next
    return found


def _threads_refused() -> bool:
    """Whether a thread for each core can't be started here."""
    import threading

    end = threading.Event()
    try:
        for _ in range(os.cpu_count() or 1):
            threading.Thread(target=end.wait, daemon=True).start()
    except RuntimeError:
        return True
    finally:
        end.set()
    return False


def _run(words: list[str]) -> int:
    if not words or words in (["-h"], ["--help"], ["help"]):
        print(overview())
        return 0
    if words[0] in ("-h", "--help", "help"):  # plusx help show
        words = [*words[1:2], "--help"]
    elif words[1:] == ["help"]:  # plusx show help
        words = [words[0], "--help"]
    if words[0] == "--version":
        from plusx.version import __version__

        print(f"plusx {__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        raise SpecError(unknown("command", name, COMMANDS))
    module = import_module(f"plusx.cli.{name}")
    ways = getattr(module, "SUBCOMMANDS", {})
    summary, words = COMMANDS[name], words[1:]
    if ways and words and not words[0].startswith("-"):
        if words[0] not in ways:
            raise SpecError(unknown(f"way of plusx {name}", words[0], ways))
        summary, module = ways[words[0]], import_module(f"plusx.cli.{name}.{words[0]}")
        name, words = f"{name} {words[0]}", words[1:]
    parser = Parser(f"plusx {name}", summary, GLOBAL)
    module.add_arguments(parser)
    options = {string for action in parser._actions for string in action.option_strings}
    if "--lang" not in options:
        parser.add_argument("--lang", choices=LANGUAGES, help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    args = parser.read(words)
    if getattr(args, "output", None) is not None:
        from plusx.cli.output import check_output

        check_output(args.output, is_folder=name == "export" or getattr(module, "WRITES_FOLDER", False))
    return module.run(args)


LANGUAGES = ("en", "zh")


def _language(words: list[str]) -> str:
    """The language of messages, found before parsing so that parsing errors can speak it."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word == "--lang" and after in LANGUAGES:
            return after
        if word.startswith("--lang=") and word.removeprefix("--lang=") in LANGUAGES:
            return word.removeprefix("--lang=")
    wanted = settings.language()
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
