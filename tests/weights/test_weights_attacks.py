"""Pickles that attack: each is inert wherever a file may hold one, and leaves no trace. Python's own unpickler is the control."""

from __future__ import annotations

import collections
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from plusx.errors import WeightsError
from plusx.pickles import Inert
from plusx.weights.containers import read
from plusx.weights.containers.torch_legacy import MAGIC

SECONDS, BYTES = 20, 256 << 20
"""Generous: a million steps take a second on a free core. They are there against what takes hours, or all memory."""


# ---- pickles word by word ----


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def stack_named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def called(function: bytes, *args: bytes) -> bytes:
    return function + b"(" + b"".join(args) + b"tR"


def touch(mark: str) -> bytes:
    return text(f"touch {mark}")


def opened(mark: str) -> bytes:
    return text(f"open({mark!r}, 'w').close()")


def attribute(value: bytes, name: str) -> bytes:
    return called(named("builtins", "getattr"), value, text(name))


def module(name: str) -> bytes:
    return called(named("importlib", "import_module"), text(name))


def frozen(mark: str) -> bytes:
    """A torch file in bytes whose own pickle attacks: for torch.load and _load_from_bytes."""
    raw = b"\x80\x02" + called(named("os", "system"), touch(mark)) + b"."
    return b"B" + struct.pack("<I", len(raw)) + raw


LIVE: dict[str, Callable[[str], bytes]] = {
    "os.system": lambda m: called(named("os", "system"), touch(m)),
    "posix.system": lambda m: called(named("posix", "system"), touch(m)),
    "os.popen": lambda m: called(named("os", "popen"), touch(m)),
    "os.mkdir": lambda m: called(named("os", "mkdir"), text(m)),
    "os.mknod": lambda m: called(named("os", "mknod"), text(m)),
    "os.posix_spawn": lambda m: called(
        named("os", "posix_spawn"), text("/bin/touch"), called(named("builtins", "list"), b"(" + text("touch") + text(m) + b"t"), b"}"
    ),
    "subprocess.call": lambda m: called(named("subprocess", "call"), b"(" + text("touch") + text(m) + b"t"),
    "subprocess.Popen": lambda m: called(named("subprocess", "Popen"), b"(" + text("touch") + text(m) + b"t"),
    "subprocess.check_output": lambda m: called(named("subprocess", "check_output"), b"(" + text("touch") + text(m) + b"t"),
    "eval": lambda m: called(named("builtins", "eval"), opened(m)),
    "eval of Python 2": lambda m: called(named("__builtin__", "eval"), opened(m)),
    "exec": lambda m: called(named("builtins", "exec"), opened(m)),
    "open": lambda m: called(named("builtins", "open"), text(m), text("w")),
    "io.open": lambda m: called(named("io", "open"), text(m), text("w")),
    "compile and exec": lambda m: called(
        named("builtins", "exec"), called(named("builtins", "compile"), opened(m), text("x"), text("exec"))
    ),
    "getattr chain": lambda m: called(attribute(module("os"), "system"), touch(m)),
    "getattr on __import__": lambda m: called(attribute(called(named("builtins", "__import__"), text("os")), "system"), touch(m)),
    "operator.attrgetter": lambda m: called(called(called(named("operator", "attrgetter"), text("system")), module("os")), touch(m)),
    "operator.methodcaller": lambda m: called(called(named("operator", "methodcaller"), text("system"), touch(m)), module("os")),
    "functools.partial": lambda m: called(called(named("functools", "partial"), named("os", "system")), touch(m)),
    "operator.call": lambda m: called(named("operator", "call"), named("os", "system"), touch(m)),
    "map": lambda m: called(named("builtins", "list"), called(named("builtins", "map"), named("os", "system"), b"(" + touch(m) + b"t")),
    "runpy": lambda m: called(named("runpy", "_run_code"), called(named("builtins", "compile"), opened(m), text("x"), text("exec")), b"}"),
    "timeit": lambda m: called(named("timeit", "timeit"), opened(m), text("pass"), named("time", "perf_counter"), b"K\x01"),
    "codecs": lambda m: called(named("builtins", "exec"), called(named("_codecs", "decode"), called(named("_codecs", "encode"), opened(m), text("utf-16")), text("utf-16"))),
    "shutil.copy": lambda m: called(named("shutil", "copyfile"), text("/etc/hostname"), text(m)),
    "pathlib": lambda m: called(attribute(called(named("pathlib", "Path"), text(m)), "touch")),
    "types.FunctionType": lambda m: called(
        called(named("types", "FunctionType"), called(named("builtins", "compile"), opened(m), text("x"), text("exec")), called(named("builtins", "globals")))
    ),
    "logging.FileHandler": lambda m: called(named("logging", "FileHandler"), text(m)),
    "sqlite3": lambda m: called(attribute(called(named("sqlite3", "connect"), text(m)), "execute"), text("create table a (b)")),
    "STACK_GLOBAL": lambda m: called(stack_named("os", "system"), touch(m)),
    "STACK_GLOBAL of made text": lambda m: called(
        called(named("operator", "add"), text("o"), text("s")) + text("system") + b"\x93", touch(m)
    ),
    "a dotted STACK_GLOBAL": lambda m: b"\x80\x04" + called(stack_named("shutil", "os.system"), touch(m)),
    "INST": lambda m: b"(" + touch(m) + b"ios\nsystem\n",
    "OBJ": lambda m: b"(" + named("os", "system") + touch(m) + b"o",
    "NEWOBJ": lambda m: named("subprocess", "Popen") + b"(" + b"(" + text("touch") + text(m) + b"tt\x81" + b"0" + called(named("os", "system"), touch(m)),
    "a state that calls": lambda m: named("collections", "OrderedDict") + b")R" + text("a") + called(named("os", "system"), touch(m)) + b"s",
    "a dictionary's key": lambda m: b"}" + called(named("os", "system"), touch(m)) + b"K\x01s",
    "beside a tensor": lambda m: b"}(" + text("conv1.weight") + b"K\x01" + text("x") + called(named("os", "system"), touch(m)) + b"u",
    "in a list's items": lambda m: b"](" + called(named("os", "system"), touch(m)) + b"e",
    "popped again": lambda m: called(named("os", "system"), touch(m)) + b"0}",
    "paddle's eval": lambda m: called(named("builtins", "eval"), opened(m), b"}(" + text("data") + b"K\x01u"),
    "numpy's lookup": lambda m: called(named("numpy.testing._private.utils", "runstring"), opened(m), b"}"),
    "torch's shell": lambda m: called(named("torch.utils.collect_env", "run"), touch(m)),
    "pickle.loads": lambda m: called(named("pickle", "loads"), frozen(m)),
    "persistent ids that call": lambda m: called(named("os", "system"), touch(m)) + b"0" + b"}",
    "BUILD with __setstate__": lambda m: (
        called(named("types", "SimpleNamespace")) + b"}(" + text("__setstate__") + named("os", "system") + b"ub" + touch(m) + b"b"
    ),
}  # fmt: skip
"""Attacks that make a file where Python's unpickler reads them; checked below, so that each is known to be live."""

WAITING: dict[str, Callable[[str], bytes]] = {
    "webbrowser": lambda m: called(named("webbrowser", "open"), text(f"file://{m}")),
    "torch.load": lambda m: called(named("torch", "load"), text(m)),
    "torch.hub": lambda m: called(named("torch.hub", "load"), text("user/repository"), text("entry")),
    "_load_from_bytes": lambda m: called(named("torch.storage", "_load_from_bytes"), frozen(m)),
    "numpy.f2py": lambda m: called(named("numpy.f2py.crackfortran", "getlincoef"), opened(m), b"}"),
    "numpy.load": lambda m: called(named("numpy", "load"), text(m)),
    "ctypes": lambda m: called(attribute(called(named("ctypes", "CDLL"), b"N"), "system"), b"C\x05touch"),
    "pip": lambda m: called(named("pip", "main"), b"(" + text("install") + text(m) + b"t"),
    "pty": lambda m: called(named("pty", "spawn"), touch(m)),
    "a socket": lambda m: called(named("socket", "create_connection"), b"(" + text("127.0.0.1") + b"K\x09t"),
    "urlopen": lambda m: called(named("urllib.request", "urlopen"), text(f"file://{m}")),
    "sys.exit": lambda m: called(named("sys", "exit"), b"K\x00"),
    "os._exit": lambda m: called(named("os", "_exit"), b"K\x00"),
    "os.kill": lambda m: called(named("os", "abort")),
    "breakpoint": lambda m: called(named("builtins", "breakpoint")),
    "input": lambda m: called(named("builtins", "input")),
    "a BUILD on a class": lambda m: named("collections", "OrderedDict") + b"}" + text("update") + named("os", "system") + b"sb",
    "a BUILD on a module": lambda m: module("os") + b"}" + text("path") + b"K\x00sb",
    "EXT1": lambda m: b"\x82\x01",
    "EXT2": lambda m: b"\x83\x01\x01",
    "EXT4": lambda m: b"\x84\x01\x00\x00\x00",
    "a persistent id in text": lambda m: b"P" + m.encode() + b"\n",
    "a persistent id of a call": lambda m: called(named("os", "system"), touch(m)) + b"Q",
    "a persistent id that leaves the folder": lambda m: (
        b"(" + text("storage") + named("torch", "FloatStorage") + text("../../etc/passwd") + text("cpu") + b"K\x01tQ"
    ),
    "a storage class of another module": lambda m: b"(" + text("storage") + named("os", "FloatStorage") + text("0") + text("cpu") + b"K\x01tQ",
    "a buffer out of band": lambda m: b"\x97",
    "names of a thousand letters": lambda m: called(named("a" * 1000, "b" * 1000)),
    "terminal codes in a name": lambda m: called(named("\x1b[31mred", "\x1b]0;title\x07")),
}  # fmt: skip
"""Attacks that need more than Python's unpickler here (another program, a network, a tensor file), or would end this process."""


def chain(pieces: int) -> bytes:
    """A list that holds twice the one before, again and again: 2^pieces parts in the end."""
    return b"]q\x00" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(pieces))


HEAVY: dict[str, bytes] = {
    "deep lists": b"]" * 200_000 + b"a" * 199_999,
    "deep tuples": b")" + b"\x85" * 500_000,
    "deep dictionaries": b"}" + (text("a") + b"}") * 50_000 + b"s" * 50_000,
    "deep calls": named("a", "b") + named("a", "b") * 50_000 + b")" + b"R\x85" * 50_000,
    "billion laughs": chain(60),
    "billion laughs of tuples": b")q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(100)),
    "billion laughs in a dictionary": b"}q\x00" + b"".join(
        b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00uq\x00" for _ in range(100)),
    "billion laughs as a key": b"}" + b")q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(100)) + b"K\x01s",
    "billion laughs as arguments": named("a", "b") + b")q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(100)) + b"R",
    "a list in itself": b"]q\x00h\x00a",
    "a dictionary in itself": b"}q\x00" + text("a") + b"h\x00s",
    "a memo of four billion": b"}r\xff\xff\xff\xff",
    "a memo that is missing": b"j\xff\xff\xff\xff",
    "LONG4 of two gigabytes": b"\x8b\xff\xff\xff\x7f1",
    "LONG4 of a negative length": b"\x8b\xff\xff\xff\xff1",
    "LONG4 of a megabyte": b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20),
    "digits": b"I" + b"9" * 3_000_000 + b"\n",
    "digits of a LONG": b"L" + b"9" * 3_000_000 + b"L\n",
    "BINBYTES8 of an exabyte": b"\x8e" + struct.pack("<Q", 1 << 60) + b"x",
    "BINUNICODE8 of an exabyte": b"\x8d" + struct.pack("<Q", 1 << 60) + b"x",
    "BYTEARRAY8 of an exabyte": b"\x96" + struct.pack("<Q", 1 << 60) + b"x",
    "BINBYTES8 beyond all": b"\x8e" + b"\xff" * 8 + b"x",
    "BINSTRING of a negative length": b"T\xff\xff\xff\xffx",
    "a frame of an exabyte": b"\x95" + struct.pack("<Q", 1 << 60) + b"}",
    "two million dictionaries": b"}" * 2_000_000,
    "two million records": b"](" + named("a", "b") + b"q\x00" + b"h\x00)R" * 660_000 + b"e",
    "marks alone": b"(" * 2_000_000,
    "a long text a million times": text("a" * 100_000) + b"q\x000](" + b"h\x00" * 400_000 + b"e",
    "a long text encoded again and again": text("a" * 60_000) + b"q\x000" + named("_codecs", "encode") + b"q\x010](" +
        b"h\x01h\x00\x85R" * 240_000 + b"e",
    "a longer text encoded again and again": text("a" * 600_000) + b"q\x000" + named("_codecs", "encode") + b"q\x010](" +
        b"h\x01h\x00\x85R" * 240_000 + b"e",
    "a list copied again and again": b"](" + b"N" * 100_000 + b"eq\x000" + named("builtins", "list") + b"q\x010](" +
        b"h\x01h\x00\x85R" * 200_000 + b"e",
    "a list as arguments": b"](" + b"N" * 100_000 + b"eq\x000" + named("a", "b") + b"q\x010](" + b"h\x01h\x00R" * 200_000 + b"e",
    "a dictionary of pairs again and again": b"](" + (text("k") + b"N\x86") * 20_000 + b"eq\x000" +
        named("collections", "OrderedDict") + b"q\x010](" + b"h\x01h\x00\x85R" * 200_000 + b"e",
    "an array announced larger": b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"
        b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89C\x01xtb",
    "an array with a negative side": b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J\xff\xff\xff\xff\x85"
        b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89C\x04xxxxtb",
    "an array again and again": b"B" + struct.pack("<I", 40_000) + bytes(40_000) + b"q\x000](" + (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01M\x10'\x85cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89h\x00tb") * 3000 + b"e",
    "no STOP": b"}",
    "nothing on the stack": b"R",
    "an empty pickle": b"",
    "names of surrogates": b"X\x03\x00\x00\x00\xed\xa0\x80" + text("a") + b"\x93)R",
}  # fmt: skip


def tensors(extra: bytes, wrapper: str) -> bytes:
    """A file in which an attack lies: a plain pickle, torch's zip, its legacy format, a TorchScript archive."""
    extra = text("a pickle of some length") + b"0" + extra
    if wrapper == "pickle":
        return b"\x80\x02" + extra + b"."
    if wrapper == "legacy":
        head = b"\x80\x02" + MAGIC + b".\x80\x02M\xe9\x03.\x80\x02}."
        return head + b"\x80\x02" + extra + b".\x80\x02]."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + extra + b".")
        archive.writestr("archive/version", b"3\n")
        if wrapper == "torchscript":
            archive.writestr("archive/constants.pkl", b"\x80\x02" + extra + b".")
    return out.getvalue()


WRAPPERS = ("pickle", "zip", "legacy", "torchscript")
EVENTS: list[str] | None = None
QUIET = {"open", "mmap.__new__", "builtins.id"}


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if EVENTS is not None:
        EVENTS.append(event if event != "open" or args[1] in ("rb", "r", None) else f"open for {args[1]}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What Python's audit hooks report in the meantime: imports, files, processes, sockets, code."""
    global EVENTS
    EVENTS = []
    try:
        yield EVENTS
    finally:
        EVENTS = None


@pytest.fixture(scope="module", autouse=True)
def _modules_are_loaded(tmp_path_factory):
    """What a first reading imports is no trace of an attack."""
    folder = tmp_path_factory.mktemp("first")
    for wrapper in WRAPPERS:
        (folder / wrapper).write_bytes(tensors(b"}", wrapper))
        held(folder / wrapper)


def peak_memory() -> int:
    """Bytes of memory that this process held at most since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) << 10


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak to what is held now
    return peak_memory()


def too_late(*_: object) -> None:
    raise AssertionError(f"not read and not refused within {SECONDS} s")


def held(path: Path) -> Any:
    """The tree or the error's line, soon and in little memory; nothing else may come out."""
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(SECONDS)
    try:
        return read(path).tree
    except WeightsError as error:
        line = str(error)
        assert "\n" not in line and line.isprintable() and len(line) < 600 and str(path) in line
        return line
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", [*LIVE, *WAITING])
def test_attacks_are_inert_and_leave_no_trace(tmp_path, name, wrapper):
    mark = tmp_path / "mark"
    path = tmp_path / "model.pth"
    path.write_bytes(tensors((LIVE | WAITING)[name](str(mark)), wrapper))
    before = sorted(os.listdir(tmp_path))
    with watched() as events:
        found = held(path)
    assert set(events) <= QUIET, events
    assert sorted(os.listdir(tmp_path)) == before
    if name in LIVE and wrapper in ("pickle", "zip", "legacy") and isinstance(found, str):
        assert "BUILD" in name or "key" in name or "made text" in name, found  # all others read as records


def test_half_a_hundred_attacks_of_these_are_live(tmp_path):
    """The control: Python's unpickler, in another process each, makes the file."""
    code = (
        "import os, pathlib, pickle, sys, time\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "for path in sorted(folder.glob('*.pickle')):\n"
        "    if os.fork() == 0:\n"
        "        try: pickle.loads(path.read_bytes())\n"
        "        except BaseException: pass\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "time.sleep(0.3)\n"
    )
    for i, (_name, attack) in enumerate(LIVE.items()):
        (tmp_path / f"{i:02d}.pickle").write_bytes(b"\x80\x02" + attack(str(tmp_path / f"{i:02d}.mark")) + b".")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=120, capture_output=True, check=True)
    dead = [name for i, name in enumerate(LIVE) if not (tmp_path / f"{i:02d}.mark").exists()]
    assert dead == []
    assert len(LIVE) >= 25


@pytest.mark.parametrize("wrapper", ["pickle", *(pytest.param(w, marks=pytest.mark.slow) for w in ("zip", "legacy"))])
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_pickles_are_refused_or_read_in_bounds(tmp_path, name, wrapper):
    path = tmp_path / "model.pth"
    path.write_bytes(tensors(HEAVY[name], wrapper))
    before = forget_peak()
    with watched() as events:
        held(path)
    assert peak_memory() - before < BYTES
    assert set(events) <= QUIET, events


def test_steps_are_counted(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(tensors(HEAVY["two million dictionaries"], "pickle"))
    with pytest.raises(WeightsError, match="more than 1000000 steps"):
        read(path)


def test_the_audit_sees_what_an_attack_does(tmp_path):
    with watched() as events:
        pickle.loads(b"\x80\x02" + LIVE["os.system"](str(tmp_path / "mark")) + b".")
    assert "os.system" in events


class Reduced:
    """An object that pickles as a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
def test_an_attack_beside_true_tensors_is_a_record_and_the_tensors_are_read(tmp_path, zipped):
    mark = tmp_path / "mark"
    value = {"state_dict": {"conv1.weight": torch.arange(6.0)}, "hook": Reduced(os.system, f"touch {mark}")}
    torch.save(value, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    tree = read(tmp_path / "m.pth").tree
    assert isinstance(tree["hook"], Inert)
    assert (tree["hook"].name, tree["hook"].args) == ("posix.system", (f"touch {mark}",))
    assert tree["state_dict"]["conv1.weight"].array().tolist() == [0, 1, 2, 3, 4, 5]
    assert not mark.exists()


def test_what_a_name_becomes_is_decided_by_the_whole_name(tmp_path):
    """Neither a longer nor a shorter name than a known one means anything, nor a known one with other arguments."""
    words = [
        called(named("torch._utils", "_rebuild_tensor_v2x"), b"N"), called(named("xtorch._utils", "_rebuild_tensor_v2"), b"N"),
        called(named("torch._utils", "_rebuild_tensor_v2"), b"N", b"K\x00", b")", b")"), called(named("numpy", "dtype"), b"K\x01"),
        called(named("collections", "OrderedDict"), b"K\x07"), called(named("torch", "Size"), b"K\x07"),
        called(named("_codecs", "encode"), text("a"), text("rot13")), called(named("torch", "device")),
    ]  # fmt: skip
    (tmp_path / "w.pkl").write_bytes(b"\x80\x02](" + b"".join(words) + b"e.")
    tree = read(tmp_path / "w.pkl").tree
    assert [type(item) for item in tree] == [Inert] * len(words)


def test_containers_are_what_python_says(tmp_path):
    value = {
        "c": collections.Counter("aab"),
        "d": collections.defaultdict(list, {"x": [1]}),
        "o": collections.OrderedDict(a=1),
    }
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(value))
    tree = read(tmp_path / "w.pkl").tree
    assert tree["d"] == {"x": [1]} and tree["o"] == {"a": 1}
