"""A server on this machine that stands for a hub, and misbehaves on request."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from plusx import lower

TINY = "resnet18 widths=8,16,32,64 stem_width=8 classes=5"
Act = Callable[["Handler"], None]


def tiny_weights(seed: int = 0, words: str = TINY) -> bytes:
    """A safetensors file of a small network, with names of torchvision."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for key, tensor in lower(words).tensors():
        if key.endswith("num_batches_tracked"):
            tensors[key] = np.array(1, np.int64)
        else:
            positive = key.endswith(("running_var", "bn1.weight", "bn2.weight"))
            values = rng.standard_normal(tensor.shape).astype(np.float32) * 0.1
            tensors[key] = np.abs(values) + 0.5 if positive else values
    return save(tensors)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Does what its server was told for a path: the next act of a list, whose last one is repeated."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        acts = self.server.acts.get(self.path.partition("?")[0])
        if not acts:
            self.answer(404, b"nothing here")
            return
        (acts.pop(0) if len(acts) > 1 else acts[0])(self)

    def answer(self, status: int, body: bytes, claim: int | None = None, **headers: str) -> None:
        """A whole answer, whose Content-Length may be a lie (`claim`)."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if claim is None else claim))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.acts: dict[str, list[Act]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Path and headers of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def on(self, path: str, *acts: Act) -> str:
        """From now on the path does this; returns its address."""
        self.acts[path] = list(acts)
        return f"{self.url}{path}"


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def whole(content: bytes, etag: str = '"one"', **headers: str) -> Act:
    """An honest server: the file, or the part that is asked for if the ETag is still the same."""

    def act(handler: Handler) -> None:
        asked = handler.headers["Range"]
        if asked and handler.headers["If-Range"] == etag:
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            handler.answer(206, content[first:], ETag=etag, Content_Range=span, **headers)
        else:
            handler.answer(200, content, ETag=etag, **headers)

    return act


def cut(content: bytes, at: int, etag: str = '"one"', **headers: str) -> Act:
    """The connection ends after `at` bytes of the file."""
    return lambda handler: handler.answer(200, content[:at], len(content), ETag=etag, **headers)


def status(code: int, **headers: str) -> Act:
    return lambda handler: handler.answer(code, b"no", **headers)


def redirect(to: str, code: int = 302, **headers: str) -> Act:
    return lambda handler: handler.answer(code, b"", Location=to, **headers)


def unframed(content: bytes, **headers: str) -> Act:
    """The file without a length: it ends where the connection does."""

    def act(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        try:
            handler.wfile.write(content)
        except OSError:
            pass
        handler.close_connection = True

    return act


def files_below(folder: Path) -> set[str]:
    """What lies in a cache, without locks."""
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
