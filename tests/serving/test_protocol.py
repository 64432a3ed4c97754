"""The Open Inference Protocol, with NVIDIA's own client and by hand; expected numbers are torch's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import open_bundle
from plusx.deploy.reference import Reference
from plusx.images import decode, normalise, resize_crop
from plusx.runtime.predicting import softmax
from serverside import Running, files_request, running

pytest.importorskip("openvino")
pytest.importorskip("uvicorn")
pytest_plugins = ["shipped"]


@pytest.fixture(scope="module")
def server(photos: Path) -> Iterator[Running]:
    with running(f"photos={photos}") as found:
        yield found


@pytest.fixture(scope="module")
def cropped(photos: Path, jpegs: list[Path]) -> np.ndarray:
    """The images as the network takes them, uint8 (n, h, w, c)."""
    pre = open_bundle(photos).preprocessing
    return np.stack([resize_crop(decode(path, pre.mode, at_least_px=pre.decode_px), pre) for path in jpegs])


@pytest.fixture(scope="module")
def logits(photos: Path, cropped: np.ndarray) -> np.ndarray:
    """What torch computes."""
    return Reference(open_bundle(photos))(cropped)


def read(answer, name: str = "logits") -> np.ndarray:
    """An output of an answer in JSON."""
    assert answer.status == 200, answer.body
    (found,) = [output for output in answer.json["outputs"] if output["name"] == name]
    return np.array(found["data"], np.float32).reshape(found["shape"])


# ---- NVIDIA's client ----


def test_tritonclient_reads_the_metadata(server: Running, photos: Path) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"{server.host}:{server.port}")
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("photos") and client.is_model_ready("photos", "1")
    assert not client.is_model_ready("other") and not client.is_model_ready("photos", "2")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
    about = client.get_model_metadata("photos")
    assert about["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}]
    assert [(o["name"], o["shape"]) for o in about["outputs"]] == [("logits", [-1, 3]), ("probabilities", [-1, 3])]
    assert about["parameters"]["classes"] == list(open_bundle(photos).classes)


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_infers_from_files_and_arrays(
    binary: bool, server: Running, photos: Path, jpegs: list[Path], cropped: np.ndarray, logits: np.ndarray
) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"{server.host}:{server.port}")
    tensors = {
        "UINT8": cropped,
        "FP32": normalise(cropped, open_bundle(photos).preprocessing),
        "BYTES": np.array([path.read_bytes() for path in jpegs], dtype=np.object_),
    }
    for datatype, tensor in tensors.items():
        if datatype == "BYTES" and not binary:  # its JSON holds UTF-8 alone
            continue
        images = triton.InferInput("images", list(tensor.shape), datatype)
        images.set_data_from_numpy(tensor, binary_data=binary)
        outputs = [triton.InferRequestedOutput("logits", binary_data=binary)]
        for wanted in (None, outputs):
            answer = client.infer("photos", [images], outputs=wanted, request_id="x7", timeout=10**9)
            assert np.abs(answer.as_numpy("logits") - logits).max() < 1e-4 * np.abs(logits).max(), datatype
            assert answer.get_response()["id"] == "x7" and answer.get_response()["model_version"] == "1"
        assert np.allclose(client.infer("photos", [images]).as_numpy("probabilities"), softmax(logits), atol=1e-5)


def test_tritonclient_gets_classes_and_compresses(server: Running, jpegs: list[Path], logits: np.ndarray) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"{server.host}:{server.port}")
    images = triton.InferInput("images", [len(jpegs)], "BYTES")
    images.set_data_from_numpy(np.array([path.read_bytes() for path in jpegs], dtype=np.object_))
    wanted = [triton.InferRequestedOutput("probabilities", class_count=2)]
    for algorithm in (None, "gzip", "deflate"):
        answer = client.infer("photos", [images], outputs=wanted, request_compression_algorithm=algorithm)
        rows = [[text.decode().split(":") for text in row] for row in answer.as_numpy("probabilities")]
        order = np.argsort(-logits, axis=1)[:, :2]
        assert [[int(index) for _p, index, _name in row] for row in rows] == order.tolist()
        assert all(name == f"class {index}" for row in rows for _p, index, name in row)
        shares = np.take_along_axis(softmax(logits), order, axis=1)
        assert np.allclose([[float(p) for p, _index, _name in row] for row in rows], shares, atol=1e-5)


def test_tritonclient_is_told_what_is_wrong(server: Running) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"{server.host}:{server.port}")
    images = triton.InferInput("images", [1, 8, 8, 3], "UINT8")
    images.set_data_from_numpy(np.zeros((1, 8, 8, 3), np.uint8))
    for name, status, words in (("photos", "400", "photos takes UINT8"), ("other", "404", "no model 'other'")):
        with pytest.raises(triton.InferenceServerException, match=words) as caught:
            client.infer(name, [images])
        assert caught.value.status() == status


# ---- by hand ----


def test_files_as_openvino_model_server_takes_them(server: Running, jpegs: list[Path], logits: np.ndarray) -> None:
    """docs/binary_input_kfs.md there: lengths in 4 bytes; of one input, binary_data_size may be missing, and of one image its length."""
    raw = [path.read_bytes() for path in jpegs]
    request, tail = files_request(raw)
    bare = {"inputs": [{"name": "images", "shape": [len(raw)], "datatype": "BYTES"}]}
    one = {"inputs": [{"name": "images", "shape": [1], "datatype": "BYTES"}]}
    for found, want in (
        (server.infer("photos", request, tail), logits),
        (server.infer("photos", bare, tail), logits),
        (server.infer("photos", one, raw[0]), logits[:1]),
    ):
        assert np.abs(read(found) - want).max() < 1e-4 * np.abs(logits).max()


def test_files_as_base64(server: Running, jpegs: list[Path], logits: np.ndarray) -> None:
    data = [base64.b64encode(path.read_bytes()).decode() for path in jpegs]
    found = server.infer(
        "photos", {"inputs": [{"name": "images", "shape": [len(data)], "datatype": "BYTES", "data": data}]}
    )
    assert np.abs(read(found) - logits).max() < 1e-4 * np.abs(logits).max()


def test_a_batch_larger_than_the_plans(server: Running, jpegs: list[Path], logits: np.ndarray) -> None:
    times = 12
    raw = [path.read_bytes() for path in jpegs] * times
    found = read(server.infer("photos", *files_request(raw)))
    assert np.abs(found - np.tile(logits, (times, 1))).max() < 1e-4 * np.abs(logits).max()


def test_versions_have_addresses(server: Running, cropped: np.ndarray) -> None:
    tensor = {"name": "images", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": cropped[0].ravel().tolist()}
    body = json.dumps({"inputs": [tensor]})
    assert server.ask("POST", "/v2/models/photos/versions/1/infer", body).status == 200
    assert server.get("/v2/models/photos/versions/1").json["versions"] == ["1"]
    missing = server.ask("POST", "/v2/models/photos/versions/3/infer", body)
    assert (missing.status, missing.error) == (404, "photos has no version '3'. Served: 1.")


FILE, IMAGE = (
    {"name": "images", "shape": [1], "datatype": "BYTES"},
    {"name": "images", "shape": [1, 32, 32, 3], "datatype": "UINT8"},
)
FLOAT = {"name": "images", "shape": [1, 3, 32, 32], "datatype": "FP32"}
N = 32 * 32 * 3


def one(tensor: dict, **more: object) -> dict:
    return {"inputs": [{**tensor, **more}]}


BAD: dict[str, tuple[object, bytes, str]] = {
    "no JSON": (b"hello", b"", "not JSON"),
    "a list": ([1], b"", "not a JSON object"),
    "deep": (b"[" * 100_000, b"", "not JSON"),
    "no inputs": ({}, b"", 'no list "inputs"'),
    "no images": ({"inputs": []}, b"", "one input, images"),
    "two inputs": ({"inputs": [FILE, FILE]}, b"", "one input, images"),
    "other name": (one(FILE, name="data"), b"", "the request has: data"),
    "dtype": (one(IMAGE, datatype="INT8"), b"", "the datatype 'INT8'. It may be UINT8, FP32, BYTES"),
    "no shape": ({"inputs": [{"name": "images", "datatype": "UINT8"}]}, b"", "no shape"),
    "shape of words": (one(IMAGE, shape=["a"], data=[]), b"", "not a list of whole numbers"),
    "shape below 0": (one(IMAGE, shape=[-1, 32, 32, 3], data=[]), b"", "not a list of whole numbers"),
    "shape of true": (one(IMAGE, shape=[True, 32, 32, 3], data=[]), b"", "not a list of whole numbers"),
    "empty": (one(IMAGE, shape=[0, 32, 32, 3], data=[]), b"", "holds no image"),
    "huge": (one(IMAGE, shape=[1 << 30, 32, 32, 3], data=[]), b"", "or too many"),
    "size": (one(IMAGE, shape=[1, 33, 32, 3], data=[]), b"", "photos takes UINT8 of shape [-1, 32, 32, 3], not [1, 33, 32, 3]"),
    "layout": (one(FLOAT, shape=[1, 32, 32, 3], data=[]), b"", "photos takes FP32 of shape [-1, 3, 32, 32]"),
    "few values": (one(IMAGE, data=[1]), b"", "has 3072 values, not 1"),
    "words": (one(IMAGE, data=["a"] * N), b"", "other than numbers"),
    "above 255": (one(IMAGE, data=[256] * N), b"", "whole numbers 0 to 255"),
    "mixed": (one(IMAGE, data=[[1], 2]), b"", "mixes lists and values"),
    "no list": (one(IMAGE, data={"a": 1}), b"", "is a list"),
    "huge number": (one(FLOAT, data=[10**400] * N), b"", "other than numbers"),
    "short": (one(IMAGE), b"\0" * (N - 1), "has 3072 bytes, not 3071"),
    "size differs": (one(IMAGE, parameters={"binary_data_size": N + 1}), b"\0" * N, "says 3073, but 3072 bytes follow"),
    "between levels": (one(FLOAT), np.full(N, 0.01, "<f4").tobytes(), "not an image of 8 bits"),
    "not finite": (one(FLOAT), np.full(N, np.nan, "<f4").tobytes(), "not finite"),
    "length missing": (one(FILE, shape=[2]), b"\x05\0\0\0hello", "not 2 images"),
    "length too large": (one(FILE), b"\xff\xff\xff\xffhello", "not 1 images"),
    "no base64": (one(FILE, data=["é"]), b"", "not base64"),
    "shared memory": (one(IMAGE, parameters={"shared_memory_region": "a"}), b"", "no shared memory"),
    "parameters": (one(IMAGE, parameters=[1]), b"", "not an object"),
    "unknown output": ({**one(IMAGE, data=[0] * N), "outputs": [{"name": "boxes"}]}, b"", "no output 'boxes'. Its outputs: logits, probabilities"),
    "outputs": ({**one(IMAGE, data=[0] * N), "outputs": [1]}, b"", "not a list of objects"),
    "k": ({**one(IMAGE), "outputs": [{"name": "logits", "parameters": {"classification": "a"}}]}, b"\0" * N, "number of classes"),
    "no image": (one(FILE), b"\x05\0\0\0hello", "Image 1 of 1 cannot be used: it is not an image"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str, server: Running) -> None:
    content, tail, words = BAD[name]
    found = server.infer("photos", content, *([tail] if tail else []))
    assert found.status == 400 and found.headers["content-type"] == "application/json", found.body
    assert words in found.error
    assert list(found.json) == ["error"] and "Traceback" not in found.error


@pytest.mark.parametrize("length", ["x", "-1", "9999999", "٣"])
def test_a_wrong_header_length(length: str, server: Running) -> None:
    found = server.ask(
        "POST", "/v2/models/photos/infer", b"{}", Inference_Header_Content_Length=length.encode().decode("latin-1")
    )
    assert found.status == 400 and "Inference-Header-Content-Length" in found.error


def test_one_bad_image_names_its_place_and_spoils_no_other_request(server: Running, jpegs: list[Path]) -> None:
    raw = [path.read_bytes() for path in jpegs[:2]]
    found = server.infer("photos", *files_request([raw[0], raw[1][:900], raw[1]]))
    assert found.status == 400 and found.error.startswith("Image 2 of 3 cannot be used: the JPEG is damaged")
    assert server.infer("photos", *files_request(raw)).status == 200


@pytest.mark.parametrize(("body", "encoding", "status", "words"), [
    (b"{}", "br", 415, "unknown"), (b"{}", "gzip", 400, "not gzip"), (b"", "deflate", 400, "not deflate"),
])  # fmt: skip
def test_encodings(body: bytes, encoding: str, status: int, words: str, server: Running) -> None:
    found = server.ask("POST", "/v2/models/photos/infer", body, Content_Encoding=encoding)
    assert found.status == status and words in found.error


def test_a_json_of_many_values_is_refused_before_it_is_read(server: Running) -> None:
    """Ten million empty lists would take 600 MB."""
    found = server.infer("photos", b'{"inputs": [' + b"[]," * 10_000_000 + b"[]]}")
    assert found.status == 413 and "more than 4000000 values" in found.error


def test_a_gzip_bomb(server: Running) -> None:
    import gzip

    found = server.ask("POST", "/predict", gzip.compress(bytes(40 << 20), 1), Content_Encoding="gzip")
    assert found.status == 413
