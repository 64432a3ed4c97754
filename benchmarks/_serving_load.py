"""Load on a server of images on this machine, and how long the answers take. The standard library alone, and few microseconds a request.

    python benchmarks/_serving_load.py URL FOLDER --form raw|base64 --requests 400 [--connections 8 | --rate 20] [--seed 0]

Without --rate each connection sends its next request when it has an answer (throughput). With --rate requests arrive at random
(Poisson), whether or not earlier ones are answered, and times count from the arrival: a server that stalls is charged for it.
Prints JSON: images_per_s, p50_ms, p99_ms, errors, and cpu_s, the processor time that the load itself took from the server.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

MOST_OPEN = 256


class Connection:
    """One kept connection. Requests are whole bytes made beforehand."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the answer. A connection that the server closed while it was idle is opened again."""
        kept = self.streams is not None
        try:
            head = await self._sent(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not kept:
                raise
            self.streams = None
            head = await self._sent(request)
        assert self.streams is not None
        reader, writer = self.streams
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at < 0:
            raise ValueError("an answer without Content-Length")
        await reader.readexactly(int(lower[at + 15 :].split(b"\r\n", 1)[0]))
        if b"connection: close" in lower:
            writer.close()
            self.streams = None
        return int(head.split(b" ", 2)[1])

    async def _sent(self, request: bytes) -> bytes:
        """The headers of the answer."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port, limit=1 << 20)
        self.streams[1].write(request)
        return await self.streams[0].readuntil(b"\r\n\r\n")


def requests_of(folder: Path, form: str, host: str, path: str) -> list[bytes]:
    """A request for each image."""
    found = []
    for file in sorted(folder.rglob("*.jpg")):
        raw = file.read_bytes()
        kind = "image/jpeg"
        if form == "base64":
            raw, kind = json.dumps({"image": base64.b64encode(raw).decode()}).encode(), "application/json"
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n\r\n"
        found.append(head.encode() + raw)
    return found


async def closed(host: str, port: int, requests: Iterator[bytes], connections: int) -> tuple[list[float], int]:
    """Each connection sends one request after another."""
    times: list[float] = []
    errors = 0

    async def work() -> None:
        nonlocal errors
        connection = Connection(host, port)
        for request in requests:
            start = time.perf_counter()
            errors += await connection.ask(request) != 200
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(work() for _ in range(connections)))
    return times, errors


async def open_loop(host: str, port: int, requests: Iterator[bytes], rate: float, seed: int) -> tuple[list[float], int]:
    """Requests arrive at random moments, `rate` a second."""
    draw, free, times, tasks = random.Random(seed), [Connection(host, port)], list[float](), list[asyncio.Task[None]]()
    errors = 0
    limit = asyncio.Semaphore(MOST_OPEN)

    async def one(request: bytes, arrival: float) -> None:
        nonlocal errors
        async with limit:
            connection = free.pop() if free else Connection(host, port)
            errors += await connection.ask(request) != 200
            free.append(connection)
        times.append(time.perf_counter() - arrival)

    arrival = time.perf_counter()
    for request in requests:
        arrival += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, arrival - time.perf_counter()))
        tasks.append(asyncio.create_task(one(request, arrival)))
    await asyncio.gather(*tasks)
    return times, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--form", choices=("raw", "base64"), default="raw")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    where = urlsplit(asked.url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    made = requests_of(asked.folder, asked.form, where.netloc, where.path or "/")
    if not made:
        sys.exit(f"no .jpg in {asked.folder}")
    todo = islice(cycle(made), asked.requests)
    begun, cpu = time.perf_counter(), time.process_time()
    if asked.rate is None:
        times, errors = asyncio.run(closed(host, port, todo, asked.connections))
    else:
        times, errors = asyncio.run(open_loop(host, port, todo, asked.rate, asked.seed))
    seconds, order = time.perf_counter() - begun, sorted(times)
    print(json.dumps({
        "requests": len(times), "errors": errors, "seconds": round(seconds, 3), "images_per_s": round(len(times) / seconds, 2),
        "p50_ms": round(1000 * order[len(order) // 2], 2), "p99_ms": round(1000 * order[min(len(order) - 1, int(0.99 * len(order)))], 2),
        "cpu_s": round(time.process_time() - cpu, 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
