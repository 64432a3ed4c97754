"""Downloads from a server that misbehaves: each ends with the right file, or with one clear line and nothing in the file's place."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hub_server import Server, cut, files_below, redirect, sha256, status, unframed, whole

from plusx.errors import PlusxError, RunError, WeightsError
from plusx.weights import fetch
from plusx.weights.hub import downloading, names, requesting
from plusx.weights.hub.remote import Digest, RemoteFile
from plusx.weights.hub.watching import Watch, watching

FILE = bytes(range(256)) * 4000
OTHER = bytes(reversed(range(256))) * 4000
HALF = len(FILE) // 2


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash of FILE is published, as in names of torchvision's files."""
    monkeypatch.setattr(RemoteFile, "digest", property(lambda file: Digest("sha256", sha256(FILE)[:8])))


def refused(url: str, kind: type[PlusxError] = WeightsError) -> str:
    with pytest.raises(kind) as raised:
        fetch(url)
    text = str(raised.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_a_file_is_fetched_once(server: Server) -> None:
    url = server.on("/a/net.safetensors", whole(FILE))
    first = fetch(url)
    assert first.path.read_bytes() == FILE
    assert (first.sha256, first.entry, first.name) == (sha256(FILE), None, url)
    assert fetch(url).path == first.path
    assert len(server.asked) == 1
    assert files_below(first.path.parent) == {"net.safetensors", ".net.safetensors.record.json"}


def test_files_of_one_name_at_two_addresses_are_two_files(server: Server) -> None:
    """torchgeo#4037: four checkpoints named weights.pth shared one file of the cache."""
    one = fetch(server.on("/small/weights.pth", whole(FILE)))
    two = fetch(server.on("/large/weights.pth", whole(OTHER)))
    by_query = fetch(f"{server.on('/small/weights.pth', whole(OTHER))}?version=2")
    assert [each.path.read_bytes() for each in (one, two, by_query)] == [FILE, OTHER, OTHER]


# ---- cuts ----


def test_a_cut_is_resumed_where_it_happened(server: Server, published: None) -> None:
    url = server.on("/net.pth", cut(FILE, HALF), whole(FILE))
    assert fetch(url).path.read_bytes() == FILE
    asked = [headers for _path, headers in server.asked]
    assert asked[0].get("Range") is None
    assert (asked[1]["Range"], asked[1]["If-Range"]) == (f"bytes={HALF}-", '"one"')


def test_a_cut_is_resumed_by_the_next_call(server: Server, published: None, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.on("/net.pth", cut(FILE, HALF), status(503))
    text = refused(url, RunError)
    assert url in text and "503" in text and sha256(FILE)[:8] in text
    server.on("/net.pth", whole(FILE))
    assert fetch(url).path.read_bytes() == FILE
    assert server.asked[-1][1]["Range"] == f"bytes={HALF}-"


def test_many_cuts_end_with_the_file(server: Server, published: None) -> None:
    step = len(FILE) // 10

    def a_bit(handler) -> None:
        first = int((handler.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        span = f"bytes {first}-{len(FILE) - 1}/{len(FILE)}"
        handler.answer(
            206 if first else 200, FILE[first : first + step], len(FILE) - first, ETag='"one"', Content_Range=span
        )

    url = server.on("/net.pth", a_bit)
    assert fetch(url).path.read_bytes() == FILE
    assert len(server.asked) == 10


def test_without_ranges_the_file_starts_again(server: Server) -> None:
    url = server.on("/net.pth", cut(FILE, HALF), lambda handler: handler.answer(200, FILE, ETag='"one"'))
    assert fetch(url).path.read_bytes() == FILE


@pytest.mark.parametrize("etag", ['W/"one"', "", "one", '"a"\t'])
def test_without_a_strong_etag_the_file_starts_again(server: Server, etag: str) -> None:
    url = server.on("/net.pth", cut(FILE, HALF, etag), whole(FILE))
    assert fetch(url).path.read_bytes() == FILE
    assert "Range" not in server.asked[1][1]


def test_a_file_that_changed_between_two_parts_is_the_new_one(server: Server) -> None:
    url = server.on("/net.pth", cut(OTHER, HALF, '"old"'), whole(FILE, '"new"'))
    assert fetch(url).path.read_bytes() == FILE


def test_a_file_that_changed_under_the_same_etag_is_fetched_anew(server: Server, published: None) -> None:
    url = server.on("/net.pth", cut(OTHER, HALF), whole(FILE))
    assert fetch(url).path.read_bytes() == FILE
    assert [headers.get("Range") for _path, headers in server.asked] == [None, f"bytes={HALF}-", None]


def test_a_server_that_always_mixes_two_files_is_given_up(server: Server, published: None) -> None:
    url = server.on("/net.pth", cut(OTHER, HALF), whole(FILE), cut(OTHER, HALF), whole(FILE))
    assert "another hash" in refused(url)
    assert len(server.asked) == 4


def test_a_part_from_another_place_starts_again(server: Server) -> None:
    def shifted(handler) -> None:
        span = f"bytes {HALF + 1}-{len(FILE) - 1}/{len(FILE)}"
        handler.answer(206, FILE[HALF + 1 :], ETag='"one"', Content_Range=span)

    url = server.on("/net.pth", cut(FILE, HALF), shifted, whole(FILE))
    assert fetch(url).path.read_bytes() == FILE


def test_a_range_that_cannot_be_met_starts_again(server: Server) -> None:
    url = server.on("/net.pth", cut(FILE, HALF), status(416), whole(FILE))
    assert fetch(url).path.read_bytes() == FILE


def test_a_part_that_was_whole_already_is_not_fetched_again(server: Server, published: None) -> None:
    """As after a kill between the last byte and the renaming."""
    url = server.on("/net.pth", cut(FILE, HALF), status(503))
    refused(url, RunError)
    next(names.web_file(url).place.parent.glob(".*.part")).write_bytes(FILE)
    server.on("/net.pth", lambda handler: handler.answer(416, b"no", Content_Range=f"bytes */{len(FILE)}"))
    assert fetch(url).path.read_bytes() == FILE
    assert server.asked[-1][1]["Range"] == f"bytes={len(FILE)}-"


def test_what_came_before_an_interrupt_is_kept(server: Server, published: None) -> None:
    class Stopped(Watch):
        def moved(self, done: int) -> None:
            raise KeyboardInterrupt

    url = server.on("/net.pth", whole(FILE))
    with pytest.raises(KeyboardInterrupt), watching(Stopped()):
        fetch(url)
    assert fetch(url).path.read_bytes() == FILE
    assert server.asked[1][1]["Range"].startswith("bytes=") and server.asked[1][1]["Range"] != "bytes=0-"


def test_a_download_tells_how_far_it_is(server: Server) -> None:
    told: list[tuple[str, object]] = []

    class Heard(Watch):
        def started(self, name: str, done: int, whole: int | None) -> None:
            told.append(("started", (name, done, whole)))

        def moved(self, done: int) -> None:
            told.append(("moved", done))

        def ended(self) -> None:
            told.append(("ended", None))

    with watching(Heard()):
        fetch(server.on("/net.pth", cut(FILE, HALF), whole(FILE)))
    starts = [what for kind, what in told if kind == "started"]
    assert starts == [("net.pth", 0, len(FILE)), ("net.pth", HALF, len(FILE))]
    assert [what for kind, what in told if kind == "moved"][-1] == len(FILE)
    assert told[-1] == ("ended", None)


# ---- lies ----


def test_a_longer_length_than_the_file_has(server: Server) -> None:
    url = server.on("/net.pth", lambda handler: handler.answer(200, FILE, len(FILE) + 9))
    text = refused(url, RunError)
    assert "ended early" in text and url in text and str(names.web_file(url).place) in text
    assert not names.web_file(url).place.exists()


def test_a_shorter_length_than_the_file_has(server: Server, published: None) -> None:
    url = server.on("/net.pth", lambda handler: handler.answer(200, FILE, len(FILE) - 9))
    assert "another hash" in refused(url)


def test_pieces_that_end_early_are_no_file(server: Server) -> None:
    """Without a length only the encoding tells that something is missing."""

    def pieces(handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n%x\r\n%s" % (HALF, FILE[:HALF], HALF, FILE[HALF : HALF + 9]))
        handler.close_connection = True

    url = server.on("/net.pth", pieces, pieces, whole(FILE))
    assert fetch(url).path.read_bytes() == FILE
    assert len(server.asked) == 3


def test_pieces_that_are_whole_are_a_file(server: Server) -> None:
    def pieces(handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (HALF, FILE[:HALF], HALF, FILE[HALF:]))
        handler.close_connection = True

    assert fetch(server.on("/net.pth", pieces)).path.read_bytes() == FILE


def test_wrong_bytes(server: Server, published: None) -> None:
    url = server.on("/net.pth", whole(OTHER))
    text = refused(url)
    assert sha256(OTHER)[:16] in text and sha256(FILE)[:8] in text
    assert files_below(names.web_file(url).place.parent) == set()
    assert len(server.asked) == 1


def test_more_than_the_published_size(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = hub.on("/o/r/resolve/main/model.safetensors", unframed(FILE, X_Linked_Size=str(HALF)))
    assert f"at most {HALF:,} were expected" in refused("hf:o/r")
    hub.on("/o/r/resolve/main/model.safetensors", whole(FILE, X_Linked_Size=str(HALF)))
    assert f"{len(FILE):,} bytes in place of the {HALF:,}" in refused("hf:o/r")
    assert not list(Path(names.web_file(url).place.parent).glob("*.safetensors"))


@pytest.mark.parametrize("act", [whole(FILE), unframed(FILE)])
def test_more_than_any_weights_have(server: Server, monkeypatch: pytest.MonkeyPatch, act) -> None:
    from plusx.weights.hub import fetching

    monkeypatch.setattr(fetching, "MOST_BYTES", HALF)
    assert f"at most {HALF:,} were expected" in refused(server.on("/net.pth", act))


@pytest.mark.parametrize(
    "act",
    [
        lambda handler: handler.answer(
            200, b"<html><body>Log in</body></html>", Content_Type="text/html; charset=utf-8"
        ),
        lambda handler: handler.answer(200, b"\n<!DOCTYPE html><html>", Content_Type="application/octet-stream"),
        lambda handler: handler.answer(200, b""),
        lambda handler: handler.answer(200, b"version https://git-lfs.github.com/spec/v1\noid sha256:1", ETag='"one"'),
    ],
    ids=["page", "page as a file", "nothing", "pointer"],
)
def test_a_page_in_place_of_the_file(server: Server, act) -> None:
    assert "web page or a placeholder" in refused(server.on("/net.pth", act))


def test_a_file_that_is_compressed_unasked(server: Server) -> None:
    text = refused(server.on("/net.pth", whole(FILE, Content_Encoding="gzip")))
    assert "compressed" in text


# ---- refusals ----


@pytest.mark.parametrize("code", [401, 403, 451])
def test_a_refusal(server: Server, code: int) -> None:
    url = server.on("/net.pth", status(code))
    assert refused(url) == f"{url} refuses the file (HTTP {code}). Check the address."
    assert len(server.asked) == 1


def test_a_missing_file(server: Server) -> None:
    assert (
        refused(f"{server.url}/net.pth") == f"There is no file at {server.url}/net.pth (HTTP 404). Check the address."
    )


def test_a_busy_server_is_asked_again_when_it_says(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloading.time, "sleep", waits.append)
    url = server.on("/net.pth", status(429, Retry_After="7"), status(503), whole(FILE))
    assert fetch(url).path.read_bytes() == FILE
    assert waits == [7.0, 0.0]


@pytest.mark.parametrize("after", ["86400", "Fri, 31 Dec 2199 23:59:59 GMT"])
def test_a_server_that_wants_a_long_pause_is_not_waited_for(server: Server, after: str) -> None:
    url = server.on("/net.pth", status(429, Retry_After=after))
    text = refused(url, RunError)
    assert "HTTP 429" in text and "Run the same command again then" in text
    assert len(server.asked) == 1


@pytest.mark.parametrize("after", ["-5", "soon", "9" * 400, "1e9"])
def test_a_pause_that_is_no_number_is_none(server: Server, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "MOST_WAIT_S", float("inf"))
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: None)
    url = server.on("/net.pth", status(429, Retry_After=after), whole(FILE))
    assert fetch(url).path.read_bytes() == FILE


def test_a_server_that_stays_busy_is_given_up(server: Server) -> None:
    url = server.on("/net.pth", status(500))
    assert "HTTP 500" in refused(url, RunError)
    assert len(server.asked) == downloading.MOST_IDLE


# ---- slow ----


def test_a_slow_server_is_borne(server: Server, published: None) -> None:
    def drops(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(FILE)))
        handler.end_headers()
        for first in range(0, len(FILE), len(FILE) // 20):
            handler.wfile.write(FILE[first : first + len(FILE) // 20])
            handler.wfile.flush()
            time.sleep(0.005)
        handler.close_connection = True

    assert fetch(server.on("/net.pth", drops)).path.read_bytes() == FILE


def test_a_server_that_falls_silent_is_left_and_what_came_is_kept(
    server: Server, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requesting, "TIMEOUT", 0.2)
    over = threading.Event()

    def silent(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(FILE)))
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(FILE[:HALF])
        handler.wfile.flush()
        over.wait()
        handler.close_connection = True

    url = server.on("/net.pth", silent, whole(FILE))
    assert fetch(url).path.read_bytes() == FILE
    over.set()
    assert server.asked[1][1]["Range"] == f"bytes={HALF}-"


def test_a_server_that_never_answers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requesting, "TIMEOUT", 0.1)
    over = threading.Event()
    url = server.on("/net.pth", lambda handler: over.wait())
    assert "timed out" in refused(url, RunError)
    over.set()


def test_no_server() -> None:
    text = refused("http://127.0.0.1:9/net.pth", RunError)
    assert (
        "Connection refused" in text and "Get http://127.0.0.1:9/net.pth (no hash is published) and put it at" in text
    )


# ---- redirects ----


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: Server, code: int) -> None:
    server.on("/there/net.pth", whole(FILE))
    url = server.on("/net.pth", redirect("there/net.pth", code))
    assert fetch(url).path.read_bytes() == FILE


def test_a_circle_of_redirects(server: Server) -> None:
    server.on("/b.pth", redirect("/a.pth"))
    url = server.on("/a.pth", redirect("/b.pth"))
    assert f"redirects more than {requesting.MOST_REDIRECTS} times" in refused(url)
    assert len(server.asked) == requesting.MOST_REDIRECTS + 1


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("file:///etc/passwd", "is no address of a file on the web"),
        ("ftp://127.0.0.1/net.pth", "is no address of a file on the web"),
        ("http://example.org/net.pth", "is not encrypted"),
        ("https://user:secret@example.org/net.pth", "holds a user name or a password"),
        ("", "redirects to nowhere"),
    ],
)
def test_a_redirect_to_where_nothing_is_fetched_from(server: Server, target: str, says: str) -> None:
    text = refused(server.on("/net.pth", redirect(target)))
    assert says in text and "secret" not in text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.org/net.pth", "http://example.org/net.pth is not encrypted, so anyone on the way could change the file. Use https."),
        ("https://me:secret@example.org/net.pth", "The address of example.org holds a user name or a password. Write it without one."),
        ("https://example.org/", "is no address of a file"),
        ("https://example.org/a b.pth", "is no address of a file"),
        ("https:///net.pth", "is no address of a file"),
    ],
)  # fmt: skip
def test_addresses_from_which_nothing_is_fetched(url: str, says: str) -> None:
    text = refused(url)
    assert says in text and "secret" not in text


def test_a_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.on("http://127.0.0.1:9/net.pth", whole(FILE))
    assert fetch("http://127.0.0.1:9/net.pth").path.read_bytes() == FILE


# ---- the disk ----


def test_a_full_disk_is_seen_before_anything_is_written(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 1000))
    text = refused(server.on("/net.pth", whole(FILE)), RunError)
    assert "has room for" in text and "PLUSX_CACHE" in text


def test_a_disk_that_fills_up_is_one_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloading.os, "fsync", full)
    assert "The disk is full" in refused(server.on("/net.pth", whole(FILE)), RunError)


def test_a_cache_that_is_a_file_is_one_line(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "taken"))
    assert "taken" in refused(server.on("/net.pth", whole(FILE)), RunError)
