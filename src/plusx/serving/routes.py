"""The addresses of the server, and what each answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plusx.files import json_text
from plusx.i18n import Message, _
from plusx.serving.answering import Answering, in_thread, is_large, parsed
from plusx.serving.guard import Guard, language_of, refused
from plusx.serving.inference import check_outputs, image_sources, read_request, write_response
from plusx.serving.limits import Deadline
from plusx.serving.metrics import Metrics
from plusx.serving.openapi import document
from plusx.serving.page import asset, page
from plusx.serving.refusals import Refusal
from plusx.serving.uploads import prediction_answer, uploaded_files
from plusx.version import __version__

EXTENSIONS = ["binary_tensor_data", "classification"]
HEADER_LENGTH = "inference-header-content-length"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_TOP = 1000
MANY_VALUES = 20_000
"""Logits of a response that is written in a thread: as JSON they take a hundredth of a second."""


class PlainJSON(JSONResponse):
    """JSON of any names of files and classes, valid UTF-8."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode("utf-8", "backslashreplace")


class Endpoints:
    """One method an address. `is_ready` says whether the server takes new requests."""

    def __init__(self, answering: Answering, metrics: Metrics, is_ready: Callable[[], bool]) -> None:
        self.answering, self.metrics, self.is_ready = answering, metrics, is_ready
        self.repository = answering.repository

    # ---- the Open Inference Protocol ----

    async def server(self, request: Request) -> Response:
        return PlainJSON({"name": "plusx", "version": __version__, "extensions": EXTENSIONS})

    async def live(self, request: Request) -> Response:
        return PlainJSON({"live": True})

    async def ready(self, request: Request) -> Response:
        ready = self.is_ready()
        return PlainJSON({"ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        model = self._found(request)
        return PlainJSON(model.metadata(self.repository.versions(model.name)))

    async def model_ready(self, request: Request) -> Response:
        model, ready = self._found(request), self.is_ready()
        return PlainJSON({"name": model.name, "ready": ready}, 200 if ready else 503)

    async def infer(self, request: Request) -> Response:
        name, version = self._found(request).name, request.path_params.get("version")
        deadline = Deadline(self.answering.limits.timeout_s)
        with self.answering.held.account() as account:
            body = await self.answering.body(request, account, deadline)
            length = request.headers.get(HEADER_LENGTH)
            asked = await parsed(body, lambda: read_request(body, length))
            if asked.timeout_s is not None:
                deadline.shorten(asked.timeout_s)
            wanted = check_outputs(asked, self.repository.find(name, version))
            model, results = await self.answering.results(
                request, name, version, deadline, lambda model: image_sources(asked, model), large=is_large(body)
            )
        bad = [(i, result) for i, result in enumerate(results) if isinstance(result, Message)]
        self.metrics.images(model.name, len(results) - len(bad), len(bad))
        for result in results:
            if isinstance(result, Refusal):
                raise result
        if bad:
            i, reason = bad[0]
            raise Refusal(400, _("Image {i} of {n} cannot be used: {reason}.", i=i + 1, n=len(results), reason=reason))
        logits = np.stack([result for result in results if isinstance(result, np.ndarray)])
        write = partial(write_response, asked, wanted, model, logits)
        content, header = await in_thread(write) if logits.size >= MANY_VALUES else write()
        if header is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={HEADER_LENGTH: str(header)}, media_type="application/octet-stream")

    def _found(self, request: Request) -> Any:
        return self.repository.find(request.path_params["name"], request.path_params.get("version"))

    # ---- uploads ----

    async def predict(self, request: Request) -> Response:
        asked = request.query_params
        name, version, top = (
            asked.get("model"),
            asked.get("version"),
            _number(asked.get("top", "5"), 1, MOST_TOP, "top"),
        )
        self.repository.find(name, version)
        deadline = Deadline(self.answering.limits.timeout_s)
        with self.answering.held.account() as account:
            body = await self.answering.body(request, account, deadline)
            files = await parsed(body, lambda: uploaded_files(body, request.headers.get("content-type", "")))
            model, results = await self.answering.results(
                request, name, version, deadline, lambda model: [file.content for file in files]
            )
        bad = sum(isinstance(result, Message) for result in results)
        self.metrics.images(model.name, len(results) - bad, bad)
        answer = prediction_answer(model, files, results, top, language_of(request))
        return PlainJSON(answer, 400 if "error" in answer else 200)

    async def heat_map(self, request: Request) -> Response:
        asked = request.query_params
        model = self.repository.find(asked.get("model"), asked.get("version"))
        index = _number(asked.get("class", ""), 0, len(model.classes) - 1, "class")
        deadline = Deadline(self.answering.limits.timeout_s)
        with self.answering.held.account() as account:
            body = await self.answering.body(request, account, deadline)
            (file, *others) = uploaded_files(body, request.headers.get("content-type", ""))
            if others:
                raise Refusal(400, _("A heat map is of one image, but the request has {n}.", n=1 + len(others)))
            found = await self.answering.heat_map(model, file.content, index, deadline)
        return PlainJSON({"model": model.name, "version": str(model.version), "class": model.classes[index], **found})

    # ---- the server itself ----

    async def health(self, request: Request) -> Response:
        ready = self.is_ready()
        models = {f"{model.name}/{model.version}": str(model.plan) for model in self.repository}
        return PlainJSON({"status": "ok" if ready else "ending", "models": models}, 200 if ready else 503)

    async def measured(self, request: Request) -> Response:
        return Response(self.metrics.text(self.repository), headers={"content-type": METRICS_TYPE})

    async def openapi(self, request: Request) -> Response:
        return PlainJSON(document(sorted({model.name for model in self.repository})))

    async def page(self, request: Request) -> Response:
        return page(request, self.repository)

    async def asset(self, request: Request) -> Response:
        return asset(request.path_params["name"])


def make_app(endpoints: Endpoints, guard: Guard) -> Starlette:
    """The application; every answer passes the guard."""
    e, model = endpoints, "/v2/models/{name}"
    table = [
        ("GET", "/v2", e.server),
        ("GET", "/v2/health/live", e.live),
        ("GET", "/v2/health/ready", e.ready),
        *(
            row
            for base in (model, f"{model}/versions/{{version}}")
            for row in (("GET", base, e.model), ("GET", f"{base}/ready", e.model_ready), ("POST", f"{base}/infer", e.infer))
        ),
        ("POST", "/predict", e.predict),
        ("POST", "/cam", e.heat_map),
        ("GET", "/healthz", e.health),
        ("GET", "/metrics", e.measured),
        ("GET", "/openapi.json", e.openapi),
        ("GET", "/", e.page),
        ("GET", "/assets/{name}", e.asset),
    ]  # fmt: skip
    routes = [Route(path, guard.guarded(path, endpoint), methods=[method]) for method, path, endpoint in table]

    async def other(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 405:
            refusal = Refusal(
                405, _("{path} does not take {method}.", path=request.url.path[:100], method=request.method[:20])
            )
        else:
            refusal = Refusal(404, _("There is nothing at {path}. See /openapi.json.", path=request.url.path[:100]))

        async def refuse(request: Request) -> Response:
            return refused(request, refusal)

        return await guard.guarded("other", refuse)(request)

    return Starlette(routes=routes, exception_handlers={HTTPException: other})


def _number(text: str, low: int, high: int, name: str) -> int:
    """Raises Refusal."""
    if text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    raise Refusal(
        400,
        _("{name}={text!r} is not a whole number from {low} to {high}.", name=name, text=text[:20], low=low, high=high),
    )
