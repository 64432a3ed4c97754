"""The networks in Chromium: what the page measures is what torch measures, by mouse and by keyboard. `screen` runs it in both
modes and fails where anything was asked of another address or the console complained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lesioned import CATALOGUE, Lesion, shipped, torch_correct, torch_maps

pytest_plugins = ["chromium"]
pytestmark = pytest.mark.browser
NETS = {"ResNet-20": "resnet20-digits", "plain-20": "plain20-digits"}
OF_RUNTIME = {"ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"}


@pytest.fixture
def page(screen: Any) -> Any:
    """The tab with both networks running on digits, unchanged."""
    screen.open(net="resnet20", live="1")
    begin = screen.tab.locator(".live-begin")
    screen.tab.locator("#live h2").wait_for()
    if begin.count():
        begin.click()
    else:
        screen.tab.get_by_role("button", name="Restore all").click()
        screen.tab.get_by_label("Fashion-MNIST").check()  # choosing digits anew shows their first image
        screen.tab.get_by_label("Digits").check()
    settled(screen.tab)
    return screen.tab


@contextmanager
def opened(chromium: Any, address: str, state: str = "#net=resnet20&live=1&lang=en", **options: Any) -> Iterator[Any]:
    """A tab of its own, in which the networks do not run yet."""
    context = chromium.new_context(**options)
    tab = context.new_page()
    tab.goto(address + state)
    tab.locator(".live-begin").wait_for()
    yield tab
    context.close()


def settled(page: Any) -> None:
    """After the pause behind a change, the accuracy of both networks was measured."""
    page.wait_for_timeout(50)
    page.locator(".live-status[aria-busy=false]").wait_for(timeout=120_000)


def counts(page: Any) -> dict[str, str]:
    settled(page)
    lines = [line for line in page.locator(".live-status").inner_text().splitlines() if line]
    return dict(zip(lines[::2], lines[1::2], strict=True))


def expected(lesion: Lesion, data: str = "digits") -> dict[str, str]:
    found = {name: torch_correct(net.replace("digits", data), lesion)[0] for name, net in NETS.items()}
    return {name: f"{correct} of 200 ({correct / 2:.1f} %)" for name, correct in found.items()}


def block(page: Any, name: str) -> Any:
    return page.locator("article", has=page.get_by_role("heading", name=name, exact=True))


def test_lesions_change_the_accuracy_as_torch_says(page: Any) -> None:
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


def test_a_slider_by_keyboard(page: Any) -> None:
    slider = block(page, "layer1.2").get_by_label("F(x) scale")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "0.5"
    assert counts(page) == expected(Lesion().scale("layer1.2", 0.5))


def test_fashion_mnist(page: Any) -> None:
    page.get_by_label("Fashion-MNIST").check()
    assert counts(page) == expected(Lesion(), "fashion")
    assert not page.locator(".live-pad").is_visible()
    block(page, "layer2.2").get_by_role("button", name="Cut shortcut").click()
    assert counts(page) == expected(Lesion().cut("layer2.2"), "fashion")


def test_a_cell_shows_its_receptive_field_and_torchs_value(page: Any) -> None:
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


def test_the_prediction_is_torchs(page: Any) -> None:
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
def test_a_drawn_digit_is_recognised(page: Any, digit: str) -> None:
    pad = page.locator(".live-pad")
    page.get_by_role("button", name="Clear").click()
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


def test_the_runtime_is_loaded_when_asked_only(chromium: Any, addresses: Any) -> None:
    with opened(chromium, addresses("server")) as page:
        asked: list[str] = []
        page.context.on("request", lambda request: asked.append(request.url))
        page.reload()
        page.locator(".live-begin").wait_for()
        page.wait_for_timeout(300)
        assert asked and not [url for url in asked if "/vendor/" in url or "/nets/" in url]
        page.get_by_role("button", name="Run the networks").click()
        settled(page)
        assert {url.partition("?")[0].rpartition("/")[2] for url in asked if "/vendor/" in url} == OF_RUNTIME


def test_chinese_on_a_narrow_screen(chromium: Any, addresses: Any) -> None:
    narrow = {"width": 380, "height": 800}
    with opened(chromium, addresses("server"), "#net=resnet20&live=1&lang=zh", viewport=narrow) as page:
        page.get_by_role("button", name="运行网络").click()
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        words = page.locator("#live").inner_text()
        assert "切断捷径" in words and "199 / 200（99.5 %）" in words
        assert not re.findall(r"[a-z]+ [a-z]+ [a-z]+", words)  # three English words in a row


def test_another_language_and_theme_keep_what_was_done(page: Any) -> None:
    block(page, "layer3.1").get_by_role("button", name="Drop block").click()
    settled(page)
    canvas = block(page, "stem").locator("canvas").first
    light = canvas.evaluate("canvas => canvas.toDataURL()")
    page.locator("#theme").click()
    page.locator("html[data-theme=dark]").wait_for()
    page.wait_for_timeout(100)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != light
    page.locator("#language").click()
    pressed = block(page, "layer3.1").get_by_role("button", name="去掉块")
    assert pressed.get_attribute("aria-pressed") == "true"
    found = {
        name: text.replace(" / ", " of ").replace("（", " (").replace("）", ")") for name, text in counts(page).items()
    }
    assert found == expected(Lesion().drop("layer3.1"))


def test_nothing_serious_for_axe(page: Any, axe: str) -> None:
    found = page.evaluate(f"() => {{ {axe}; return axe.run('#live') }}")
    assert [each["id"] for each in found["violations"] if each["impact"] in ("serious", "critical")] == []


def test_a_missing_file_is_said(chromium: Any, addresses: Any) -> None:
    with opened(chromium, addresses("server")) as page:
        page.context.route("**/scaled.onnx", lambda route: route.fulfill(status=500))
        page.get_by_role("button", name="Run the networks").click()
        page.get_by_role("alert").get_by_text("cannot run here").wait_for()
        assert page.get_by_role("button", name="Run the networks").is_enabled()


def test_a_server_without_the_runtime_says_how_to_get_it(chromium: Any, addresses: Any) -> None:
    with opened(chromium, addresses("server")) as page:
        said = {"status": 503, "body": "onnxruntime-web is needed for this. Run npm pack."}
        page.context.route("**/ort.wasm.min.mjs*", lambda route: route.fulfill(**said))
        page.get_by_role("button", name="Run the networks").click()
        page.get_by_role("alert").get_by_text(said["body"], exact=True).wait_for()
