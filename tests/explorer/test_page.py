"""The page as a reader meets it, in both modes: the local server, and the static site with Python in the browser."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from browsing import Screen

import plusx
from plusx.explorer.site import PageFile, page_files
from plusx.explorer.tour import STEPS
from plusx.specs import KEYS

pytest_plugins = ["chromium"]
pytestmark = pytest.mark.browser

BEFORE = {
    "dilate": "resnet50 stride_in=1x1 output_stride=8", "multi_grid": "resnet50 output_stride=8 dilate=grid", "gate_ratio": "resnet50 gate=se",
    "shortcut_align": "resnet20", "first_shortcut": "resnet18", "padding": "resnet50 shortcut_kernel=3x3",
}  # fmt: skip
"""Networks in which a key counts, for those that do not count in ResNet-50."""
WRITTEN = {
    "depths": "3,4,23,3", "widths": "32,64,128,256", "stem_width": "32", "groups": "32", "width_per_group": "128",
    "strides": "1,2,2,1", "dilations": "1,1,1,2", "multi_grid": "1,2,3", "gate_ratio": "1/8", "in_channels": "1", "classes": "10",
    "drop_path": "0.2", "block_dropout": "0.1", "head_dropout": "0.5",
}  # fmt: skip
SAME_DRAWING = {"zero_init"}
"""The key that changes initial weights alone."""
SAME_NUMBERS = {
    "zero_init", "shortcut_align", "join", "act", "stem_pool", "dilate", "multi_grid", "drop_path", "block_dropout", "head_dropout",
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_every_switch_changes_drawing_numbers_and_address(screen: Screen, key: str) -> None:
    screen.open(net=BEFORE.get(key, "resnet50"), detail="ops")
    net, numbers = screen.net, screen.numbers
    drawing = screen.drawing.replace(net, "")
    more = screen.tab.locator("details.more")
    if screen.tab.locator(f"details.more [id^='switch-{key}']").count() and more.get_attribute("open") is None:
        more.locator("summary").click()
    if key in WRITTEN:
        screen.write(f"#switch-{key}", WRITTEN[key])
    else:
        screen.click(f"[id^='switch-{key}-'][role=radio][aria-checked=false]:not([aria-disabled])")
    assert screen.net != net
    assert plusx.spec(screen.net) != plusx.spec(net)
    assert screen.tab.input_value("#line") == screen.net
    assert (screen.drawing.replace(screen.net, "") == drawing) == (key in SAME_DRAWING)
    if key not in SAME_NUMBERS:
        assert screen.numbers != numbers


def test_the_preset_and_the_size(screen: Screen) -> None:
    screen.open()
    screen.tab.select_option("#switch-preset", "resnet18")
    screen.settle()
    assert screen.net == "resnet18"
    assert "11,689,512" in screen.numbers  # torchvision's num_params
    screen.write("#switch-size", "192x320")
    assert screen.state["size"] == "192x320"
    assert "512×6×10" in screen.numbers
    screen.write("#switch-size", "0")
    assert "no size" in screen.text("#switch-size-error")
    assert screen.state["size"] == "192x320"


def test_an_impossible_choice_says_why(screen: Screen) -> None:
    screen.open(net="resnet50 gate=se")
    choice = screen.tab.locator("#switch-shortcut-none")
    assert choice.get_attribute("aria-disabled") == "true"
    choice.focus()
    assert "has no join" in screen.text("#switch-shortcut-why")
    choice.click(force=True)  # Playwright waits for what is disabled
    assert screen.net == "seresnet50"


def test_a_wrong_line_is_said_in_its_place_and_changes_nothing(screen: Screen) -> None:
    screen.open(net="resnet18")
    drawing = screen.drawing
    screen.write("#line", "resnet18 stem=depe")
    assert "Did you mean 'deep'?" in screen.text("#line-error")
    assert (screen.net, screen.drawing) == ("resnet18", drawing)
    screen.write("#line", "resnet18 stem=deep shortcut=D")
    assert screen.text("#line-error") == ""
    assert screen.net == "resnet18d"


def test_a_line_is_followed_while_it_is_written(screen: Screen) -> None:
    screen.open(net="resnet18")
    screen.tab.fill("#line", "plain34")
    screen.until("document.title.startsWith('plain34')")
    assert screen.net == "plain34"


def test_markup_in_the_address_stays_text(screen: Screen) -> None:
    screen.load(net="<img src=x onerror=alert(1)>")
    assert "<img" in screen.text("#line-error")
    assert screen.tab.locator("img[src=x]").count() == 0
    assert screen.net == "resnet50"


def test_a_click_right_after_writing_counts_too(screen: Screen) -> None:
    """The field takes effect when it is left, which is while the button is pressed; both changes are kept."""
    screen.open(net="resnet50")
    screen.tab.fill("#switch-depths", "3,4,23,3")
    box = screen.tab.locator("#switch-gate-se").bounding_box()
    screen.tab.mouse.move(box["x"] + 4, box["y"] + 4)
    screen.tab.mouse.down()
    screen.tab.wait_for_timeout(600)
    screen.tab.mouse.up()
    screen.settle()
    assert screen.net == "resnet101 gate=se"


# ---- the address ----


def test_reload_back_and_forward_restore_everything(screen: Screen) -> None:
    screen.load(net="resnet18")
    screen.click("#switch-gate-se")
    screen.click("#zoom-ops")
    screen.click('[data-name="layer2.0.conv1"][role=button]')
    screen.click("#pin")
    wanted = screen.state
    assert wanted == {
        "net": "resnet18 gate=se", "detail": "ops", "place": "layer2.0.conv1", "pin": "resnet18 gate=se",
    }  # fmt: skip
    screen.tab.reload()
    screen.ready()
    assert screen.state == wanted
    assert screen.tab.locator("#zoom-ops").get_attribute("aria-checked") == "true"
    assert "layer2.0.conv1" in screen.text("#place")
    for _step in range(4):
        screen.tab.go_back()
        screen.settle()
    assert screen.net == "resnet18"
    assert screen.tab.input_value("#line") == "resnet18"
    assert screen.tab.locator("#switch-gate-none").get_attribute("aria-checked") == "true"
    screen.tab.go_forward()
    screen.settle()
    assert screen.net == "resnet18 gate=se"
    assert "SE, c64" in screen.drawing


# ---- the drawing ----


def test_clicking_zooms_from_stages_to_blocks_to_ops(screen: Screen) -> None:
    screen.open(detail="stages")
    screen.click('[data-name="layer3.0"][role=button]')
    assert screen.state.get("detail", "blocks") == "blocks"
    assert screen.tab.locator(".selected").get_attribute("data-name") == "layer3.0"
    box = screen.tab.locator('[data-name="layer3.0"]').bounding_box()
    screen.tab.mouse.click(box["x"] + 4, box["y"] + 8)  # the block's own ground, beside its ops
    screen.settle()
    assert screen.state["detail"] == "ops"
    assert screen.tab.locator('[data-name="layer3.0.bn1"][role=button]').count() == 1


def test_pointing_at_an_op_shows_its_numbers_and_names(screen: Screen) -> None:
    screen.open(net="resnet101")
    screen.tab.hover('[data-name="layer3.1.conv2"][role=button]')
    shown = screen.text("#place")
    for text in (
        "layer3.1.conv2",
        "Conv 3x3, c256, s1, p1",
        "256 × 14×14",
        "22×",
        "res4b1_branch2b",
        "conv4_block2_2_conv",
    ):
        assert text in shown
    screen.tab.hover("#line")
    assert "res4b1_branch2b" not in screen.text("#place")


def test_the_keyboard_walks_the_drawing(screen: Screen) -> None:
    screen.open(net="resnet18")
    screen.tab.locator('#canvas [role=button][tabindex="0"]').focus()
    assert screen.tab.locator('#canvas [role=button][tabindex="0"]').count() == 1
    screen.press("Home")
    screen.press("ArrowDown")
    name = screen.tab.evaluate("document.activeElement.dataset.name")
    assert name in screen.text("#place")
    screen.press("Enter")
    assert screen.state["place"] == name
    screen.press("End")
    assert screen.tab.evaluate("document.activeElement.dataset.name") == "fc"
    screen.press("+")
    assert screen.state["detail"] == "ops"
    screen.tab.locator('#canvas [role=button][tabindex="0"]').focus()
    screen.press("-")
    assert "detail" not in screen.state


def test_the_keyboard_reaches_everything(screen: Screen) -> None:
    """Tab goes through line, tools, switches, drawing and numbers, and shows where it is."""
    screen.load(net="resnet18", place="layer1.0.conv1")
    seen: list[str] = []
    for _step in range(90):
        screen.tab.keyboard.press("Tab")
        found = screen.tab.evaluate(
            "(() => { const e = document.activeElement; return e.id || e.dataset.name || e.className || e.tagName })()"
        )
        seen.append(found)
        if found == "field":
            break
    wanted = (
        "skip",
        "line",
        "pin",
        "copy-open",
        "tour-open",
        "language",
        "theme",
        "switch-preset",
        "switch-gate-none",
        "zoom-blocks",
    )
    assert [name for name in wanted if name not in seen] == []
    assert "layer1.0.conv1" in seen
    assert seen[-1] == "field"


# ---- receptive fields ----


def png(width: int, height: int) -> bytes:
    rows = b"".join(b"\0" + b"\xff\0\0" * width for _ in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def field_of(screen: Screen) -> dict[str, float]:
    names = ("x", "y", "width", "height")
    return {name: float(screen.tab.locator("#field .seen").get_attribute(name)) for name in names}


def test_a_click_shows_the_receptive_field(screen: Screen) -> None:
    """By hand: conv1 7x7/2 p3 sees 7 px at 2·i + 0.5; the max pool 3x3/2 p1 sees 11 at 4·i + 0.5 (Araujo et al. 2019)."""
    screen.open(net="resnet18", size="32")
    screen.click('[data-name="conv1"][role=button]')
    assert field_of(screen) == {"x": 2 * 7 + 0.5 - 3.5, "y": 2 * 7 + 0.5 - 3.5, "width": 7, "height": 7}
    screen.click('[data-name="maxpool"][role=button]')
    assert field_of(screen)["width"] == 11
    screen.tab.locator("#field").click(position={"x": 2, "y": 2})
    screen.settle()
    assert screen.state["cell"] == "0,0"
    assert field_of(screen)["x"] == 0.5 - 5.5
    screen.tab.locator("#field").focus()
    screen.press("ArrowRight")
    assert screen.state["cell"] == "0,1"
    assert field_of(screen)["x"] == 4.5 - 5.5
    assert "8×8 cells" in screen.text("#place figcaption")


def test_an_own_image_stays_in_the_browser(screen: Screen, tmp_path: Path) -> None:
    screen.open(net="resnet18", place="conv1")
    (tmp_path / "own.png").write_bytes(png(3, 2))
    (tmp_path / "text.png").write_text("no image")
    before = len(screen.requests)
    screen.tab.set_input_files("#own-image", tmp_path / "text.png")
    screen.until("document.querySelector('#place figure .error').textContent")
    assert "text.png is not an image" in screen.text("#place figure")
    screen.tab.set_input_files("#own-image", tmp_path / "own.png")
    screen.tab.wait_for_selector("#field image[href^='blob:']")
    assert "own.png" in screen.tab.locator("#field").get_attribute("aria-label")
    assert all(url.startswith("blob:") for url in screen.requests[before:])


# ---- comparing and copying ----


def test_two_networks_beside_each_other(screen: Screen) -> None:
    screen.open(net="resnet50")
    screen.click("#pin")
    screen.click("#switch-stride_in-1x1")
    assert (screen.state["pin"], screen.net) == ("resnet50", "resnet50 stride_in=1x1")
    assert screen.tab.locator('[data-name="panel/2"] .mark').count() > 0
    said = screen.text("#diff")
    assert "stride_in: 3x3 → 1x1" in said
    assert "layer2.0" in said  # the words of plusx diff
    assert "-231,211,008" in said  # 4,089,184,256 - 3,857,973,248: the paper's 3.86 GMACs
    screen.click("#compare-swap")
    assert (screen.state["pin"], screen.net) == ("resnet50 stride_in=1x1", "resnet50")
    screen.click("#compare-end")
    assert "pin" not in screen.state
    assert screen.tab.locator("#diff").inner_text() == ""


def clipboard(screen: Screen) -> str:
    return screen.tab.evaluate("navigator.clipboard.readText()")


def test_everything_can_be_copied(screen: Screen) -> None:
    screen.open(net="resnet50 output_stride=8 dilate=previous", theme="dark")
    screen.click("#copy-open")
    wanted = {
        "text": "resnet50 output_stride=8 dilate=previous",
        "command": "plusx show resnet50 output_stride=8 dilate=previous",
        "python": 'plusx.build("resnet50 output_stride=8 dilate=previous")',
        "toml": 'preset = "resnet50"',
        "torchvision": "replace_stride_with_dilation=[False, True, True]",
        "timm": 'timm.create_model("resnet50", output_stride=8)',
        "link": screen.tab.url,
        "svg": plusx.draw("resnet50 output_stride=8 dilate=previous", theme="dark"),
    }
    for form, text in wanted.items():
        screen.click(f"#copy-{form}")
        screen.until("document.querySelector('#status').textContent")
        assert text in clipboard(screen), form
        screen.tab.evaluate("document.querySelector('#status').textContent = ''")
    screen.click("#copy-png")
    screen.until("document.querySelector('#status').textContent.includes('PNG')")
    size = screen.tab.evaluate(
        """async () => {
            const [item] = await navigator.clipboard.read();
            const image = await createImageBitmap(await item.getType("image/png"));
            const canvas = new OffscreenCanvas(image.width, image.height);
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [image.width, image.height, ...context.getImageData(5, 5, 1, 1).data.slice(0, 3)];
        }"""
    )
    width, height = re.findall(r'width="(\d+)" height="(\d+)"', wanted["svg"].replace(".", "0"))[0]
    assert size[2:] == [0x14, 0x18, 0x1D]  # the page of the dark theme: the drawing's own style came along
    assert abs(size[0] - 2 * float(re.findall(r'width="([\d.]+)"', wanted["svg"])[0])) <= 2, (width, height)
    screen.press("Escape")
    assert not screen.tab.locator("#copy-menu").is_visible()


# ---- the tour, languages and themes ----


def test_the_tour_has_eight_steps(screen: Screen) -> None:
    screen.open()
    screen.click("#tour-open")
    for number, step in enumerate(STEPS, 1):
        assert step.title in screen.text("#tour")
        assert (screen.net, screen.state.get("pin", "")) == (str(plusx.spec(step.net)), step.pin)
        assert screen.state["step"] == str(number)
        assert screen.tab.locator(".selected").count() == 1
        screen.click("#tour-next")
    assert not screen.tab.locator("#tour").is_visible()
    screen.tab.go_back()
    screen.settle()
    assert STEPS[-1].title in screen.text("#tour")


def test_both_languages_and_both_themes(screen: Screen) -> None:
    screen.open(place="conv1")
    screen.click("#language")
    assert screen.state["lang"] == "zh"
    assert screen.tab.evaluate("document.documentElement.lang") == "zh-CN"
    for selector, text in (
        ("#copy-open", "复制"),
        ("#geometry", "感受野"),
        ("#place", "在其他库中的名字"),
        ("#canvas svg", "阶段 1"),
    ):
        assert text in screen.tab.locator(selector).text_content()
    screen.write("#line", "resnet5O")
    assert "没有" in screen.text("#line-error")
    screen.open(lang="zh", place="conv1")
    page = screen.tab.evaluate("getComputedStyle(document.querySelector('#canvas svg rect.page')).fill")
    screen.click("#theme")
    assert screen.state["theme"] == "dark"
    assert page == "rgb(255, 255, 255)"
    assert (
        screen.tab.evaluate("getComputedStyle(document.querySelector('#canvas svg rect.page')).fill")
        == "rgb(20, 24, 29)"
    )
    assert screen.tab.locator("[data-w]").evaluate_all("all => all.filter(e => !e.textContent).length") == 0


SERIOUS = """async source => {
    if (!window.axe) { eval(source); }
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations.filter(v => ["serious", "critical"].includes(v.impact))
        .map(v => `${v.id}: ${v.nodes.slice(0, 3).map(n => n.target.join(" ") + " " + n.failureSummary.slice(0, 200)).join(" | ")}`);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_serious_stands_in_the_way(screen: Screen, axe: str, theme: str, lang: str) -> None:
    def serious() -> list[str]:
        screen.tab.evaluate(axe)  # by the debugger, which no policy of the page concerns
        return screen.tab.evaluate(SERIOUS, "")

    look: dict[str, Any] = {"theme": theme, "lang": lang}
    screen.open(net="resnet50 gate=se", place="layer1.0.conv1", **look)
    screen.tab.locator("details.more > summary").click()
    assert serious() == []
    screen.open(net="resnet50", pin="resnet18", detail="stages", step="6", **look)
    assert serious() == []
    screen.click("#copy-open")
    assert serious() == []
    screen.press("Escape")
    screen.write("#line", "resnet5O")
    assert serious() == []


@pytest.mark.parametrize("width", [380, 768, 1280, 1920])
def test_nothing_is_wider_than_the_screen(screen: Screen, width: int) -> None:
    screen.tab.set_viewport_size({"width": width, "height": 900})
    for state in (
        {"net": "resnet50", "place": "layer1.0.conv1"},
        {"net": "resnet50", "pin": "resnet50d", "step": "2", "lang": "zh"},
    ):
        screen.open(**state)
        assert screen.tab.evaluate("document.documentElement.scrollWidth") <= width
        assert screen.tab.locator("#line").is_visible()
    screen.tab.set_viewport_size({"width": 1280, "height": 900})


# ---- the networks that run ----


def test_the_part_where_networks_run_is_loaded_when_asked_for(
    chromium: Any, addresses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for live/live.js: shown by its button alone, mounted once, and again in another language."""
    code = b"export function mount(element, {language, base}) { element.textContent = `mounted ${language} ${base}`; }"
    address = addresses("server")
    monkeypatch.setitem(page_files(), "live/live.js", PageFile(code, "text/javascript"))
    context = chromium.new_context(locale="en")
    found = Screen(context.new_page(), address, "server").load(net="resnet18")
    assert not any("live.js" in url for url in found.requests)
    found.click("#live-open")
    found.until("document.querySelector('#live').textContent")
    assert found.text("#live") == f"mounted en {address}"
    assert found.state["live"] == "1"
    assert not found.tab.locator("main").is_visible()
    found.click("#language")
    found.until("document.querySelector('#live').textContent.includes('zh')")
    found.click("#live-open")
    assert not found.tab.locator("#live").is_visible()
    assert found.tab.locator("main").is_visible()
    assert found.foreign == []
    context.close()


def test_nothing_of_it_is_shown_where_it_is_absent(screen: Screen) -> None:
    screen.open(live="1")
    assert screen.tab.locator("main").is_visible() or "live/live.js" in page_files()
    assert screen.tab.locator("#live-open").is_visible() == ("live/live.js" in page_files())


# ---- nothing leaves the machine ----


def test_a_planted_foreign_address_is_seen(chromium: Any, addresses: Any) -> None:
    """Negative control of what `screen` checks at its end, for an image, a script and a fetch."""
    for planted in (
        "document.body.append(Object.assign(new Image(), {src: 'https://planted.invalid/x.png'}))",
        "import('https://planted.invalid/x.js').catch(() => 0)",
        "fetch('https://planted.invalid/x').catch(() => 0)",
    ):
        context = chromium.new_context(locale="en")
        found = Screen(context.new_page(), addresses("server"), "server").load(net="resnet18")
        assert found.foreign == []
        found.tab.evaluate(f"void ({planted})")
        found.tab.wait_for_timeout(300)
        assert found.foreign != []
        context.close()
