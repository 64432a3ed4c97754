"""The texts of page/live: each under the key by which live.js asks for it, in one language. Braces are filled there."""

from __future__ import annotations

from plusx.i18n import _, translate

TEXTS = {
    "title": _("Networks that run here"),
    "intro": _(
        "A ResNet-20 and its plain counterpart, trained by plusx, run in this page. Cut a shortcut, drop a block, swap two "
        "blocks or scale F(x), and see what becomes of the maps, the prediction and the accuracy on 200 images that "
        "neither network was trained on. Drop layer3.1 first: it costs ResNet-20 little, and plain-20 everything."
    ),
    "begin": _("Run the networks (loads 17 MB)"),
    "loading": _("Loading…"),
    "failed": _("The networks cannot run here ({reason}). Reload the page, or use a current browser."),
    "data": _("Data set"),
    "data_digits": _("Digits, 8×8"),
    "data_fashion": _("Fashion-MNIST, 28×28"),
    "residual": _("ResNet-20"),
    "plain": _("plain-20"),
    "image": _("Image"),
    "test_image": _("Test image"),
    "previous": _("Previous test image"),
    "next": _("Next test image"),
    "truth": _("Its label: {name}."),
    "drawn": _("Your drawing, as the networks see it."),
    "seen": _("What the networks see, {side}×{side} pixels."),
    "draw": _("Or draw a digit"),
    "pad": _("Drawing pad. Arrow keys draw; with Shift they move the pen."),
    "clear": _("Clear"),
    "accuracy": _("Accuracy on 200 held-out images"),
    "correct": _("{correct} of {n} ({share})"),
    "measuring": _("measuring…"),
    "restore": _("Restore all"),
    "prediction": _("Prediction for the image"),
    "class": _("Class"),
    "blocks": _("Blocks"),
    "blocks_intro": _(
        "Each map is shown with all its channels. The same is done to both networks; plain-20 has no shortcuts to cut or "
        "scale. In the bars of the accuracy a line marks the unchanged network. Where a block is dropped, its input goes on in its place, through zero-padding where the shape changes."
    ),
    "choose_cell": _(
        "Click a cell of a map, or move there with the arrow keys, to see its receptive field on the image."
    ),
    "cell": _(
        "{name} of {network}, channel {channel}, row {row}, column {column}: {value}. Its receptive field is {size}×{size} "
        "pixels; inside the image these are rows {top} to {bottom} and columns {left} to {right}."
    ),
    "map": _("Map of {name}, {network}. Arrow keys choose a cell."),
    "map_size": _("{channels} channels, {rows}×{columns}"),
    "branch_scale": _("F(x) scale"),
    "shortcut_scale": _("Shortcut scale"),
    "cut": _("Cut shortcut"),
    "drop": _("Drop block"),
    "swap": _("Swap with {name}"),
    "weights_of": _("Has the weights of {name}."),
    "class T-shirt/top": _("T-shirt/top"),
    "class Trouser": _("Trouser"),
    "class Pullover": _("Pullover"),
    "class Dress": _("Dress"),
    "class Coat": _("Coat"),
    "class Sandal": _("Sandal"),
    "class Shirt": _("Shirt"),
    "class Sneaker": _("Sneaker"),
    "class Bag": _("Bag"),
    "class Ankle boot": _("Ankle boot"),
    **{f"class {digit}": digit for digit in "0123456789"},
}


def live_texts(language: str) -> dict[str, str]:
    """Key to text, as live.js reads it from texts-LANGUAGE.json.

    >>> live_texts("en")["correct"], live_texts("zh")["class 7"]
    ('{correct} of {n} ({share})', '7')
    """
    return {key: translate(text, language) for key, text in TEXTS.items()}
