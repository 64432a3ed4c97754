"""POST /predict: the rows of `plusx predict`, however the files come; and the addresses around it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import plusx
from serverside import Running, multipart, running

pytest.importorskip("openvino")
pytest.importorskip("uvicorn")
pytest_plugins = ["shipped"]


@pytest.fixture(scope="module")
def server(photos: Path) -> Iterator[Running]:
    with running(f"photos={photos}", body_bytes=1 << 20, pixels=1_000_000) as found:
        yield found


@pytest.fixture(scope="module")
def rows(photos: Path, jpegs: list[Path]) -> list[list[tuple[str, float]]]:
    """What `plusx predict` says; tests/runtime/test_predictor.py holds it to torch."""
    return [list(row.top) for row in plusx.predictor(photos)(jpegs)]


def tops(answer) -> list[list[tuple[str, float]]]:
    assert answer.status == 200, answer.body
    return [[(best["class"], best["p"]) for best in row["top"]] for row in answer.json["predictions"]]


def same(found, want) -> bool:
    names = [[name for name, _p in row] for row in found] == [[name for name, _p in row] for row in want]
    return names and np.allclose(
        [[p for _n, p in row] for row in found], [[p for _n, p in row] for row in want], atol=1e-6
    )


def test_one_file_several_and_base64(server: Running, jpegs: list[Path], rows: list) -> None:
    raw = [path.read_bytes() for path in jpegs]
    assert same(tops(server.predict(raw[0])), rows[:1])
    body, kind = multipart([(path.name, content) for path, content in zip(jpegs, raw, strict=True)])
    found = server.ask("POST", "/predict", body, content_type=kind)
    assert same(tops(found), rows)
    assert [row["path"] for row in found.json["predictions"]] == [path.name for path in jpegs]
    texts = [base64.b64encode(content).decode() for content in raw]
    for images in (texts, [{"name": "x", "b64": text} for text in texts]):
        found = server.ask("POST", "/predict", json.dumps({"images": images}), content_type="application/json")
        assert same(tops(found), rows)
    assert same(tops(server.predict(raw[0], "?top=2&model=photos&version=1")), [rows[0][:2]])


def test_one_bad_image_spoils_its_own_row(server: Running, jpegs: list[Path], rows: list) -> None:
    raw = [path.read_bytes() for path in jpegs[:3]]
    body, kind = multipart([("a.jpg", raw[0]), ("torn.jpg", raw[1][:900]), ("", b""), ("猫.jpg", raw[2])])
    found = server.ask("POST", "/predict", body, content_type=kind)
    assert found.status == 200
    good = [row for row in found.json["predictions"] if row["error"] is None]
    assert [row["path"] for row in good] == ["a.jpg", "猫.jpg"]
    assert same([[(t["class"], t["p"]) for t in row["top"]] for row in good], [rows[0], rows[2]])
    bad = [row["error"] for row in found.json["predictions"] if row["error"] is not None]
    assert "the JPEG is damaged" in bad[0] and bad[1] == "the file is empty"


def test_no_good_image_is_400(server: Running) -> None:
    found = server.predict(b"hello")
    assert found.status == 400 and found.error.startswith("The image cannot be used: it is not an image")
    body, kind = multipart([("a", b"x"), ("b", b"y")])
    found = server.ask("POST", "/predict?lang=zh", body, content_type=kind)
    assert found.status == 400 and found.error.startswith("2 张图像都不能用")
    assert len(found.json["predictions"]) == 2


def test_an_image_bomb_and_large_images(server: Running, jpegs: list[Path]) -> None:
    """Small files of many pixels; the limit of this server is one million."""
    import io

    from PIL import Image

    for side in (12_000, 1200):
        raw = io.BytesIO()
        Image.new("1", (side, side)).save(raw, "PNG")
        found = server.predict(raw.getvalue())
        assert found.status == 400 and f"it has {side} x {side} pixels, and at most" in found.error
    assert server.predict(jpegs[0].read_bytes()).status == 200


@pytest.mark.parametrize(("body", "kind", "status", "words"), [
    (b"", "image/jpeg", 400, "no body"),
    (b"x", "multipart/form-data", 400, "no boundary"),
    (b"x", "multipart/form-data; boundary=sep", 400, "not whole"),
    (b'--sep\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc', "multipart/form-data; boundary=sep", 400, "not whole"),
    (b'--sep\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc\r\n--sep--\r\n', "multipart/form-data; boundary=sep", 400, "has no file"),
    (b"--sep\r\nabc\r\n--sep--\r\n", "multipart/form-data; boundary=sep", 400, "has no headers"),
    (b"{", "application/json", 400, "The JSON is not"),
    (b'{"images": []}', "application/json", 400, "The JSON is not"),
    (b'{"images": [{"url": "http://a"}]}', "application/json", 400, "The JSON is not"),
    (b'{"images": ["?"]}', "application/json", 400, "not base64"),
    (b"x" * ((1 << 20) + 1), "image/jpeg", 413, "larger than 1048576 bytes"),
])  # fmt: skip
def test_bodies_that_are_refused(body: bytes, kind: str, status: int, words: str, server: Running) -> None:
    found = server.ask("POST", "/predict", body, content_type=kind)
    assert found.status == status and words in found.error, found.body


@pytest.mark.parametrize(("method", "path", "status", "words"), [
    ("GET", "/predict", 405, "/predict does not take GET"), ("POST", "/predict?top=0", 400, "top='0'"),
    ("POST", "/predict?top=x", 400, "top='x'"), ("POST", "/predict?model=a", 404, "no model 'a'. Served: photos."),
    ("POST", "/predict?version=9", 404, "no version '9'"), ("GET", "/nothing", 404, "nothing at /nothing"),
    ("GET", "/assets/..%2fpage.py", 404, "nothing at"), ("GET", "/v2/models/photos/config", 404, "nothing at"),
    ("POST", "/cam?class=3", 400, "class='3' is not a whole number from 0 to 2"), ("POST", "/cam", 400, "class=''"),
])  # fmt: skip
def test_addresses_that_are_refused(
    method: str, path: str, status: int, words: str, server: Running, jpegs: list[Path]
) -> None:
    found = server.ask(method, path, jpegs[0].read_bytes() if method == "POST" else None)
    assert (
        found.status == status and words in found.error and found.headers["content-type"].startswith("application/json")
    )


def test_a_heat_map_lies_where_the_network_looks(server: Running, photos: Path, jpegs: list[Path]) -> None:
    """Cells as Grad-CAM in torch computes them; places as shares of the image."""
    import torch
    from PIL import Image

    from plusx.bundles import open_bundle
    from plusx.images import decode, input_place, normalise, resize_crop
    from plusx.nn.cam import grad_cam
    from plusx.nn.engine import bundle_network

    bundle = open_bundle(photos)
    pre = bundle.preprocessing
    pixels = decode(jpegs[1], pre.mode, at_least_px=pre.decode_px)
    x = torch.from_numpy(normalise(resize_crop(pixels, pre)[None], pre))
    want = grad_cam(bundle_network(bundle), x, class_index=2).heat
    found = server.ask("POST", "/cam?class=2", jpegs[1].read_bytes())
    assert found.status == 200 and found.json["class"] == "class 2"
    assert np.allclose(found.json["heat"], want, atol=1e-5) and want.max() > 1e-3
    with Image.open(jpegs[1]) as image:
        w, h = image.size
    left, top, right, bottom = input_place(h, w, pre).box
    assert np.allclose(found.json["box"], [left / w, top / h, right / w, bottom / h], atol=0.02)
    bad = server.ask("POST", "/cam?class=2", b"hello")
    assert bad.status == 400 and "not an image" in bad.error


def test_metrics_count(server: Running, jpegs: list[Path]) -> None:
    def value(line: str) -> float:
        found = [row for row in server.get("/metrics").body.decode().splitlines() if row.startswith(line + " ")]
        return float(found[0].split()[-1]) if found else 0.0

    name = 'plusx_images_total{model="photos",result="classified"}'
    route = 'plusx_requests_total{route="/predict",status="200"}'
    before, requests = value(name), value(route)
    body, kind = multipart([("a", jpegs[0].read_bytes()), ("b", jpegs[1].read_bytes()), ("c", b"x")])
    server.ask("POST", "/predict", body, content_type=kind)
    assert value(name) == before + 2 and value(route) == requests + 1
    assert value('plusx_waiting_images{model="photos",version="1"}') == 0
    for i in range(30):  # addresses from outside are no labels
        server.get(f"/nothing{i}")
    text = server.get("/metrics").body.decode()
    assert "nothing" not in text and 'route="other",status="404"' in text
    for line in text.splitlines():
        assert line.startswith(
            ("# HELP plusx_", "# TYPE plusx_", "plusx_", "# HELP process_", "# TYPE process_", "process_")
        ), line


def test_the_openapi_document_names_every_address(server: Running) -> None:
    found = server.get("/openapi.json").json
    served = {route.path for route in server.server._uvicorn.config.app.routes} - {
        "/",
        "/assets/{name}",
        "/openapi.json",
    }  # type: ignore[union-attr]
    assert found["openapi"].startswith("3.1") and set(found["paths"]) == served
    names = found["components"]["schemas"]
    for reference in json.dumps(found).split("#/components/schemas/")[1:]:
        assert reference.partition('"')[0] in names


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_has_nothing_from_elsewhere(lang: str, server: Running) -> None:
    found = server.get(f"/?lang={lang}")
    text, policy = found.body.decode(), found.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert f'<html lang="{lang}">' in text and "http" not in text and "<script>" not in text and "style=" not in text
    assert ("拖到" in text) == (lang == "zh")
    for name in ("page.js", "page.css"):
        asset = server.get(f"/assets/{name}")
        assert (
            f"assets/{name}" in text
            and asset.status == 200
            and b"http:" not in asset.body
            and b"https:" not in asset.body
        )
        assert asset.headers["content-security-policy"] == policy
