"""Mutated files: whatever the bytes, a reader gives data or one DataError of one line, soon, in little memory.

A few examples in the fast tier; `-m slow` tries many more. The mutations know each format's checks (a tar header's sum is made
right again, pickles are also built from opcodes), or everything would end at the first of them.
"""

from __future__ import annotations

import io
import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import png, samples, tar

from plusx.data import Splits, open_data
from plusx.data.unpickle import unpickle
from plusx.errors import DataError
from plusx.runtime.inputs import find_images

SECONDS, BYTES = 5, 48 << 20


def edits(most: int = 6) -> st.SearchStrategy[list[tuple[str, float, bytes]]]:
    """Changes to bytes: where (a share of the length), what, and which bytes."""
    some = st.one_of(
        st.binary(min_size=1, max_size=12),
        st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x80" + b"\xff" * 7, b"9" * 11, b'"', b"\n", b"\r", b"," * 50]),
    )
    edit = st.tuples(st.sampled_from(["set", "set", "set", "insert", "cut", "end", "copy"]), st.floats(0, 1), some)
    return st.lists(edit, min_size=1, max_size=most)


def mutated(raw: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    out = bytearray(raw)
    for what, share, value in changes:
        at = int(share * len(out))
        if what == "set":
            out[at : at + len(value)] = value
        elif what == "insert":
            out[at:at] = value
        elif what == "cut":
            del out[at : at + len(value) * 7]
        elif what == "end":
            del out[at:]
        else:
            out[at:at] = out[at : at + 40 * len(value)]
    return bytes(out)


def summed(raw: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """A tar with changed headers whose sums are right; lengths stay, so that blocks stay where they are."""
    out = bytearray(raw)
    heads = [at for at in range(0, len(raw), 512) if raw[at + 257 : at + 262] == b"ustar"]
    for _, share, value in changes:
        head = heads[int(share * (len(heads) - 1))]
        field = head + [0, 100, 124, 124, 124, 156, 156, 257, 345][len(value) * 7 % 9]
        out[field : field + len(value)] = value
        out[head + 148 : head + 156] = b" " * 8
        out[head + 148 : head + 156] = b"%06o\0 " % sum(out[head : head + 512])
    return bytes(out)


def held(act: Callable[[], object], name: str) -> str:
    """ "read" or "refused", and never anything else, late, or large."""
    begin = time.process_time()
    tracemalloc.start()
    try:
        act()
        head_status = "read"
    except DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000 and name in str(error), str(error)
        head_status = "refused"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.process_time() - begin < SECONDS and peak < BYTES
    return head_status


def opened(path: Path, raw: bytes) -> str:
    path.write_bytes(raw)

    def act() -> None:
        splits = open_data(path, cache=False)
        assert isinstance(splits, Splits)
        for data in (splits.train, splits.val):
            for i in range(len(data)):
                data.read(i)

    return held(act, path.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def whole(folder):
    """A small whole file of each format; that they are read is the control of all that follows."""
    root = folder / "whole"
    root.mkdir()
    for i in range(6):
        (root / f"{i}.png").write_bytes(png(i))
    (root / "a.csv").write_text("path,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(6)))
    tar(root / "a.tar", [*samples(4), *samples(4, 10, kind="json")])
    files = {"csv": (root / "a.csv").read_bytes(), "tar": (root / "a.tar").read_bytes()}
    batch = {
        b"labels": [0, 1, 2],
        b"data": np.zeros((3, 3072), np.uint8),
        b"batch_label": b"x",
        b"filenames": ["a.png"],
    }
    files |= {f"pickle {protocol}": pickle.dumps(batch, protocol) for protocol in (0, 2, 4, 5)}
    assert all(opened(root / f"b.{kind}", files[kind]) == "read" for kind in ("csv", "tar"))
    return files


MANY = [pytest.param(25, id="few"), pytest.param(2500, id="many", marks=pytest.mark.slow)]


def map_threaded(n: int, strategy: st.SearchStrategy, body: Callable[..., None]) -> None:
    hush = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=n, deadline=None, suppress_health_check=hush, database=None)(given(strategy)(body))()


@pytest.mark.parametrize("n", MANY)
def test_tar(folder, whole, n):
    def body(case: tuple[bool, list[tuple[str, float, bytes]]]) -> None:
        raw = (summed if case[0] else mutated)(whole["tar"], case[1])
        opened(folder / "a.tar", raw)
        held(lambda: list(find_images([str(folder / "a.tar")])), "")

    map_threaded(n, st.tuples(st.booleans(), edits()), body)


@pytest.mark.parametrize("n", MANY)
def test_csv(folder, whole, n):
    map_threaded(n, edits(), lambda case: opened(folder / "whole" / "c.csv", mutated(whole["csv"], case)) and None)


@pytest.mark.parametrize("n", MANY)
def test_pickles(whole, n):
    def body(case: tuple[int, list[tuple[str, float, bytes]]]) -> None:
        raw = mutated(
            whole[f"pickle {case[0]}"],
            [(what, share if share < 0.5 else 1 - share / 50, v) for what, share, v in case[1]],
        )
        held(lambda: unpickle(raw, "some pickle"), "some pickle")

    map_threaded(n, st.tuples(st.sampled_from([0, 2, 4, 5]), edits()), body)


WORDS = [
    *(bytes([b]) for b in b"(.0123]})t\x85\x86\x87aesubRNb\x88\x89\x94\x81\x93lde"), b"K\x01", b"K\xff", b"J\xff\xff\xff\xff",
    b"q\x01", b"h\x01", b"q\x02", b"h\x02", b"X\x01\0\0\0a", b"X\x02\0\0\0u1", b"C\x01x", b"\x8c\x04data",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"c_codecs\nencode\n",
    b"cnumpy.core.numeric\n_frombuffer\n", b"cos\nsystem\n",
]  # fmt: skip


@pytest.mark.parametrize("n", MANY)
def test_pickles_of_opcodes(n):
    map_threaded(
        n,
        st.lists(st.sampled_from(WORDS), max_size=60),
        lambda words: (
            held(lambda: unpickle(b"\x80\x04" + b"".join(words) + b".", "some pickle"), "some pickle") and None
        ),
    )


DOUBLING = b"K\x01" + b"\x85" + b"q\x01h\x01\x86" * 60  # a tuple whose text would have 2^60 numbers
GROWING = {
    "as a name's module": DOUBLING + b"X\x01\0\0\0a\x93.",
    "as a name": b"X\x01\0\0\0a" + DOUBLING + b"\x93.",
    "as a type's code": b"cnumpy\ndtype\n" + DOUBLING + b"\x85R.",
    "as a shape": b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
    + DOUBLING
    + b"cnumpy\ndtype\nX\x02\0\0\0u1\x85R\x89C\x01xtb.",
    "as a key": b"}" + DOUBLING + b"K\x01s.",
    "as an encoding": b"c_codecs\nencode\nX\x01\0\0\0a" + DOUBLING + b"\x86R.",
    "as all there is": b"}X\x01\0\0\0a" + DOUBLING + b"s.",
}


@pytest.mark.parametrize("place", GROWING)
def test_what_grows_without_end_is_never_printed_nor_hashed(place):
    held(lambda: unpickle(b"\x80\x04" + GROWING[place], "some pickle"), "some pickle")


def parquet_bytes(labels: list[int] | list[str], names: list[str] | None = None) -> bytes:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": png(i, h=6, w=6), "path": "x"} for i in range(len(labels))]
    table = pa.table({"image": pa.array(rows, kind), "label": pa.array(labels)})
    if names is not None:
        about = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": about}})})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=4)
    return out.getvalue()


def test_parquet_names_that_are_no_utf8(folder):
    """One byte of each place where the footer has the name of a column: the schema's, and those of the row groups."""
    pytest.importorskip("pyarrow")
    raw, n = parquet_bytes(["a", "é"] * 4), 0
    for word in (b"label", b"image", b"path", b"bytes"):
        at = -1
        while (at := raw.find(word, at + 1)) >= 0:
            (folder / "a.parquet").write_bytes(raw[: at + 1] + b"\xff" + raw[at + 2 :])
            held(lambda: list(find_images([str(folder / "a.parquet")])), "")
            n += 1
    assert n > 8


@pytest.mark.parametrize("n", [pytest.param(25, id="few"), pytest.param(1500, id="many", marks=pytest.mark.slow)])
def test_parquet(folder, n):
    pytest.importorskip("pyarrow")
    files = [parquet_bytes([0, 1] * 4, ["a", "b"]), parquet_bytes(["a", "é"] * 4)]
    assert all(opened(folder / "b.parquet", raw) == "read" for raw in files)

    def body(case: tuple[int, bool, list[tuple[str, float, bytes]]]) -> None:
        which, footer, changes = case
        raw = files[which]
        size = struct.unpack("<I", raw[-8:-4])[0] + 8
        if footer:  # where the lengths and types are
            changes = [("set", 1 - share * size / len(raw), value[:4]) for _, share, value in changes]
        opened(folder / "a.parquet", mutated(raw, changes))
        held(lambda: list(find_images([str(folder / "a.parquet")])), "")

    map_threaded(n, st.tuples(st.integers(0, 1), st.booleans(), edits()), body)
