"""The command as a process: its start and end, slow and many clients, who may ask, and KServe's client."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plusx.cli.main import main
from plusx.errors import BundleError, SpecError
from plusx.serving.server import Address, listening
from plusx.serving.sources import read_sources
from serverside import Client, command, files_request, running, until
from waiting import HANG

pytest.importorskip("openvino")
pytest.importorskip("uvicorn")
pytest_plugins = ["shipped"]


def open_socket(client: Client, text: bytes = b"") -> socket.socket:
    found = socket.create_connection((client.host, client.port), timeout=HANG)
    found.sendall(text)
    return found


def until_closed(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received


# ---- start ----


def test_a_port_in_use_is_one_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Address(port=0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(photos), "--port", str(port)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == f"plusx: Port {port} is in use. Choose another with --port, or 0 for a free one.\n"


@pytest.mark.parametrize(("words", "said"), [
    (["nothing"], "There is no bundle at nothing."),
    (["{photos}", "{photos}"], "Two bundles are version 1 of the model"),
    (["m:x={photos}"], "gives the version 'x'"),
    (["m/n={photos}"], "'m/n' cannot be the name of a model"),
    (["{photos}", "--host", "203.0.113.7"], "--host 203.0.113.7 is not an address of this machine"),
    (["{photos}", "--port", "70000"], "70000"),
    (["{photos}", "--token-file", "nothing"], "--token-file nothing cannot be read"),
    (["{photos}", "--token-file", "{empty}"], "holds no token"),
    (["{photos}", "--engine", "onnxruntime"], "has no fp32 network for onnxruntime"),
    (["{empty_folder}"], "Give the folder of a bundle or run."),
])  # fmt: skip
def test_what_cannot_be_served_is_one_line(
    words: list[str],
    said: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "folder").mkdir()
    values = {"photos": photos, "empty": tmp_path / "empty", "empty_folder": tmp_path / "folder"}
    words = [word.format(**values) for word in words]
    port = [] if "--port" in words else ["--port", "0"]
    assert main(["serve", *words, *port]) == 2
    err = capsys.readouterr().err
    assert said in err and err.startswith("plusx: ") and err.count("\n") == 1


def test_names_of_models(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a=b").symlink_to(photos)
    sources = read_sources([str(photos), f"x={photos}", f"y:12={photos}", f"z={tmp_path / 'a=b'}"])
    assert [(source.name, source.version) for source in sources] == [(photos.name, 1), ("x", 1), ("y", 12), ("z", 1)]
    with pytest.raises(SpecError, match="'a=b' cannot be the name"):  # the folder itself, not a model called …/a
        read_sources([str(tmp_path / "a=b")])
    with pytest.raises(BundleError, match="no bundle"):
        read_sources([f"x={tmp_path / 'none'}"])


# ---- one process for the tests that end with it ----


def test_sigterm_answers_what_was_accepted_and_ends_with_0(photos: Path, jpegs: list[Path]) -> None:
    """Requests go on while the signal arrives; all that were sent while the server took them are answered."""
    raw = jpegs[0].read_bytes()
    answers, failed, ended = [], [], threading.Event()
    with command(f"photos={photos}", "--verbose") as (process, client):
        half = open_socket(
            client, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw[:100]
        )

        def load() -> None:
            while not ended.is_set():
                try:
                    answer = client.predict(raw)
                except ConnectionRefusedError:  # the listening socket is closed: the server no longer accepts
                    return
                except OSError as error:
                    failed.append(error)
                    return
                answers.append(answer.status)
                if "connection" in answer.headers:  # the server says that it ends, as a balancer of load would hear
                    return

        threads = [threading.Thread(target=load) for _i in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 20)
        process.send_signal(signal.SIGTERM)
        until(lambda: client.get("/v2/health/ready").status == 503)
        live = client.get("/v2/health/live")
        assert live.status == 200 and live.headers["connection"] == "close"
        half.sendall(raw[100:])
        assert b"200 OK" in until_closed(half)
        for thread in threads:
            thread.join(HANG)
        assert process.wait(HANG) == 0
        assert process.stderr is not None
        log = process.stderr.read()
    assert failed == [] and set(answers) == {200}
    assert (
        log.count("POST /predict 200") == len(answers) + 1
        and "Traceback" not in log
        and log.endswith("the server has ended\n")
    )


def test_ctrl_c_ends_it_too(photos: Path) -> None:
    with command(f"photos={photos}") as (process, client):
        assert client.get("/healthz").json["status"] == "ok"
        if (maps := Path(f"/proc/{process.pid}/maps")).exists():
            assert "openvino" in maps.read_text() and "torch" not in maps.read_text()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) == 0


def test_a_thousand_idle_connections_and_slow_ones(photos: Path, jpegs: list[Path]) -> None:
    """The server answers beside them, with the file limit that a shell gives. The next test holds when they are closed."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this system allows too few open files")
    raw = jpegs[0].read_bytes()
    with command(f"photos={photos}", "--timeout", "1") as (_process, client), contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        idle = [stack.enter_context(contextlib.closing(open_socket(client))) for _i in range(1000)]
        for connection in idle[:200]:  # half a request line, half a header, half a body
            connection.sendall(b"GET /v2 HT")
        for connection in idle[200:400]:
            connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: local")
        bodies = idle[400:420]
        for connection in bodies:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc")
        assert [client.predict(raw).status for _i in range(5)] == [200] * 5
        for connection in bodies:
            received = until_closed(connection)
            assert b" 408 " in received and b"did not arrive within 1 seconds" in received
        assert client.predict(raw).status == 200


def test_headers_have_a_time_limit(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a connection that was used, and for a client that sends a byte now and then."""
    import plusx.serving.connections as connections

    monkeypatch.setattr(connections, "HEADERS_S", 0.3)
    with running(f"photos={photos}") as server:
        used = open_socket(server, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"}"):
            received += used.recv(65536)
        fresh = open_socket(server)
        ended = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                for byte in b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 10_000:
                    for connection in (used, fresh):
                        connection.sendall(bytes([byte]))
                    if ended.wait(0.02):
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert until_closed(fresh) == b"" and until_closed(used) == b""
        ended.set()
        dripping.join()
        for connection in (used, fresh):
            connection.close()


def test_the_oldest_idle_connection_gives_way(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import plusx.serving.connections as connections

    monkeypatch.setattr(connections, "MOST", 5)
    with running(f"photos={photos}") as server:
        first, *others = [open_socket(server) for _i in range(5)]
        assert server.get("/v2").status == 200
        assert until_closed(first) == b""
        for connection in (first, *others):
            connection.close()


def test_what_is_no_http_is_answered(photos: Path) -> None:
    with running(f"photos={photos}") as server:
        for text in (
            b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
            b"GET /v2 HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"A" * 70_000,
        ):
            with open_socket(server, text) as connection:
                received = until_closed(connection)
                assert received.startswith(b"HTTP/1.1 400") and b'{"error": "The request is not HTTP/1.1."}' in received
        assert server.get("/v2").status == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(photos: Path) -> None:
    """A client that waits for 100 Continue sends nothing; another is answered after what it sends."""
    with running(f"photos={photos}", body_bytes=1000) as server:
        with open_socket(
            server,
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n",
        ) as connection:
            assert until_closed(connection).startswith(b"HTTP/1.1 413")
        chunks = b"%x\r\n%s\r\n" % (600, b"a" * 600) * 3 + b"0\r\n\r\n"
        with open_socket(
            server, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        ) as connection:
            assert until_closed(connection).startswith(b"HTTP/1.1 413")


# ---- who may ask ----


def test_a_token_is_asked_for(photos: Path, jpegs: list[Path]) -> None:
    raw = jpegs[0].read_bytes()
    with running(f"photos={photos}", token="s3cret") as server:
        for path in ("/", "/healthz", "/v2/health/live", "/v2/health/ready", "/assets/page.js"):
            assert server.get(path).status == 200, path
        for path in ("/v2", "/v2/models/photos", "/metrics", "/openapi.json"):
            assert server.get(path).status == 401, path
        for given in ("", "Bearer", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret"):
            found = server.ask("POST", "/predict", raw, authorization=given)
            assert found.status == 401 and found.headers["www-authenticate"] == "Bearer", given
        assert server.ask("POST", "/predict", raw, authorization="Bearer s3cret").status == 200
        triton = pytest.importorskip("tritonclient.http")
        client = triton.InferenceServerClient(f"{server.host}:{server.port}")
        assert client.get_model_metadata("photos", headers={"Authorization": "Bearer s3cret"})["name"] == "photos"


@pytest.mark.parametrize(("host", "origin", "status"), [
    ("localhost", None, 200), ("localhost:9", None, 200), ("127.0.0.2:1", None, 200), ("[::1]:8000", None, 200),
    ("evil.example", None, 403), ("localhost.evil.example", None, 403), ("", None, 403), ("10.0.0.1", None, 403),
    ("localhost:9", "http://localhost:9", 200), ("localhost:9", "http://evil.example", 403), ("localhost", "null", 403),
])  # fmt: skip
def test_other_names_and_pages_are_refused(host: str, origin: str | None, status: int, photos_server: Client) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert photos_server.get("/v2", **headers).status == status


@pytest.fixture(scope="module")
def photos_server(photos: Path) -> Iterator[Client]:
    with running(f"photos={photos}") as server:
        yield server


# ---- KServe's client ----

KSERVE = """
import asyncio, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def main(url, *names):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "photos") and not await client.is_model_ready(url, "other")
    images = InferInput("images", [len(names)], "BYTES")
    images.set_data_from_numpy(np.array([open(name, "rb").read() for name in names], dtype=np.object_), binary_data=True)
    for parameters in ({}, {"binary_data_output": True}):
        answer = await client.infer(url, InferRequest("photos", [images], request_id="k", parameters=parameters), model_name="photos")
        assert (answer.id, answer.model_name) == ("k", "photos")
        print(answer.outputs[0].name, answer.outputs[0].as_numpy().round(3).tolist())

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
def test_kserves_client(photos: Path, jpegs: list[Path]) -> None:
    """In the environment of PLUSX_KSERVE_PYTHON, because kserve brings a Kubernetes client and a server along."""
    python = os.environ.get("PLUSX_KSERVE_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import kserve"], capture_output=True).returncode:
        pytest.skip("kserve is not installed; PLUSX_KSERVE_PYTHON may name an interpreter that has it")
    with running(f"photos={photos}") as server:
        want = server.infer("photos", *files_request([path.read_bytes() for path in jpegs[:3]])).json["outputs"][0][
            "data"
        ]
        done = subprocess.run(
            [python, "-c", KSERVE, server.url, *map(str, jpegs[:3])], capture_output=True, text=True, timeout=HANG
        )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1] and lines[0].startswith("logits [[")
    assert lines[0].count(",") == len(want) - 1 and str(round(want[0], 3)) in lines[0]
