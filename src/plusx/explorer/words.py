"""The words of the page, its presets and its tour in one language, as plain data for JSON."""

from __future__ import annotations

from typing import Any

from plusx.explorer.tour import STEPS
from plusx.i18n import _, translator
from plusx.specs import PRESETS

WORDS = {
    "title": _("plusx: every ResNet from one line"),
    "skip": _("Skip to the drawing"),
    "network": _("Network"),
    "line": _("The network in one line"),
    "switches": _("Switches"),
    "preset": _("preset"),
    "group.network": _("Network"),
    "group.stem": _("Stem"),
    "group.blocks": _("Blocks"),
    "group.geometry": _("Stride and dilation"),
    "group.ends": _("Input and output"),
    "group.more": _("More keys"),
    "size": _("size"),
    "size.meaning": _("input in pixels: a side, or height x width"),
    "whole": _("whole network"),
    "drawing": _("Drawing"),
    "drawing.help": _("Arrow keys go from op to op, Enter selects, + and - zoom."),
    "zoom": _("Zoom"),
    "stages": _("Stages"),
    "blocks": _("Blocks"),
    "ops": _("Ops"),
    "numbers": _("Numbers"),
    "params": _("params"),
    "macs": _("MACs"),
    "weights": _("weights, float32"),
    "weights.short": _("weights"),
    "activations": _("activations of one image"),
    "depth": _("depth"),
    "depth.help": _("Counted are the layers of this sum, in the order of computation."),
    "geometry": _("Stages"),
    "part": _("part"),
    "output": _("output"),
    "stride": _("stride"),
    "rf": _("receptive field"),
    "rf.short": _("rf"),
    "place": _("Selected"),
    "place.none": _("Point at a part of the drawing, or go there with the arrow keys."),
    "layer": _("counted layer"),
    "repeat": _("equal blocks, separate weights"),
    "names": _("Names elsewhere"),
    "field": _("What one cell sees"),
    "field.text": _("One of {cells} cells sees {rf} px, centred at {at}; its neighbours are {jump} px away."),
    "field.global": _("From {op} on every cell depends on the whole image. This is the local receptive field."),
    "field.help": _("Click the image, or use the arrow keys on it, to choose the cell."),
    "field.own": _("Your own image"),
    "field.private": _("It stays in this browser."),
    "field.sample": _("Sample image"),
    "field.bad": _("{name} is not an image that this browser can show."),
    "compare": _("Compare"),
    "compare.help": _("Keep this network beside the next one"),
    "compare.with": _("Compared with {net}"),
    "compare.end": _("End the comparison"),
    "compare.swap": _("Swap the two"),
    "diff": _("What changes"),
    "diff.equal": _("No difference."),
    "before": _("before"),
    "after": _("after"),
    "change": _("change"),
    "copy": _("Copy"),
    "copied": _("Copied: {form}"),
    "saved": _("Saved as {name}"),
    "form.text": _("Text"),
    "form.link": _("Link"),
    "form.command": _("Command"),
    "tour": _("Tour"),
    "tour.step": _("Step {n} of {of}"),
    "next": _("Next"),
    "back": _("Back"),
    "close": _("Close"),
    "live": _("Run it"),
    "theme": _("Light or dark"),
    "language": _("Language"),
    "loading": _("Python is being loaded …"),
    "failed": _("plusx does not answer. Start it again with plusx explore, and reload this page."),
    "close_menu": _("Close the menu"),
}
FORMS = {
    "form.python": "Python", "form.toml": "TOML", "form.torchvision": "torchvision", "form.timm": "timm", "form.svg": "SVG",
    "form.png": "PNG",
}  # fmt: skip
"""Names, which are the same in every language."""


def texts(lang: str) -> dict[str, Any]:
    """Everything that the page says in a language: `words`, `presets`, `tour`.

    >>> texts("en")["words"]["copied"]
    'Copied: {form}'
    """
    say = translator(lang)
    return {
        "language": lang,
        "words": {key: say(text) for key, text in WORDS.items()} | FORMS,
        "presets": [
            {"name": name, "size": preset.size_px, "source": say(preset.source)} for name, preset in PRESETS.items()
        ],
        "tour": [
            {
                "title": say(step.title), "text": say(step.text), "net": step.net, "detail": step.detail, "pin": step.pin,
                "place": step.place,
            }
            for step in STEPS
        ],
    }  # fmt: skip
