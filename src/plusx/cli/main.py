"""The command line: finds the command, runs it, turns errors into one line and an exit code.

Each command is one module with add_arguments and run. Only the module of the command that was typed is imported,
so `plusx show` starts without numpy or torch. argparse rather than a library: its import is 5 ms of the 300 ms budget.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from argparse import Namespace
from importlib import import_module
from types import ModuleType, TracebackType

from plusx import settings
from plusx.cli import streams
from plusx.cli.languages import add_language, language
from plusx.cli.parser import Parser
from plusx.cli.printing import localized, speaking, warn
from plusx.errors import PlusxError, RunError, SpecError, missing, unknown
from plusx.i18n import LANGUAGES, Message, _
from plusx.text.alignment import paragraph
from plusx.version import __version__

COMMANDS: dict[str, Message] = {
    "show": _("a network as a table: layers, sizes, receptive fields, parameters, multiply-adds"),
    "geometry": _("how the cells of each stage lie on the image"),
    "explain": _("a network's numbers and names, in words"),
    "diff": _("what changes between two networks"),
    "draw": _("a network as SVG, PNG, PDF or HTML"),
    "check": _("whether a network that you wrote is a ResNet, and where it deviates"),
    "presets": _("the named networks and the keys that change them"),
    "explore": _("a network in the browser: switches, drawing, numbers, receptive fields"),
    "train": _("train a network on images"),
    "evaluate": _("measure a trained network on images"),
    "runs": _("the training runs below a folder: progress, accuracy, how to resume"),
    "predict": _("classify images"),
    "embed": _("feature vectors of images"),
    "merge": _("the parts of predict or embed on many machines as one file, proved to be whole"),
    "export": _("a trained network for OpenVINO, ONNX, torch.export and model servers"),
    "tune": _("measure which engine, precision and batch size are fastest on this machine"),
    "bench": _("the speed of a trained network on this machine, beside other engines"),
    "serve": _("a server of trained networks: Open Inference Protocol, uploads, metrics, a page"),
    "cam": _("the region of an image that speaks for a class (Grad-CAM)"),
    "weights": _("list and fetch pretrained weights; identify, convert, compare, cut and bundle files"),
    "data": _("check images before training: unreadable, duplicate, leaking, odd, imbalanced"),
    "recipes": _("the training recipes and their settings"),
    "doctor": _("this machine: processor, threads, extras, disk"),
}
"""Each command with its summary, which stands here alone."""
EVERYWHERE = _("Every command takes --lang en|zh (default: PLUSX_LANG) and --debug, which shows tracebacks.")
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended: 128 and the number of SIGINT."""
NETWORK = _(
    "NETWORK is a preset and key=value words, a .toml or .json file, a bundle, a run, a weights file or FILE.py:NAME."
)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a gate said no, 2 bad input, 3 failed at work, 130/143 signals."""
    streams.prepare()
    words = sys.argv[1:] if argv is None else argv
    debug = "--debug" in words
    with speaking(_language(words)):
        code = _guarded(words, debug)
    if argv is None and code == INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)  # Python would wait for threads that are decoding or computing
    return code


def _guarded(words: list[str], debug: bool) -> int:
    """Run the words; an error that is explained in one line becomes that line and its exit code."""
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except PlusxError as error:
        if debug:
            raise
        return error.exit_code if error.quiet else _fail(error.message, error.exit_code)
    except BrokenPipeError:  # the reader of our output went away: nothing to say, nobody to say it to
        sys.stdout = open(os.devnull, "w")
        return 0
    except (KeyboardInterrupt, ImportError, OSError, MemoryError, RuntimeError) as error:
        known = explained(error, words[0] if words else "")
        if known is None or (debug and not isinstance(error, KeyboardInterrupt)):
            raise
        return _fail(*known)


def explained(error: BaseException, command: str = "") -> tuple[Message | str, int] | None:
    """Text and exit code for what the system, an import or a user stopped; None for what only a traceback explains."""
    if isinstance(error, KeyboardInterrupt):
        # OpenBLAS, refused a thread while numpy is imported, sends SIGINT to its own process
        if "numpy" in _modules(error.__traceback__) and _threads_refused():
            return _NO_THREADS, RunError.exit_code
        return _("stopped"), INTERRUPTED
    if isinstance(error, ImportError) and (error.name or "plusx").partition(".")[0] == "plusx":
        return None
    if isinstance(error, ModuleNotFoundError):
        return missing(error.name or "a package", command).message, 2
    if isinstance(error, ImportError):
        name = (error.name or "a package").partition(".")[0]
        return _(
            "{package} is installed but does not load. Install it again, or raise the memory limit (ulimit -v).",
            package=name,
        ), RunError.exit_code
    if isinstance(error, MemoryError):
        return _("There is not enough memory. Use a smaller --batch, size or network."), RunError.exit_code
    if isinstance(error, OSError):
        return _refused(error), RunError.exit_code
    return (_NO_THREADS, RunError.exit_code) if "start new thread" in str(error) else None


def _refused(error: OSError) -> Message:
    reason, file = error.strerror or type(error).__name__, error.filename
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        if file:
            return _("The disk is full ({file}). Free some space and run the same command again.", file=file)
        return _("The disk is full. Free some space and run the same command again.")
    if file:
        return _("The system refused access to {file}: {reason}.", file=file, reason=reason)
    return _("The system refused an operation: {reason}.", reason=reason)


_NO_THREADS = _(
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
        for _core in range(os.cpu_count() or 1):
            threading.Thread(target=end.wait, daemon=True).start()
    except RuntimeError:
        return True
    finally:
        end.set()
    return False


def _run(words: list[str]) -> int:
    before, words = _split(words)
    if not words or words[0] == "--version":
        parser = Parser("plusx", _("every ResNet from one line of text"))
        _add_common(parser)
        language(parser.read(before).lang)
        print(f"plusx {__version__}" if words else overview())
        return 0
    name = words[0]
    if name not in COMMANDS:
        raise SpecError(unknown(_("command"), name, COMMANDS))
    name, between, words = _with_subcommand(name, words[1:])
    args = make_parser(name).read([*before, *between, *words])
    language(args.lang)
    module = _module(name)
    if getattr(args, "output", None) is not None and not _checks_output(module, args):
        from plusx.cli.output import check_inputs_kept, check_output

        is_folder = getattr(module, "WRITES_FOLDER", False)
        check_output(args.output, is_folder=is_folder)
        check_inputs_kept(args, is_folder=is_folder)
    from plusx.cli.downloads import DownloadLine
    from plusx.weights.hub.watching import watching

    args.typed = [*name.split(), *words]
    with watching(DownloadLine()):
        return module.run(args)


def _checks_output(module: ModuleType, args: Namespace) -> bool:
    """Whether a command with these options checks its -o itself, which may be an address."""
    own = getattr(module, "CHECKS_OUTPUT", False)
    return bool(own(args) if callable(own) else own)


def _with_subcommand(name: str, words: list[str]) -> tuple[str, list[str], list[str]]:
    """A command with its subcommand, like `weights cut`, the options before it, and the words after it. Raises SpecError."""
    known = getattr(_module(name), "SUBCOMMANDS", None)
    options, rest = _common_options(words)
    if known is None or not rest or rest[0].startswith("-"):
        return name, [], words
    if rest[0] not in known:
        raise SpecError(unknown(_("subcommand of {command}", command=f"plusx {name}"), rest[0], known))
    return f"{name} {rest[0]}", options, rest[1:]


def _module(name: str) -> ModuleType:
    """The module of a command, like `draw`, or of a subcommand, like `weights cut`."""
    return import_module(f"plusx.cli.{name.replace(' ', '.')}")


def make_parser(name: str) -> Parser:
    """The parser of a command, or of a subcommand, like `weights cut`, with the options that every command has."""
    command, _space, subcommand = name.partition(" ")
    summary = _module(command).SUBCOMMANDS[subcommand] if subcommand else COMMANDS[command]
    parser = Parser(f"plusx {name}", summary)
    _module(name).add_arguments(parser)
    _add_common(parser)
    return parser


def _add_common(parser: Parser) -> None:
    if not parser.has_option("--lang"):
        add_language(parser)
    parser.add_argument("--debug", action="store_true", help=_("show the traceback of an error"))


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The options before the command, and the words from the command on; `help show` becomes `show --help`.

    No words are left where the overview is asked for.
    """
    before, words = _common_options(words)
    if words and words[0] in ("-h", "--help", "help"):
        words = [*words[1:3], "--help"] if len(words) > 1 else []
    elif words[1:] == ["help"]:
        words = [words[0], "--help"]
    return before, words


def _common_options(words: list[str]) -> tuple[list[str], list[str]]:
    """The options of every command that stand at the beginning, and the other words."""
    before: list[str] = []
    while words and words[0].partition("=")[0] in ("--lang", "--debug"):
        count = 2 if words[0] == "--lang" else 1
        before, words = [*before, *words[:count]], words[count:]
    return before, words


def _language(words: list[str]) -> str:
    """The language of messages, found before parsing so that parsing errors are translated too."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        name, _sign, value = word.partition("=")
        if name == "--lang" and (value or after) in LANGUAGES:
            return value or after
    return settings.language()


def _fail(text: str, code: int) -> int:
    warn(text)
    return code


def overview() -> str:
    """What `plusx` alone prints."""
    columns = shutil.get_terminal_size().columns
    width = max(map(len, COMMANDS))
    lines = [*paragraph(localized(_("plusx: every ResNet from one line of text")), columns), ""]
    lines += [localized(_("usage: {program}", program="plusx COMMAND …    plusx COMMAND --help")), ""]
    for name, summary in COMMANDS.items():
        lines += paragraph(localized(summary), columns, " " * (width + 4), f"  {name:<{width}}  ")
    for text in (EVERYWHERE, NETWORK):
        lines += ["", *paragraph(localized(text), columns)]
    return "\n".join(lines)
