"""The networks in Chromium: what the page measures is what torch measures, by mouse and by keyboard, with nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

import torch
from lesioned import CATALOGUE, Lesion, shipped, torch_correct, torch_maps
from live_site import ASKED, live_site, static_site
from playwright.sync_api import Locator, Page, sync_playwright

pytestmark = pytest.mark.browser
ARGUMENTS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-sync --no-first-run"
NETS = {"ResNet-20": "resnet20-digits", "plain-20": "plain20-digits"}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with live_site() as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS.split())
        yield browser
        browser.close()


@pytest.fixture
def page(site: str, chromium: object) -> Iterator[Page]:
    """The page with the networks running on digits; it fails where anything was blocked, failed or came from elsewhere."""
    with opened(chromium, f"{site}#live=1&lang=en") as page:
        page.get_by_role("button", name="Run the networks").click()
        settled(page)
        yield page


class opened:
    def __init__(self, chromium: object, address: str, **options: object) -> None:
        self.context = chromium.new_context(**options)  # type: ignore[attr-defined]
        self.address = address
        self.problems: list[str] = []

    def __enter__(self) -> Page:
        page = self.context.new_page()
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        local = (self.address.partition("#")[0], "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(local) else self.problems.append(request.url))
        page.goto(self.address)
        page.locator(".live-begin").wait_for()
        return page

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert not self.problems


def settled(page: Page) -> None:
    """After the pause behind a change, the accuracy of both networks was measured."""
    page.wait_for_timeout(50)
    page.locator(".live-status[aria-busy=false]").wait_for(timeout=120_000)


def counts(page: Page) -> dict[str, str]:
    settled(page)
    lines = [line for line in page.locator(".live-status").inner_text().splitlines() if line]
    return dict(zip(lines[::2], lines[1::2], strict=True))


def expected(lesion: Lesion, data: str = "digits") -> dict[str, str]:
    found = {name: torch_correct(net.replace("digits", data), lesion)[0] for name, net in NETS.items()}
    return {name: f"{correct} of 200 ({correct / 2:.1f} %)" for name, correct in found.items()}


def block(page: Page, name: str) -> Locator:
    return page.locator("article", has=page.get_by_role("heading", name=name, exact=True))


def test_lesions_change_the_accuracy_as_torch_says(page: Page) -> None:
    assert counts(page) == expected(Lesion())
    cut = block(page, "layer1.1").get_by_role("button", name="Cut shortcut")
    cut.click()
    assert counts(page) == expected(Lesion().cut("layer1.1"))
    assert cut.get_attribute("aria-pressed") == "true"
    block(page, "layer3.1").get_by_role("button", name="Drop block").click()
    assert counts(page) == expected(Lesion().cut("layer1.1").drop("layer3.1"))
    page.get_by_role("button", name="Restore all").click()
    assert counts(page) == expected(Lesion())
    block(page, "layer2.1").get_by_role("button", name="Swap with layer2.2").click()
    assert counts(page) == expected(Lesion().swap("layer2.1", "layer2.2"))
    assert block(page, "layer2.2").get_by_text("Has the weights of layer2.1.").is_visible()
    page.get_by_role("button", name="Restore all").click()
    block(page, "layer3.0").get_by_role("button", name="Drop block").click()
    assert counts(page) == expected(Lesion().drop("layer3.0"))


def test_a_slider_by_keyboard(page: Page) -> None:
    slider = block(page, "layer1.2").get_by_label("F(x) scale")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "0.5"
    assert counts(page) == expected(Lesion().scale("layer1.2", 0.5))


def test_fashion_mnist(page: Page) -> None:
    page.get_by_label("Fashion-MNIST").check()
    assert counts(page) == expected(Lesion(), "fashion")
    assert not page.locator(".live-pad").is_visible()
    block(page, "layer2.2").get_by_role("button", name="Cut shortcut").click()
    assert counts(page) == expected(Lesion().cut("layer2.2"), "fashion")


def test_a_cell_shows_its_receptive_field_and_torchs_value(page: Page) -> None:
    canvas = block(page, "layer1.0").get_by_label("Map of layer1.0, plain-20")
    canvas.focus()
    for key in ("ArrowRight",) * 5 + ("ArrowDown",) * 4:  # the first one chooses the first cell
        page.keyboard.press(key)
    value = torch_maps("plain20-digits", _first(), Lesion())["layer1.0"][0, 0, 4, 4]
    about = page.get_by_text("layer1.0 of plain-20, channel 0, row 4, column 4").inner_text()
    assert abs(float(re.findall(r": (-?\d+\.\d+)\.", about)[0]) - float(value)) < 1e-3
    # 3x3 of the stem and two 3x3 of the block: 7 pixels, 3 on each side
    assert about.endswith("7×7 pixels; inside the image these are rows 1 to 7 and columns 1 to 7.")
    last = block(page, "layer3.2").get_by_label("Map of layer3.2, ResNet-20")
    box = last.bounding_box()
    assert box is not None
    last.click(position={"x": box["width"] - 3, "y": box["height"] - 3})
    assert "layer3.2 of ResNet-20, channel 63, row 1, column 1" in page.locator(".live-side .live-small").inner_text()


def _first() -> torch.Tensor:
    return torch.from_numpy(shipped("digits")[0][:1])


def test_the_prediction_is_torchs(page: Page) -> None:
    shares = torch_maps("resnet20-digits", _first(), Lesion())["logits"][0].softmax(0)
    shown = [page.locator(".live-percent").nth(2 * i).inner_text() for i in range(10)]
    assert all(
        abs(float(text.split()[0]) / 100 - float(share)) < 0.0051 for text, share in zip(shown, shares, strict=True)
    )
    page.get_by_role("button", name="Next test image").click()
    label = CATALOGUE["data"]["digits"]["classes"][shipped("digits")[1][1]]
    page.get_by_text(f"Its label: {label}.").wait_for()
    assert page.get_by_label("Test image", exact=True).input_value() == "2"


STROKES = {"0": [(0.5, 0.1), (0.3, 0.25), (0.25, 0.5), (0.3, 0.75), (0.5, 0.9), (0.7, 0.75), (0.75, 0.5), (0.7, 0.25), (0.5, 0.1)],
           "1": [(0.38, 0.3), (0.52, 0.1), (0.52, 0.9)],
           "7": [(0.25, 0.12), (0.75, 0.12), (0.6, 0.5), (0.5, 0.9)]}  # fmt: skip


@pytest.mark.parametrize("digit", STROKES)
def test_a_drawn_digit_is_recognised(page: Page, digit: str) -> None:
    pad = page.locator(".live-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in STROKES[digit]]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    page.get_by_text("Your drawing, as the networks see it.").wait_for()
    page.locator(f"tr:has(th:text-is('{digit}')) td:nth-child(2).live-most").wait_for()


def test_the_runtime_is_loaded_when_asked_only(site: str, chromium: object) -> None:
    ASKED.clear()
    with opened(chromium, f"{site}#live=1&lang=en") as page:
        page.wait_for_timeout(300)
        assert not [path for path in ASKED if path.startswith(("/vendor/", "/live/nets/"))]
        page.get_by_role("button", name="Run the networks").click()
        settled(page)
        assert {path for path in ASKED if path.startswith("/vendor/")} == {
            f"/vendor/onnxruntime-web/{name}"
            for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
        }


def test_chinese_on_a_narrow_screen(site: str, chromium: object) -> None:
    with opened(chromium, f"{site}#live=1&lang=zh", viewport={"width": 380, "height": 800}) as page:
        page.get_by_role("button", name="运行网络").click()
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        words = page.locator("#live").inner_text()
        assert "切断捷径" in words and "199 / 200（99.5 %）" in words
        left = re.findall(r"[a-z]+ [a-z]+ [a-z]+", words)  # three English words in a row
        assert not left


def test_another_language_and_theme_keep_what_was_done(page: Page) -> None:
    block(page, "layer3.1").get_by_role("button", name="Drop block").click()
    settled(page)
    canvas = block(page, "stem").locator("canvas").first
    light = canvas.evaluate("canvas => canvas.toDataURL()")
    page.locator("#theme").click()
    page.wait_for_timeout(100)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != light
    page.locator("#language").click()
    pressed = block(page, "layer3.1").get_by_role("button", name="去掉块")
    assert pressed.get_attribute("aria-pressed") == "true"
    found = {
        name: text.replace(" / ", " of ").replace("（", " (").replace("）", ")") for name, text in counts(page).items()
    }
    assert found == expected(Lesion().drop("layer3.1"))


def test_the_static_site_measures_the_same(tmp_path: Path, chromium: object) -> None:
    with static_site(tmp_path / "site") as address, opened(chromium, f"{address}#live=1&lang=en") as page:
        page.get_by_role("button", name="Run the networks").click()
        block(page, "layer1.1").get_by_role("button", name="Cut shortcut").click()
        assert counts(page) == expected(Lesion().cut("layer1.1"))


def test_a_missing_file_is_said(site: str, chromium: object) -> None:
    with opened(chromium, f"{site}#live=1&lang=en") as page:
        page.route("**/scaled.onnx", lambda route: route.fulfill(status=500))
        page.get_by_role("button", name="Run the networks").click()
        page.get_by_role("alert").get_by_text("cannot run here").wait_for()
        assert page.get_by_role("button", name="Run the networks").is_enabled()


def test_a_foreign_request_fails_these_tests(site: str, chromium: object) -> None:
    with pytest.raises(AssertionError, match="example"), opened(chromium, f"{site}#live=1&lang=en") as page:
        page.evaluate("fetch('https://example.invalid/x').catch(() => 0)")
