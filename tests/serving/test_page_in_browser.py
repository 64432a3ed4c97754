"""The page in a headless Chromium: an image is dropped, its classes appear, a click shows the heat map; two languages, two themes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serverside import running, until

pytest.importorskip("openvino")
pytest.importorskip("uvicorn")
pytest_plugins = ["shipped", "chromium"]
pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("lang", "scheme"), [("en", "light"), ("zh", "dark")])
def test_an_image_shows_its_classes_and_where_they_are_seen(
    lang: str, scheme: str, photos: Path, jpegs: list[Path], tmp_path: Path, chromium: Any
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"hello")
    wrong: list[str] = []
    with running(f"photos={photos}", token="secret") as server:
        page = chromium.new_page(color_scheme=scheme)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda line: wrong.append(line.text) if line.type == "error" and "status of 40" not in line.text else None,
        )
        page.on(
            "request",
            lambda request: (
                wrong.append(request.url) if not request.url.startswith((server.url, "data:", "blob:")) else None
            ),
        )
        page.goto(f"{server.url}/?lang={lang}")
        page.set_input_files("#files", str(jpegs[0]))
        page.wait_for_selector("#token")  # shown once the server has asked for it
        page.fill("#token", "secret")
        page.set_input_files("#files", [str(tmp_path / "broken.jpg"), str(jpegs[1])])
        page.wait_for_selector("article:first-child li:nth-child(3)")
        assert page.inner_text("article:first-child h2") == jpegs[1].name
        assert ("图像不能用" if lang == "zh" else "cannot be used") in page.inner_text("article:nth-child(2) .error")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        assert dark == (scheme == "dark")
        canvas = "document.querySelector('article canvas').toDataURL()"
        before = page.evaluate(canvas)
        page.click("article:first-child li:first-child button")
        until(lambda: page.evaluate(canvas) != before)
        page.click("article:first-child li:first-child button")
        until(lambda: page.evaluate(canvas) == before)  # the policy forbids the page wait_for_function's eval
        page.close()
    assert wrong == []
