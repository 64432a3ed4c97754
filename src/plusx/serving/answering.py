"""From the body of a request to the results of its images: read, queued, waited for, given up where nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from plusx.i18n import _
from plusx.serving.batching import Job, RowResult, Source, Unloaded
from plusx.serving.bodies import Gone, decompressed, read_body
from plusx.serving.limits import Account, Deadline, Held, Limits
from plusx.serving.refusals import Refusal
from plusx.serving.repository import Repository
from plusx.serving.served import ServedModel

LARGE = 1 << 16
"""Bytes of a body whose parsing is left to a thread, so that other requests are answered meanwhile."""
PARSERS = ThreadPoolExecutor(2, thread_name_prefix="plusx-parse")
"""Few, because a large JSON takes much memory while it is read."""
MOST_MAPS = 8
T = TypeVar("T")


@dataclass
class Answering:
    """The way of a request through the server. Endpoints call it in the event loop."""

    repository: Repository
    limits: Limits
    held: Held
    maps_waiting: int = 0

    async def body(self, request: Request, account: Account, deadline: Deadline) -> bytes:
        """The whole body, decompressed. Raises Refusal, Gone."""
        headers = request.headers
        most = self.limits.body_bytes
        raw = await read_body(request.receive, most, account, deadline, headers.get("content-length"))
        request.state.body_read = True
        encoding = headers.get("content-encoding")
        return (
            raw if encoding is None else await parsed(raw, lambda: decompressed(raw, encoding.lower(), most, account))
        )

    async def results(
        self, request: Request, name: str | None, version: str | None, deadline: Deadline,
        sources_for: Callable[[ServedModel], Sequence[Source]], *, large: bool = False,
    ) -> tuple[ServedModel, list[RowResult]]:  # fmt: skip
        """The results of all images of a request, and the model that computed them. Raises Refusal, Gone.

        `sources_for` runs in a thread where the request is `large`. Where the model is exchanged meanwhile, it runs again.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        waited_for = True

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        def when_done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(finish)

        while True:
            model = self.repository.find(name, version)
            sources = await in_thread(partial(sources_for, model)) if large else sources_for(model)
            job = Job(sources, lambda: waited_for, when_done)
            try:
                model.batcher.submit(job)
                break
            except Unloaded:
                if self.repository.find(name, version) is model:
                    raise
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({done, gone}, timeout=deadline.left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waited_for = False
            gone.cancel()
        if done.done():
            return model, [result for result in job.results if result is not None]
        if gone.done() and not gone.cancelled():
            raise Gone
        raise Refusal(
            504,
            _("The images were not computed within {seconds:g} seconds. Try again later.", seconds=deadline.seconds),
            1,
        )

    async def heat_map(self, model: ServedModel, raw: bytes, class_index: int, deadline: Deadline) -> dict[str, Any]:
        """A heat map, computed in a thread; few wait at a time, since each takes all cores. Raises Refusal, PlusxError."""
        if self.maps_waiting >= MOST_MAPS:
            raise Refusal(503, _("{n} heat maps are waiting already. Try again in a second.", n=self.maps_waiting), 1)
        self.maps_waiting += 1
        work = asyncio.ensure_future(asyncio.to_thread(model.heat_map, raw, class_index))
        work.add_done_callback(self._map_done)
        done, _left = await asyncio.wait({work}, timeout=deadline.left_s)
        if not done:
            raise Refusal(
                504,
                _(
                    "The heat map was not computed within {seconds:g} seconds. Try again later.",
                    seconds=deadline.seconds,
                ),
                1,
            )
        return work.result()

    def _map_done(self, work: asyncio.Future[Any]) -> None:
        self.maps_waiting -= 1
        if not work.cancelled():
            work.exception()  # nobody may be waiting for it any more


def is_large(body: bytes) -> bool:
    """Whether a body is left to a thread."""
    return len(body) >= LARGE


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, computed by one of PARSERS."""
    return await asyncio.get_running_loop().run_in_executor(PARSERS, work)


async def parsed(body: bytes, parse: Callable[[], T]) -> T:
    """What `parse` makes of a body, in a thread where that may take long."""
    return await in_thread(parse) if is_large(body) else parse()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
