"""The images of a POST /predict: one file as the body, several as multipart, or base64 in JSON; and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plusx.i18n import Message, _, translate
from plusx.runtime.predicting import softmax, top_indices
from plusx.serving.batching import RowResult
from plusx.serving.bodies import UploadedFile, multipart_files, read_json
from plusx.serving.refusals import Refusal
from plusx.serving.served import ServedModel
from plusx.serving.tensors import from_base64


def uploaded_files(body: bytes, content_type: str) -> list[UploadedFile]:
    """The files of a request by its Content-Type. Raises Refusal (400)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return multipart_files(body, content_type)
    if kind == "application/json":
        return _json_files(body)
    if not body:
        raise Refusal(400, _("The request has no body. Send an image file: curl --data-binary @photo.jpg."))
    return [UploadedFile("", body)]


def _json_files(body: bytes) -> list[UploadedFile]:
    wrong = _('The JSON is not {"images": [{"name": "a.jpg", "b64": "…"}]} with at least one image.')
    try:
        found = read_json(body)
    except ValueError as error:
        raise Refusal(400, wrong) from error
    images = found.get("images") if isinstance(found, dict) else None
    if not isinstance(images, list) or not images:
        raise Refusal(400, wrong)
    files = []
    for image in images:
        text = image.get("b64") if isinstance(image, dict) else image
        name = image.get("name", "") if isinstance(image, dict) else ""
        if not isinstance(text, str) or not isinstance(name, str):
            raise Refusal(400, wrong)
        files.append(UploadedFile(name, from_base64(text)))
    return files


def prediction_answer(
    model: ServedModel, files: Sequence[UploadedFile], results: Sequence[RowResult], top: int, lang: str
) -> dict[str, Any]:
    """The body of the answer: a row for each file, in order, with the fields of `plusx predict --format jsonl`.

    Raises Refusal where the server failed, or where no file could be read.
    """
    rows: list[dict[str, Any]] = []
    reasons: list[Message] = []
    for file, result in zip(files, results, strict=True):
        if isinstance(result, Refusal):
            raise result
        if isinstance(result, Message):
            reasons.append(result)
            rows.append({"path": file.name, "error": translate(result, lang), "top": []})
            continue
        shares = softmax(result)
        best = [{"class": model.classes[i], "index": i, "p": float(shares[i])} for i in top_indices(shares, top)]
        rows.append({"path": file.name, "error": None, "top": best})
    answer = {"model": model.name, "version": str(model.version), "predictions": rows}
    if len(reasons) < len(rows):
        return answer
    text = _("The image cannot be used: {reason}.", reason=reasons[0])
    if len(rows) > 1:
        text = _("None of the {n} images can be used. The first: {reason}.", n=len(rows), reason=reasons[0])
    return {**answer, "error": translate(text, lang)}
