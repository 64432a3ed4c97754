"""A request of the Open Inference Protocol, and its response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plusx.files import json_text
from plusx.i18n import _
from plusx.runtime.predicting import softmax
from plusx.serving.batching import Source
from plusx.serving.bodies import read_json
from plusx.serving.refusals import Refusal
from plusx.serving.served import INPUT, ServedModel
from plusx.serving.tensors import (
    DATATYPES,
    MOST_IMAGES,
    array_from,
    bytes_tensor,
    classification,
    element_count,
    files_from_binary,
    files_from_json,
    levels_of,
)


class WantedOutput(NamedTuple):
    """One output of a response; `classes` is the k of the classification extension, or 0."""

    name: str
    binary: bool
    classes: int


@dataclass(frozen=True)
class InferRequest:
    """A parsed request. `data` is bytes for a binary tensor, else the lists of JSON; `outputs` None means all of them."""

    id: str | None
    datatype: str
    shape: list[int]
    data: Any
    outputs: list[WantedOutput] | None
    binary: bool
    timeout_s: float | None


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """The request in a body; `header_length` is that of its JSON, behind which binary tensors follow. Raises Refusal (400)."""
    length = _header_length(body, header_length)
    try:
        found = read_json(body[:length])
    except ValueError as error:
        raise Refusal(
            400, _("The body is not JSON, or not as long as Inference-Header-Content-Length says.")
        ) from error
    if not isinstance(found, dict):
        raise Refusal(400, _('The body is not a JSON object with "inputs".'))
    asked = _parameters(found)
    tensor, data = _input(found, body[length:])
    binary = asked.get("binary_data_output") is True
    micros = asked.get("timeout")
    return InferRequest(
        id=found["id"] if isinstance(found.get("id"), str) else None,
        datatype=tensor["datatype"],
        shape=tensor["shape"],
        data=data,
        outputs=_outputs(found.get("outputs"), binary),
        binary=binary,
        timeout_s=micros / 1e6 if type(micros) is int and micros > 0 else None,
    )


def image_sources(request: InferRequest, model: ServedModel) -> list[Source]:
    """The images of a request, checked against what the model takes. Raises Refusal (400)."""
    shape, datatype = request.shape, request.datatype
    element_count(shape)
    if not shape[0] or shape[0] > MOST_IMAGES:
        raise Refusal(400, _("The shape {shape} holds no image, or too many.", shape=shape))
    if datatype == "BYTES":
        if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
            raise Refusal(400, _("The shape of a BYTES tensor is [number of images], not {shape}.", shape=shape))
        read = files_from_binary if isinstance(request.data, bytes) else files_from_json
        return list(read(request.data, shape[0]))
    _n, height, width, channels = wanted = model.input_shape
    if datatype == "FP32":
        wanted = [-1, channels, height, width]
    if (
        len(shape) != 4
        or any(have != want for have, want in zip(shape, wanted, strict=True) if want != -1)
        or 0 in shape
    ):
        raise Refusal(
            400,
            _("{name} takes {datatype} of shape {wanted}, not {shape}. Image files of any size are sent as BYTES.",
              name=model.name, datatype=datatype, wanted=wanted, shape=shape)
        )  # fmt: skip
    array = array_from(request.data, datatype, shape)
    return list(levels_of(array.astype(np.float32), model.pre) if datatype == "FP32" else array.astype(np.uint8))


def check_outputs(request: InferRequest, model: ServedModel) -> list[WantedOutput]:
    """What the response holds. Raises Refusal (400) for an output that the model does not have."""
    if request.outputs is None:
        return [WantedOutput(name, request.binary, 0) for name in model.outputs]
    for output in request.outputs:
        if output.name not in model.outputs:
            raise Refusal(
                400,
                _("{name} has no output {output!r}. Its outputs: {known}.",
                  name=model.name, output=output.name, known=", ".join(model.outputs))
            )  # fmt: skip
    return request.outputs


def write_response(
    request: InferRequest, outputs: Sequence[WantedOutput], model: ServedModel, logits: NDArray[np.float32]
) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON where binary tensors follow it."""
    tensors, tail = [], []
    for name, binary, k in outputs:
        values = logits if name == model.outputs[0] else softmax(logits).astype(np.float32)
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        texts: list[str] = []
        if k:
            texts = classification(values, model.classes, k)
            tensor |= {"datatype": "BYTES", "shape": [len(values), min(k, len(model.classes))]}
        if binary:
            tail.append(bytes_tensor(texts) if k else np.ascontiguousarray(values, "<f4").tobytes())
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = texts if k else [float(value) for value in values.ravel()]
        tensors.append(tensor)
    whole: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
    if request.id is not None:
        whole["id"] = request.id
    head = json_text({**whole, "outputs": tensors}).encode("utf-8", "backslashreplace")
    return b"".join([head, *tail]), len(head) if tail else None


def _header_length(body: bytes, written: str | None) -> int:
    if written is None:
        return len(body)
    if not (written.isascii() and written.isdecimal() and len(written) < 12 and int(written) <= len(body)):
        raise Refusal(
            400,
            _("Inference-Header-Content-Length: {written} does not fit a body of {size} bytes.", written=written[:20], size=len(body))
        )  # fmt: skip
    return int(written)


def _input(found: dict[str, Any], tail: bytes) -> tuple[dict[str, Any], Any]:
    """The only input, its fields of the right kinds, and its data."""
    inputs = found.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(tensor, dict) for tensor in inputs):
        raise Refusal(400, _('The request has no list "inputs".'))
    if len(inputs) != 1 or inputs[0].get("name") != INPUT:
        names = ", ".join(str(tensor.get("name")) for tensor in inputs[:8]) or "-"
        raise Refusal(
            400, _("The network has one input, {name}, but the request has: {names}.", name=INPUT, names=names)
        )
    (tensor,) = inputs
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if datatype not in DATATYPES:
        raise Refusal(
            400,
            _("The input has the datatype {datatype!r}. It may be {known}.", datatype=str(datatype)[:20], known=", ".join(DATATYPES))
        )  # fmt: skip
    if not isinstance(shape, list):
        raise Refusal(400, _("The input has no shape."))
    asked = _parameters(tensor)
    if any(key.startswith("shared_memory") for key in asked):
        raise Refusal(400, _("This server reads no shared memory. Send the tensor in the request."))
    if "data" in tensor:
        return tensor, tensor["data"]
    size = asked.get("binary_data_size", len(tail))
    if type(size) is not int or size != len(tail):
        raise Refusal(
            400,
            _("binary_data_size says {size}, but {found} bytes follow the JSON.", size=str(size)[:20], found=len(tail)),
        )
    return tensor, tail


def _outputs(found: Any, binary: bool) -> list[WantedOutput] | None:
    if not found:
        return None
    if not isinstance(found, list) or not all(isinstance(output, dict) for output in found):
        raise Refusal(400, _('"outputs" is not a list of objects with a name.'))
    wanted = []
    for output in found:
        asked = _parameters(output)
        k = asked.get("classification", 0)
        if type(k) is not int or not 0 <= k < 1 << 20:
            raise Refusal(400, _("classification is a number of classes, from 1."))
        if any(key.startswith("shared_memory") for key in asked):
            raise Refusal(400, _("This server writes no shared memory. Leave it out."))
        wanted.append(WantedOutput(str(output.get("name")), asked.get("binary_data", binary) is True, k))
    return wanted


def _parameters(found: dict[str, Any]) -> dict[str, Any]:
    asked = found.get("parameters", {})
    if not isinstance(asked, dict):
        raise Refusal(400, _('"parameters" is not an object.'))
    return asked
