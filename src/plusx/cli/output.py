"""Where a command's result goes: the option -o of all commands, and the format that a file's name asks for."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from plusx import settings
from plusx.cli.printing import report
from plusx.errors import RunError, SpecError, nearest, unknown
from plusx.i18n import Message, _, _n

TEXT = ("table", "text")
"""Formats for people, as NAME.txt holds them."""


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option -o FILE."""
    parser.add_argument("-o", "--output", metavar="FILE", help=_("write to FILE instead of stdout"))


def choose(what: Message, word: str, allowed: Sequence[str]) -> str:
    """`word`, if it is allowed. Raises SpecError with the nearest that is."""
    if word not in allowed:
        raise SpecError(unknown(what, word, allowed))
    return word


def screen_width(output: str | None = None) -> int | None:
    """Columns that tables and paragraphs may take: the terminal's, or COLUMNS where it is set; None for a pipe or a file."""
    if not is_stdout(output):
        return None
    return settings.columns() or (shutil.get_terminal_size().columns if sys.stdout.isatty() else None)


def choose_format(written: str | None, output: str | None, formats: Sequence[str]) -> str:
    """The format asked for with --format, else the one that FILE ends in, else the first of `formats`.

    Raises SpecError for a format or an ending that the command does not write, and where the two differ.
    """
    to_file = not is_stdout(output) and not _is_special(str(output))
    suffix = Path(str(output)).suffix.lower() if to_file else ""
    meant = {ending(form): form for form in reversed(formats)}.get(suffix)
    if written is not None:
        choose(_("format"), written, formats)
        if meant is not None and ending(written) != suffix:
            raise SpecError(
                _(
                    "-o {output} ends in {suffix}, but --format {written} was asked for. Change one of them.",
                    output=output,
                    suffix=suffix,
                    written=written,
                )
            )
        return written
    if not suffix and (not to_file or formats[0] in TEXT):
        return formats[0]
    if meant is None:
        endings = list(dict.fromkeys(map(ending, formats)))
        raise SpecError(_wrong_ending(str(output), suffix, endings))
    return meant


def _wrong_ending(output: str, suffix: str, endings: Sequence[str]) -> Message:
    allowed, near = ", ".join(endings), nearest(suffix, endings)
    if not suffix:
        return _("-o {output} has no ending. Let it end in one of {allowed}.", output=output, allowed=allowed)
    if near is None:
        return _(
            "-o {output} ends in {suffix}, which this command does not write. Let it end in one of {allowed}.",
            output=output, suffix=suffix, allowed=allowed,
        )  # fmt: skip
    return _(
        "-o {output} ends in {suffix}, which this command does not write. Did you mean {near}? Let it end in one of "
        "{allowed}.",
        output=output, suffix=suffix, near=near, allowed=allowed,
    )  # fmt: skip


def ending(form: str) -> str:
    """How the name of a file of that format ends.

    >>> ending("table"), ending("markdown"), ending("csv")
    ('.txt', '.md', '.csv')
    """
    return ".txt" if form in (*TEXT, "torch") else {"markdown": ".md"}.get(form, f".{form}")


def check_output(output: str, is_folder: bool = False) -> None:
    """Refuse, before any work, an -o that cannot be written. No command makes the folders above it. Raises SpecError."""
    if is_stdout(output):
        return
    path = Path(output)
    parent = path.parent
    if not parent.exists():
        why = _("there is no folder {folder}. Make it first, or choose another place.", folder=parent)
    elif not parent.is_dir():
        why = _("{folder} is not a folder. Choose another place.", folder=parent)
    elif path.is_dir() and not is_folder:
        why = _("it is a folder. Name a file, like {file}.", file=path / "NAME")
    elif not os.access(path if path.exists() else parent, os.W_OK):
        why = _("the system does not allow it. Choose another place.")
    else:
        return
    raise SpecError(_not_written(output, why))


def check_inputs_kept(args: argparse.Namespace, is_folder: bool = False) -> None:
    """Refuse an -o that is one of the inputs, or lies inside a bundle, or is a folder with an input. Raises SpecError."""
    if is_stdout(args.output) or _is_special(args.output):
        return
    out = Path(args.output)
    outputs = [out, out.with_suffix(".csv")] if out.suffix == ".npy" else [out]  # embed names its rows beside them
    for name, value in vars(args).items():
        for word in value if isinstance(value, list) else [value]:
            if name in ("output", "typed") or not isinstance(word, str) or not os.path.lexists(word):
                continue
            if any(_same(each, word) for each in outputs) and not (is_folder and os.path.isdir(word)):
                raise SpecError(_not_written(args.output, _("{input} is an input. Choose another place.", input=word)))
            if is_folder and os.path.isfile(word) and Path(word).resolve().is_relative_to(out.resolve()):
                raise SpecError(_not_written(args.output, _("{input} is in it. Choose another place.", input=word)))
    for above in out.resolve().parents:
        if os.path.lexists(above / "bundle.json"):
            why = _("{folder} is a bundle, which would be damaged by it. Choose another place.", folder=above)
            raise SpecError(_not_written(args.output, why))


def _same(path: Path, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _not_written(output: str, why: Message) -> Message:
    return _("-o {output} cannot be written: {why}", output=output, why=why)


def is_stdout(output: str | None) -> bool:
    return output is None or output == "-"


def emit(text: str, output: str | None) -> int:
    """Writes the text to a file, or to stdout; returns the exit code 0. Raises SpecError, RunError."""
    if is_stdout(output):
        sys.stdout.write(text)
        return 0
    write_whole(str(output), text.encode("utf-8", "surrogateescape"))
    wrote(str(output), _n("{n:,} line", "{n:,} lines", text.count("\n")))
    return 0


def write_whole(output: str, data: bytes) -> None:
    """Writes a file so that it holds all of `data`, or what it held before. Raises SpecError, RunError."""
    path = Path(os.path.realpath(output))
    aside = path if _is_special(output) else path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(data)
        if aside != path:
            aside.replace(path)
    except OSError as error:
        if aside != path:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(_not_written(output, _("the disk is full. Free some space."))) from None
        raise SpecError(_not_written(output, _("{reason}. Choose another place.", reason=error.strerror))) from None


def wrote(output: str, what: Message | str) -> None:
    """Say on stderr what a command has written: every -o ends with this line."""
    report(_("wrote {output} ({what})", output=output, what=what))


def _is_special(output: str) -> bool:
    """Whether it is a device or a pipe, as /dev/stdout."""
    path = Path(output)
    return path.exists() and not path.is_file() and not path.is_dir()
