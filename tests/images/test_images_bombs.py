"""Small files that ask for much: time and memory stay in proportion to the file, and a deadline holds in C code."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from plusx.errors import DataError
from plusx.images import decode, probe, traits, watched
from plusx.images.limits import (
    MAX_HEADER_BYTES,
    MAX_RATIO,
    MAX_SCANS,
    QUICK_BYTES,
    RATIO_PIXELS,
    check_scans,
    without_comments,
)

DECODING = sys.modules["plusx.images.decode"]
"""The module; the name in its room is that of its function."""


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_of_scans(scans: int, side: int = 8, between: bytes = b"") -> bytes:
    """A valid progressive grey JPEG (ITU T.81, annex G): one DC scan, then AC scans that hold one end of block for all."""
    out = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([1] * 64))
    out += segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    out += segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0") + segment(
        0xC4, b"\x10" + bytes([1, 1] + [0] * 14) + b"\xe0\0"
    )
    blocks = (side // 8) ** 2
    assert blocks < 16384
    out += segment(0xDA, b"\1\1\0\0\0\0") + bytes((blocks + 7) // 8 - 1) + bytes([0xFF >> (blocks % 8 or 8)])
    for number in range(scans - 1):
        end = bytes([0b10111111]) * blocks if blocks == 1 else b""
        out += between + segment(0xDA, bytes([1, 1, 0, 1 + number % 63, 1 + number % 63, 0])) + end
    return out + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused_from_its_headers():
    assert decode(jpeg_of_scans(MAX_SCANS), "L").shape == (8, 8, 1)
    for read in (lambda raw: decode(raw, "L"), probe, traits):
        with pytest.raises(DataError, match="more than 100 scans"):
            read(jpeg_of_scans(MAX_SCANS + 1))


def test_scans_cannot_hide():
    """An end mark, or more headers than anyone reads, between the scans."""
    hidden = segment(0xFE, b"\xff\xd9")
    with pytest.raises(DataError, match="more than 100 scans"):
        check_scans(jpeg_of_scans(MAX_SCANS + 1, between=hidden))
    with pytest.raises(DataError, match="more than 10000 headers"):
        check_scans(jpeg_of_scans(MAX_SCANS + 1, between=segment(0xFE, b"") * 200))


def test_what_only_looks_like_scans_is_no_reason():
    """Marks inside of a header, and behind the end of the image."""
    plain = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(plain, "JPEG", progressive=True)
    raw = plain.getvalue()
    fake = segment(0xDA, b"\1\1\0\0\0\0") * 5 * MAX_SCANS
    for made in (raw[:2] + segment(0xFE, fake) + raw[2:], raw + fake):
        assert (decode(made, "RGB") == decode(raw, "RGB")).all()


def test_every_scan_of_libjpeg_s_own_encoder_is_counted():
    """Pillow's progressive JPEGs have 10 scans in colour and 6 in grey (libjpeg's jcparam.c, jpeg_simple_progression)."""
    for mode, scans in (("RGB", 10), ("L", 6)):
        out = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).convert(mode).save(
            out, "JPEG", progressive=True
        )
        assert out.getvalue().count(b"\xff\xda") == scans


@given(
    st.binary(max_size=200),
    st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"")), max_size=4),
)
def test_a_pnm_without_comments_is_the_same_image(pixels, comments):
    """Binary pixels stay, also where they look like a comment; of plain ones the comments go."""
    noise = b"".join(b"#" + text + b"\n" for text in comments)
    body = pixels.ljust(200, b"#")
    raw = b"P5\n" + noise + b"20 10\n" + noise + b"255\n" + body
    assert decode(raw, "L")[..., 0].tobytes() == body
    plain = b"P2\n" + noise + b"20 10 " + noise + b"255\n" + noise.join(b"%d\n" % value for value in body)
    assert decode(plain, "L")[..., 0].tobytes() == body


def test_comments_take_time_in_proportion_to_their_number():
    """3 MB of them took 11 s. Counted in work, not in seconds: what Pillow is given has no comment."""
    raw = b"P1\n8 8\n" + b"#x\n" * 1_000_000 + b"1 " * 64
    assert b"#" not in without_comments(raw)
    assert not decode(raw, "L").any()
    with pytest.raises(DataError, match="header does not end within 65536 bytes"):
        decode(b"P6\n#" + b"x" * MAX_HEADER_BYTES + b"\n1 1\n255\n123", "RGB")


def test_a_large_image_in_next_to_nothing_is_refused():
    out = io.BytesIO()
    Image.new("RGBA", (4100, 4100)).save(out, "WEBP", lossless=True)
    raw = out.getvalue()
    assert 4100 * 4100 > max(RATIO_PIXELS, MAX_RATIO * len(raw))
    for read in (lambda raw: decode(raw, "RGB"), probe):
        with pytest.raises(DataError, match=r"4100 x 4100 pixels in only \d+ bytes"):
            read(raw)


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF"])
def test_a_blank_page_is_an_image(mode, kind):
    """17 million white pixels in each usual format; a page of 600 dpi in black and white has 35 million."""
    out = io.BytesIO()
    more = {"compression": "group4" if mode == "1" else "tiff_lzw"} if kind == "TIFF" else {}
    Image.new(mode, (4200, 4100), "white").save(out, kind, **more)
    assert min(decode(out.getvalue(), "L", at_least_px=256).shape[:2]) >= 256


def test_bands_of_a_large_image_are_the_whole(monkeypatch):
    """Every mode that is converted, against the conversion in one piece."""
    rng = np.random.default_rng(0)
    rgba = Image.fromarray(rng.integers(0, 256, (50, 37, 4), np.uint8), "RGBA")
    wide = Image.fromarray(rng.integers(0, 65536, (50, 37), np.uint16).astype(np.uint16))
    palette = rgba.convert("RGB").quantize(16)
    for image, more in [
        (rgba, {}),
        (rgba.convert("LA"), {}),
        (rgba.convert("L"), {}),
        (wide, {}),
        (palette, {}),
        (palette, {"transparency": 3}),
    ]:
        out = io.BytesIO()
        image.save(out, "PNG", **more)
        for mode in ("RGB", "L"):
            monkeypatch.setattr(DECODING, "_BAND_PIXELS", 1 << 30)
            whole = decode(out.getvalue(), mode)
            monkeypatch.setattr(DECODING, "_BAND_PIXELS", 200)
            assert (decode(out.getvalue(), mode) == whole).all()


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    inside, most = [0], [0]

    class Counting:
        def __enter__(self):
            lock.acquire()
            inside[0] += 1
            most[0] = max(most[0], inside[0])

        def __exit__(self, *_):
            inside[0] -= 1
            lock.release()

    lock = threading.Lock()
    monkeypatch.setattr(DECODING, "_LARGE", Counting())
    monkeypatch.setattr(DECODING, "RATIO_PIXELS", 100)
    out = io.BytesIO()
    Image.new("RGB", (20, 20)).save(out, "PNG")
    threads = [threading.Thread(target=decode, args=(out.getvalue(), "RGB")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


# ---- the process with a deadline ----


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def slow_png(chunks: int) -> bytes:
    """Pillow walks the chunks of a PNG in Python: a microsecond for 12 bytes."""
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return head + chunk(b"abCd") * chunks + chunk(b"IDAT", zlib.compress(bytes(72))) + chunk(b"IEND")


@pytest.fixture
def watching(monkeypatch):
    """Every image is decoded by a child of its own."""
    monkeypatch.setattr(watched, "_idle", [])
    monkeypatch.setattr(watched, "QUICK_BYTES", 0)
    monkeypatch.setattr(watched, "QUICK_JPEG_BYTES", 0)
    yield
    for child in watched._idle:
        child.stdin.close()
        child.stdout.close()
        assert child.wait(10) == 0  # it ends with its stdin


def test_a_child_answers_as_this_process_does(watching, monkeypatch):
    files = [b"", b"nothing", b"\xff\xd8\xff\xda", jpeg_of_scans(MAX_SCANS + 1)]
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        out = io.BytesIO()
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 30, 3), np.uint8)).save(out, kind)
        files += [out.getvalue(), out.getvalue()[:-30]]
    out = io.BytesIO()
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(40, 30)).save(out, "PNG")
    files.append(out.getvalue())
    said = [answers(raw) for raw in files]
    assert len(watched._idle) == 1  # one child for all of them
    monkeypatch.setattr(watched, "is_slow", lambda _raw: False)
    assert said == [answers(raw) for raw in files]


def answers(raw: bytes) -> list[object]:
    deep: list[int] = []
    found: list[object] = []
    for read in (
        lambda: decode(raw, "RGB", at_least_px=8, on_deep=deep.append),
        lambda: probe(raw),
        lambda: traits(raw),
    ):
        try:
            value = read()
            found.append(value.tolist() if isinstance(value, np.ndarray) else value)
        except DataError as error:
            found.append((error.message.template, str(error)))
    return [*found, deep]


def test_a_file_that_takes_too_long_is_ended_and_the_next_is_decoded(watching, monkeypatch):
    """The system counts whole processor seconds, so this takes two of them."""
    monkeypatch.setattr(watched, "DEADLINE_S", 0)
    with pytest.raises(DataError, match="takes longer than 0 s"):
        decode(slow_png(3_000_000), "L")
    assert watched._idle == []
    monkeypatch.setattr(watched, "DEADLINE_S", 10)
    assert decode(slow_png(1), "L").shape == (8, 8, 1)


def test_the_clock_ends_a_child_that_only_waits(watching, monkeypatch):
    code = "import sys, time; sys.stdin.buffer.readline(); time.sleep(60)"
    waiting = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    monkeypatch.setattr(watched, "_started", lambda: waiting)
    monkeypatch.setattr(watched, "PATIENCE_S", 0.5)
    with pytest.raises(DataError, match="takes longer than"):
        decode(slow_png(1), "L")
    assert waiting.returncode == -signal.SIGKILL


def test_what_is_slow():
    assert not watched.is_slow(bytes(QUICK_BYTES)) and watched.is_slow(bytes(QUICK_BYTES + 1))
    assert not watched.is_slow(b"\xff\xd8\xff" + bytes(QUICK_BYTES))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_forked_process_has_children_of_its_own(watching):
    raw = slow_png(1)
    decode(raw, "L")
    parent = watched._idle[0].pid
    read, write = os.pipe()
    if not (child := os.fork()):
        decode(raw, "L")
        os.write(write, str(watched._idle[0].pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(read, 20)) != parent
    os.close(read)
    os.close(write)


CTRL_C = """
import sys
from plusx.cli.main import main
from plusx.images import watched
watched.is_slow = lambda raw: len(raw) > 1000
waiting = "import sys, time; sys.stdin.buffer.readline(); time.sleep(9)"
watched._started = lambda: print("begun", flush=True) or watched.subprocess.Popen(
    [sys.executable, "-c", waiting], stdin=watched.subprocess.PIPE, stdout=watched.subprocess.PIPE, start_new_session=True
)
sys.argv = ["plusx", *sys.argv[1:]]
sys.exit(main())
"""


def test_ctrl_c_does_not_wait_for_an_image(tmp_path):
    from plusx.bundles import save_bundle
    from plusx.images import Preprocessing
    from plusx.nn import build
    from plusx.specs import parse

    spec = parse("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 classes=2")
    weights = {name: tensor.numpy() for name, tensor in build(spec).state_dict().items()}
    save_bundle(tmp_path / "b", spec, ["a", "b"], Preprocessing("RGB", 32, 32), weights)
    (tmp_path / "fine.png").write_bytes(slow_png(1))
    (tmp_path / "slow.png").write_bytes(slow_png(100))
    words = [
        sys.executable,
        "-c",
        CTRL_C,
        "predict",
        "b",
        "fine.png",
        "slow.png",
        "--format",
        "csv",
        "--threads",
        "1",
        "--engine",
        "openvino",
    ]
    started = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert started.stdout is not None and started.stderr is not None
    while not started.stdout.readline().startswith(b"begun"):
        assert started.poll() is None
    time.sleep(0.2)
    begun = time.monotonic()
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 130
    assert time.monotonic() - begun < 8  # at once: the child sleeps longer
    assert started.stderr.read() == b"plusx: stopped\n"
    started.stdout.close()
    started.stderr.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system says how much memory a process took")
def test_memory_of_many_threads_is_that_of_one(tmp_path):
    """Four images of 17 million pixels by four threads, in a process of its own; each alone takes 200 MB."""
    out = io.BytesIO()
    noise = np.zeros((4200, 4100, 4), np.uint8)
    noise[::16, ::16] = np.random.default_rng(0).integers(0, 256, (263, 257, 4))
    Image.fromarray(noise).save(out, "PNG")
    (tmp_path / "a.png").write_bytes(out.getvalue())
    code = """
import sys, threading
from plusx.images import decode
raw = open(sys.argv[1], "rb").read()
threads = [threading.Thread(target=lambda: decode(raw, "RGB")) for _ in range(int(sys.argv[2]))]
[t.start() for t in threads], [t.join() for t in threads]
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    most = [
        int(
            subprocess.run(
                [sys.executable, "-c", code, str(tmp_path / "a.png"), n], capture_output=True, text=True
            ).stdout
        )
        for n in ("1", "4")
    ]
    assert most[1] < most[0] + 150 < 500
