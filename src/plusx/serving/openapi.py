"""The OpenAPI document of the server (spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

from typing import Any

from plusx.version import __version__

Json = dict[str, Any]


def document(models: list[str]) -> Json:
    """All addresses; `models` are the names that are served."""
    name = _parameter("name", "path", {"type": "string", "enum": models})
    version = _parameter("version", "path", {"type": "string", "pattern": "^[1-9][0-9]*$"})
    paths: Json = {
        "/v2": _get("Server metadata", "ServerMetadata"),
        "/v2/health/live": _get("Whether the server lives", "Live"),
        "/v2/health/ready": _get("Whether the server takes requests", "Ready"),
    }
    for base, parameters in (("/v2/models/{name}", [name]), ("/v2/models/{name}/versions/{version}", [name, version])):
        paths[base] = _get("Model metadata", "ModelMetadata", parameters)
        paths[f"{base}/ready"] = _get("Whether the model takes requests", "ModelReady", parameters)
        paths[f"{base}/infer"] = _post(
            "Infer (JSON, or JSON and binary tensors)", _content("InferRequest") | _binary("application/octet-stream"),
            _content("InferResponse") | _binary("application/octet-stream"),
            [*parameters, _parameter("Inference-Header-Content-Length", "header", {"type": "integer"}, required=False)],
        )  # fmt: skip
    chosen = [
        _parameter("model", "query", {"type": "string", "enum": models}, required=len(models) > 1),
        _parameter("version", "query", {"type": "string"}, required=False),
    ]
    language = _parameter("lang", "query", {"type": "string", "enum": ["en", "zh"]}, required=False)
    files = {
        "type": "object",
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
    uploads = {**_binary("image/*"), "multipart/form-data": {"schema": files}, **_content("Images")}
    top = _parameter("top", "query", {"type": "integer", "minimum": 1, "default": 5}, required=False)
    paths["/predict"] = _post("Classify image files", uploads, _content("Predictions"), [*chosen, top, language])
    index = _parameter("class", "query", {"type": "integer", "minimum": 0})
    paths["/cam"] = _post(
        "The heat map of a class over an image file", uploads, _content("HeatMap"), [*chosen, index, language]
    )
    paths["/healthz"] = _get("Health, and the engine of each model", "Health")
    paths["/metrics"] = {
        "get": {"summary": "Prometheus metrics", "responses": _responses({"text/plain": {"schema": _TEXT}})}
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "plusx serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


_TEXT = {"type": "string"}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"enum": ["UINT8", "FP32", "BYTES"]}, "data": {"type": "array"}, "parameters": {"type": "object"},
    },
}  # fmt: skip


def _object(**properties: Any) -> Json:
    return {"type": "object", "properties": properties}


def _array(items: Json) -> Json:
    return {"type": "array", "items": items}


_NUMBERS = _array({"type": "number"})
_TOP = _object(**{"class": _TEXT, "index": {"type": "integer"}, "p": {"type": "number"}})
_TENSOR_ABOUT = _object(name=_TEXT, datatype=_TEXT, shape=_array({"type": "integer"}))
SCHEMAS: Json = {
    "Error": {**_object(error=_TEXT), "required": ["error"]},
    "ServerMetadata": _object(name=_TEXT, version=_TEXT, extensions=_array(_TEXT)),
    "Live": _object(live={"type": "boolean"}),
    "Ready": _object(ready={"type": "boolean"}),
    "ModelReady": _object(name=_TEXT, ready={"type": "boolean"}),
    "ModelMetadata": _object(
        name=_TEXT, versions=_array(_TEXT), platform=_TEXT, inputs=_array(_TENSOR_ABOUT), outputs=_array(_TENSOR_ABOUT),
        parameters={"type": "object"},
    ),
    "InferRequest": _object(id=_TEXT, inputs=_array(_TENSOR), outputs=_array({"type": "object"}), parameters={"type": "object"}),
    "InferResponse": _object(model_name=_TEXT, model_version=_TEXT, id=_TEXT, outputs=_array(_TENSOR)),
    "Images": _object(images=_array(_object(name=_TEXT, b64=_TEXT))),
    "Predictions": _object(
        model=_TEXT, version=_TEXT,
        predictions=_array(_object(path=_TEXT, error={"type": ["string", "null"]}, top=_array(_TOP))),
    ),
    "HeatMap": _object(
        **{"model": _TEXT, "version": _TEXT, "class": _TEXT, "box": _NUMBERS, "at": _NUMBERS, "step": _NUMBERS,
           "heat": _array(_NUMBERS)}
    ),
    "Health": _object(status=_TEXT, models={"type": "object"}),
}  # fmt: skip


def _parameter(name: str, place: str, schema: Json, *, required: bool = True) -> Json:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _binary(kind: str) -> Json:
    return {kind: {"schema": {"type": "string", "format": "binary"}}}


def _responses(content: Json) -> Json:
    return {
        "200": {"description": "done", "content": content},
        "default": {"description": "refused", "content": _content("Error")},
    }


def _get(summary: str, schema: str, parameters: list[Json] | None = None) -> Json:
    return {"get": {"summary": summary, "parameters": parameters or [], "responses": _responses(_content(schema))}}


def _post(summary: str, body: Json, answer: Json, parameters: list[Json]) -> Json:
    request = {"required": True, "content": body}
    return {
        "post": {"summary": summary, "parameters": parameters, "requestBody": request, "responses": _responses(answer)}
    }
