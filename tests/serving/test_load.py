"""Under load and faults: a bounded queue, deadlines, clients that leave, workers that die, bundles that change."""

from __future__ import annotations

import gc
import json
import shutil
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import open_bundle, save_bundle
from plusx.errors import RunError
from plusx.i18n import _
from serverside import Running, files_request, running, until

pytest.importorskip("openvino")
pytest.importorskip("uvicorn")
pytest_plugins = ["shipped"]


class Gate:
    """Stands in for an engine's infer: it waits until it is opened, and counts images."""

    def __init__(self, server: Running) -> None:
        self.batcher = next(iter(server.server.repository)).batcher
        self.engine, self.open, self.images, self.calls = self.batcher.engine, threading.Event(), 0, 0
        self._infer = self.engine.infer
        self.engine.infer = self  # type: ignore[method-assign]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.calls += 1
        self.open.wait()
        self.images += len(images)
        return self._infer(images)


def together(tasks: list) -> list[threading.Thread]:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    return threads


def test_a_full_queue_refuses_and_recovers(photos: Path, jpegs: list[Path]) -> None:
    raw, answers = jpegs[0].read_bytes(), []
    with running(f"photos={photos}", queue=4) as server:
        gate = Gate(server)
        workers = gate.engine.plan.workers
        first = []
        for i in range(workers):  # each worker takes one, then four wait
            first += together([lambda: answers.append(server.predict(raw))])
            until(lambda i=i: gate.calls == i + 1)
        waiting = together([lambda: answers.append(server.infer("photos", *files_request([raw] * 4)))])
        until(lambda: gate.batcher.waiting == 4)
        refused = server.predict(raw)
        assert refused.status == 503 and refused.headers["retry-after"] == "1"
        assert refused.error == "4 images are waiting already, and at most 4 may. Try again in a second."
        large = server.infer("photos", *files_request([raw] * 5))
        assert large.status == 413 and "Split it" in large.error
        gate.open.set()
        for thread in [*first, *waiting]:
            thread.join()
        assert [answer.status for answer in answers] == [200] * (workers + 1)
        assert server.predict(raw).status == 200


def test_a_late_answer_is_504_and_what_waited_is_not_computed(photos: Path, jpegs: list[Path]) -> None:
    raw, answers = jpegs[0].read_bytes(), []
    with running(f"photos={photos}", timeout_s=0.3) as server:
        gate = Gate(server)
        n = 3 * gate.engine.plan.workers
        for i in range(n):
            together([lambda: answers.append(server.predict(raw))])
            until(lambda i=i: gate.calls + gate.batcher.waiting == i + 1 or len(answers) > 0)
        until(lambda: len(answers) == n)
        assert {answer.status for answer in answers} == {504}
        assert "within 0.3 seconds" in answers[0].error
        begun = gate.calls
        gate.open.set()
        until(lambda: gate.batcher.waiting == 0 and gate.batcher.computing == 0)
        assert gate.calls == begun and gate.images <= begun * gate.engine.plan.batch < n * gate.engine.plan.batch
        assert server.predict(raw).status == 200


def test_a_client_may_ask_for_less_time(photos: Path, jpegs: list[Path]) -> None:
    """Triton's request parameter `timeout`, in microseconds."""
    with running(f"photos={photos}") as server:
        gate = Gate(server)
        found = server.infer("photos", *files_request([jpegs[0].read_bytes()], parameters={"timeout": 50_000}))
        gate.open.set()
        assert found.status == 504


def test_images_of_a_client_that_left_are_not_computed(photos: Path, jpegs: list[Path]) -> None:
    raw = jpegs[0].read_bytes()
    with running(f"photos={photos}") as server:
        gate = Gate(server)
        workers = gate.engine.plan.workers
        busy = []
        for i in range(workers):
            busy += together([lambda: server.predict(raw)])
            until(lambda i=i: gate.calls == i + 1)
        request, tail = files_request([raw] * 7)
        head = json.dumps(request).encode()
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(
                b"POST /v2/models/photos/infer HTTP/1.1\r\nHost: localhost\r\n"
                + f"Inference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(head) + len(tail)}\r\n\r\n".encode()
                + head + tail
            )  # fmt: skip
            until(lambda: gate.batcher.waiting == 7)
        until(lambda: 'status="499"' in server.get("/metrics").body.decode())
        gate.open.set()
        for thread in busy:
            thread.join()
        until(lambda: gate.batcher.waiting == 0)
        assert gate.images == workers


def test_waiting_images_share_batches(photos: Path, jpegs: list[Path]) -> None:
    """Requests of one image each, which come while all workers compute."""
    raw, n = jpegs[0].read_bytes(), 24
    with running(f"photos={photos}") as server:
        gate = Gate(server)
        workers = gate.engine.plan.workers
        assert gate.engine.plan.batch >= n
        answers: list = []
        busy = []
        for i in range(workers):
            busy += together([lambda: server.predict(raw)])
            until(lambda i=i: gate.calls == i + 1)
        threads = together([lambda: answers.append(server.predict(raw))] * n)
        until(lambda: gate.batcher.waiting == n)
        gate.open.set()
        for thread in [*busy, *threads]:
            thread.join()
        assert [answer.status for answer in answers] == [200] * n
        assert gate.calls <= workers + 8, "each image was computed alone"


@pytest.mark.parametrize("fault", [SystemExit, MemoryError, ValueError])
def test_a_worker_that_dies_is_replaced(fault: type[BaseException], photos: Path, jpegs: list[Path]) -> None:
    raw = jpegs[0].read_bytes()
    with running(f"photos={photos}") as server:
        batcher = next(iter(server.server.repository)).batcher
        infer, faults = batcher.engine.infer, 3 * batcher.engine.plan.workers

        def failing(images: np.ndarray) -> np.ndarray:
            nonlocal faults
            if faults > 0:
                faults -= 1
                raise fault("planted")
            return infer(images)

        batcher.engine.infer = failing  # type: ignore[method-assign]
        for _request in range(faults):
            found = server.predict(raw)
            assert found.status == 500 and found.error == "The server failed while it computed this image. Try again."
        assert [server.predict(raw).status for _request in range(5)] == [200] * 5
        assert (
            sum("planted" in line and "is replaced" in line for line in server.said) == 3 * batcher.engine.plan.workers
        )
        until(lambda: batcher.computing == 0)


def test_an_engine_that_fails_fails_its_images_alone(photos: Path, jpegs: list[Path]) -> None:
    raw = jpegs[0].read_bytes()
    with running(f"photos={photos}") as server:
        batcher = next(iter(server.server.repository)).batcher
        infer = batcher.engine.infer

        def failing(images: np.ndarray) -> np.ndarray:
            batcher.engine.infer = infer  # type: ignore[method-assign]
            raise RunError(
                _(
                    "OpenVINO failed while it computed {n} images. Try --engine torch; --debug shows its own message.",
                    n=1,
                )
            )

        batcher.engine.infer = failing  # type: ignore[method-assign]
        found = server.predict(raw)
        assert found.status == 500 and found.error.startswith("OpenVINO failed")
        assert server.predict(raw).status == 200
        batcher.engine.infer = lambda images: np.full((len(images), 3), np.nan, np.float32)  # type: ignore[method-assign]
        found = server.predict(raw)
        assert found.status == 500 and "not finite" in found.error


def test_heat_maps_without_openvino_are_501(photos: Path, jpegs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import plusx.runtime.class_maps as class_maps

    with running(f"photos={photos}") as server:
        monkeypatch.setattr(class_maps, "installed", lambda name: False)
        found = server.ask("POST", "/cam?class=0", jpegs[0].read_bytes())
    assert found.status == 501 and "Heat maps are computed by OpenVINO, which is not installed." in found.error


def test_an_error_nobody_foresaw_is_no_traceback(
    photos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import plusx.serving.routes as routes

    def broken(*_values: object) -> None:
        raise ZeroDivisionError("secret path /home/x")

    monkeypatch.setattr(routes, "uploaded_files", broken)
    with running(f"photos={photos}") as server:
        found = server.predict(b"x")
    assert found.status == 500 and found.json == {"error": "The server failed while it answered. Its log says more."}
    assert "ZeroDivisionError" in caplog.text and "Traceback" not in caplog.text


# ---- bundles that change ----


def renamed(source: Path, to: Path, prefix: str) -> Path:
    """A bundle of the same network whose classes have other names, and whose classifier has other biases."""
    found = open_bundle(source)
    weights = dict(found.weights())
    weights["fc.bias"] = weights["fc.bias"] + np.arange(3, dtype=np.float32) * len(prefix)
    classes = [f"{prefix}{i}" for i in range(3)]
    return save_bundle(to, found.spec, classes, found.preprocessing, weights)


def mapped_networks() -> int:
    """The cached networks that this process has in memory, where Linux says so."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return sum(
        "/compiled/" in line and line.split()[2] == "00000000" for line in lines
    )  # a mapping may be in several parts


def test_a_changed_bundle_is_exchanged_without_a_failed_request(
    photos: Path, jpegs: list[Path], tmp_path: Path
) -> None:
    """Each answer is wholly of one version: its names and its probabilities belong together."""
    raw = jpegs[0].read_bytes()
    kinds = {}
    for prefix in ("a", "bb"):
        with running(f"m={renamed(photos, tmp_path / prefix, prefix)}") as server:
            kinds[prefix] = [(t["class"], round(t["p"], 5)) for t in server.predict(raw).json["predictions"][0]["top"]]
    place, answers, ended = renamed(photos, tmp_path / "m", "a"), [], threading.Event()
    mapped = mapped_networks()
    with running(f"m={place}", poll_s=0.02) as server:

        def load() -> None:
            while not ended.is_set():
                answers.append(server.predict(raw))

        threads = together([load] * 3)
        for exchange in range(6):
            renamed(photos, place, "a" if exchange % 2 else "bb")
            until(lambda exchange=exchange: sum("was loaded from" in line for line in server.said) == exchange + 1)
        before = len(answers)
        until(lambda: len(answers) > before + 5)
        ended.set()
        for thread in threads:
            thread.join()
        workers = next(iter(server.server.repository)).plan.workers
        until(lambda: sum(thread.name == "plusx-serve" for thread in threading.enumerate()) == workers)
        gc.collect()
        assert mapped_networks() <= mapped + 1, "cached networks of old bundles stay in memory"
    assert {answer.status for answer in answers} == {200}, [answer.body for answer in answers if answer.status != 200][
        :3
    ]
    seen = [[(t["class"], round(t["p"], 5)) for t in answer.json["predictions"][0]["top"]] for answer in answers]
    assert all(row in kinds.values() for row in seen) and all(kind in seen for kind in kinds.values())


def test_what_waits_for_the_old_bundle_is_computed_by_it(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    raw, place, answers = jpegs[0].read_bytes(), renamed(photos, tmp_path / "m", "a"), []
    with running(f"m={place}", poll_s=0.02) as server:
        gate = Gate(server)
        threads = together([lambda: answers.append(server.infer("m", *files_request([raw] * 200)))])
        until(lambda: gate.batcher.waiting and gate.calls == gate.engine.plan.workers)
        renamed(photos, place, "bb")
        until(lambda: len(server.said) == 1)
        assert server.predict(raw).json["predictions"][0]["top"][0]["class"].startswith("bb")
        gate.open.set()
        for thread in threads:
            thread.join()
        assert answers[0].status == 200 and gate.images == 200


def test_a_request_that_found_the_old_bundle_goes_to_the_new_one(
    photos: Path, jpegs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange comes between looking a model up and handing it the images."""
    import plusx.serving.answering as answering

    place, make = renamed(photos, tmp_path / "m", "a"), answering.Job
    with running(f"m={place}", poll_s=3600) as server:

        def exchanged_first(*words: object) -> object:
            monkeypatch.setattr(answering, "Job", make)
            renamed(photos, place, "bb")
            server.server.repository._look("m", 1, place)
            return make(*words)  # type: ignore[arg-type]

        monkeypatch.setattr(answering, "Job", exchanged_first)
        found = server.predict(jpegs[0].read_bytes())
        assert found.status == 200 and found.json["predictions"][0]["top"][0]["class"].startswith("bb")


def test_a_damaged_bundle_is_refused_and_the_old_one_goes_on(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    raw, place = jpegs[0].read_bytes(), renamed(photos, tmp_path / "m", "a")
    other = renamed(photos, tmp_path / "other", "bb")
    with running(f"m={place}", poll_s=0.02) as server:
        before = server.predict(raw).json
        whole = (place / "bundle.json").read_bytes()
        for damage in (b"{", whole.replace(b"a0", b"z0"), (other / "bundle.json").read_bytes()):
            n = len(server.said)
            (tmp_path / "damage").write_bytes(damage)
            (tmp_path / "damage").replace(place / "bundle.json")  # no poll sees half of it
            until(lambda n=n: len(server.said) > n)
            assert server.said[-1].startswith("m version 1 changed, but ") and server.said[-1].endswith("goes on.")
            assert server.predict(raw).json == before
        time.sleep(0.2)
        assert len(server.said) == 3, "one line each, not one a poll"
        shutil.copy(other / "weights.safetensors", place / "weights.safetensors")  # the rest of the copy arrives
        until(lambda: server.predict(raw).json["predictions"][0]["top"][0]["class"].startswith("bb"))
        shutil.rmtree(place)
        time.sleep(0.1)
        assert server.predict(raw).status == 200 and server.get("/v2/health/ready").status == 200
        text = server.get("/metrics").body.decode()
        assert 'plusx_model_loads_total{model="m",result="refused"}' in text
        assert 'plusx_model_loads_total{model="m",result="loaded"} 2' in text


def test_versions_in_folders_and_by_name(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    raw = jpegs[0].read_bytes()
    renamed(photos, tmp_path / "m" / "1", "a")
    renamed(photos, tmp_path / "m" / "3", "bb")
    with running(tmp_path / "m", f"other={photos}", f"other:7={photos}") as server:

        def first(query: str) -> str:
            return server.predict(raw, query).json["predictions"][0]["top"][0]["class"]

        assert first("?model=m").startswith("bb") and first("?model=m&version=1").startswith("a")
        assert server.get("/v2/models/m").json["versions"] == ["1", "3"]
        assert server.get("/v2/models/other").json["versions"] == ["1", "7"]
        unnamed = server.predict(raw)
        assert (
            unnamed.status == 400 and unnamed.error == "Several models are served. Name one with ?model=NAME: m, other."
        )
        renamed(photos, tmp_path / "m" / "4", "cccc")
        until(lambda: server.get("/v2/models/m").json["versions"] == ["1", "3", "4"])
        assert first("?model=m").startswith("cccc")


# ---- many requests ----


def resident(server: Running) -> int:
    (line,) = [row for row in server.get("/metrics").body.decode().splitlines() if row.startswith("process_resident")]
    return int(line.split()[-1])


@pytest.mark.parametrize("n", [pytest.param(300, id="300"), pytest.param(100_000, id="100000", marks=pytest.mark.slow)])
def test_memory_stays_flat(n: int, photos: Path, jpegs: list[Path]) -> None:
    """Good, unreadable and refused requests, over new and kept connections."""
    import http.client

    raw = min((path.read_bytes() for path in jpegs), key=len)
    with running(f"photos={photos}") as server:

        def load(times: int) -> None:
            connection = http.client.HTTPConnection(server.host, server.port)
            for i in range(times):
                kind = {"Content-Type": "image/jpeg"}
                bodies = (raw, raw, b"hello", raw[:500])
                connection.request("POST", "/predict" if i % 7 else "/predict?model=none", bodies[i % 4], kind)
                connection.getresponse().read()
                if i % 50 == 49:
                    connection.close()

        def all_of(times: int) -> None:
            for thread in together([lambda: load(times // 3)] * 3):
                thread.join()

        all_of(min(n, 3000) // 2)
        before = resident(server)
        all_of(n)
        assert resident(server) < before + (24 << 20)
        assert server.server.repository.find().batcher.waiting == 0
