"""Servers for tests, in this process or as the command, and requests to them with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plusx.serving.limits import Limits
from plusx.serving.served import ServingOptions
from plusx.serving.server import Address, ModelServer
from plusx.serving.sources import read_sources
from waiting import HANG


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]


class Client:
    """Requests to a server, each over a new connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.host, port = url.removeprefix("http://").rsplit(":", 1)
        self.port = int(port)

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=HANG)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body.encode() if isinstance(body, str) else body, named)
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def predict(self, image: bytes, query: str = "") -> Answer:
        return self.ask("POST", f"/predict{query}", image, content_type="image/jpeg")

    def infer(self, name: str, content: object, *tails: bytes, **headers: str) -> Answer:
        """A request of the protocol; `tails` are its binary tensors."""
        head = content if isinstance(content, bytes) else json.dumps(content).encode()
        if tails:
            headers = {"Inference-Header-Content-Length": str(len(head)), **headers}
        return self.ask("POST", f"/v2/models/{name}/infer", head + b"".join(tails), **headers)


def with_lengths(images: Sequence[bytes]) -> bytes:
    """A BYTES tensor."""
    return b"".join(struct.pack("<I", len(image)) + image for image in images)


def files_request(images: Sequence[bytes], **more: object) -> tuple[dict[str, object], bytes]:
    """JSON and binary tensor of a request with image files."""
    tail = with_lengths(images)
    parameters = {"binary_data_size": len(tail)}
    tensor = {"name": "images", "shape": [len(images)], "datatype": "BYTES", "parameters": parameters}
    return {"inputs": [tensor], **more}, tail


def multipart(files: Sequence[tuple[str, bytes]], boundary: str = "sep") -> tuple[bytes, str]:
    """Body and Content-Type of an upload as browsers send it."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content
        for name, content in files
    ]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


class Running(Client):
    """A server in a thread of this process."""

    def __init__(self, server: ModelServer, said: list[str]) -> None:
        super().__init__(server.url)
        self.server, self.said = server, said


@contextmanager
def running(
    *bundles: str | Path, token: str | None = None, poll_s: float = 0.05, drain_s: float = 0.0, **limits: Any
) -> Iterator[Running]:
    """A server of bundles on a free port; `limits` are fields of Limits."""
    import plusx.serving.server as module

    said: list[str] = []
    before, module.DRAIN_S = module.DRAIN_S, drain_s
    server = ModelServer(
        read_sources([str(bundle) for bundle in bundles]),
        Address(port=0, token=token),
        ServingOptions(limits=Limits(**limits), report=lambda line: said.append(str(line))),
    )
    server.repository.poll_s = poll_s
    server.load()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        client = Running(server, said)
        until(lambda: client.get("/healthz").status == 200)
        yield client
    finally:
        server.stop()
        thread.join(HANG)
        module.DRAIN_S = before


def until(true: Any) -> None:
    """Wait until `true()` is, however long the machine takes."""
    end = time.monotonic() + HANG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def command(*words: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """`plusx serve WORDS --port 0` as a process that answers, and its client."""
    whole = {**os.environ, "OMP_NUM_THREADS": "1", "PLUSX_THREADS": "2", **(env or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "plusx", "serve", *words, "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=whole,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("serving at "):
                break
        else:
            assert process.stderr is not None
            raise AssertionError(process.stderr.read())
        yield process, Client(line.split()[2])
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
