"""What a name of weights means: `imagenet`, `torchvision/resnet50:IMAGENET1K_V1`, `timm/…`, `keras/…`, `hf:…` or `https://…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from plusx.errors import SpecError, WeightsError, closest
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec
from plusx.weights.hub.entries import ENTRIES
from plusx.weights.hub.entry import Entry
from plusx.weights.hub.recognising import IMAGENET
from plusx.weights.hub.recommending import best, recommended, why
from plusx.weights.hub.remote import Digest, RemoteFile, hub_file, web_file

TABLES = ("torchvision/", "timm/", "keras/")
_HUB = re.compile(r"hf:(?://)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?:/(.+))?", re.ASCII)
_URL = re.compile(r"https?://[!-~]+")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""The weights of a repository that names no file: what transformers and timm write, the better format first."""
_ENUM = re.compile(r"(\w+)_weights\.(\w+)")
"""torchvision's own names, in lower case: resnet50_weights.imagenet1k_v2."""
_EXACT = {name.lower(): name for name in ENTRIES}
_SHORT = (
    {re.split(r":(?=imagenet)", lower)[0]: name for lower, name in reversed(_EXACT.items())}
    | _EXACT
    | {IMAGENET: IMAGENET}
)
"""Names in lower case, with and without what torchvision's have behind the network."""
LEAST_SIMILAR = 0.75
FILE_ENDINGS = (
    ".pth",
    ".pt",
    ".ckpt",
    ".bin",
    ".safetensors",
    ".tar",
    ".h5",
    ".keras",
    ".onnx",
    ".npz",
    ".pkl",
    ".pdparams",
    ".caffemodel",
)
LISTING = "plusx weights list"
MOST_SHOWN = 3


@dataclass(frozen=True)
class NamedWeights:
    """What a name stands for: files of which the first that exists is taken, and what is known of them."""

    name: str
    files: tuple[RemoteFile, ...]
    entry: Entry | None = None
    said: tuple[Message, ...] = ()

    @property
    def digest(self) -> Digest | None:
        return self.files[0].digest if self.entry is None else self.entry.digest


def read_name(source: str | Path, network: ResNetSpec | None = None) -> NamedWeights:
    """The weights that a name stands for; `imagenet` needs the network. Raises SpecError, WeightsError."""
    text = str(source)
    if text == IMAGENET:
        return _imagenet(network)
    if text.startswith(TABLES):
        return _of_table(text)
    if text.startswith("hf:"):
        return _of_hub(text)
    return _of_web(re.sub(r"^(https?):/(?=[^/])", r"\1://", text))  # pathlib merges the two slashes


def _imagenet(network: ResNetSpec | None) -> NamedWeights:
    if network is None:
        raise SpecError(
            _("imagenet stands for weights that fit a network, and no network is named. Name it, or write the weights out, like "
              "torchvision/resnet50.")
        )  # fmt: skip
    entry = recommended(network)
    return NamedWeights(entry.name, entry.files, entry, (why(entry),))


def _of_table(text: str) -> NamedWeights:
    """`timm/resnet50.a1_in1k`, with or without a revision, or `timm/resnet50`, the best of its weights."""
    name, _at, revision = text.partition("@")
    entry, said = ENTRIES.get(name), ()
    if entry is None:
        entry = best(ENTRIES[other] for other in ENTRIES if re.split(r"[:.]", other)[0] == name)
        if entry is None:
            raise WeightsError(unknown_name(text))
        said = (why(entry),)
    if not revision:
        return NamedWeights(entry.name, entry.files, entry, said)
    if not entry.files[0].repo:
        raise WeightsError(_("{name} has no revisions. Leave out @{revision}.", name=name, revision=revision))
    pinned = _of_hub(f"hf:{entry.files[0].repo}@{revision}")
    return NamedWeights(text, pinned.files[: len(entry.files)], entry, said)


def _of_hub(text: str) -> NamedWeights:
    """`hf:org/repo`, `hf:org/repo@revision`, `hf:org/repo/file`; what the table has on the repository counts for every revision."""
    found = _HUB.fullmatch(text)
    parts = [] if found is None else [*found[1].split("/"), found[2] or "main", *(found[3] or "").split("/")]
    if found is None or any(part in (".", "..") for part in parts) or not text.isprintable():
        raise WeightsError(
            _("{text!r} is no repository of Hugging Face's hub. Write hf:ORGANISATION/NAME, with @REVISION or /FILE after it.", text=text)
        )  # fmt: skip
    repo, revision, path = found[1], found[2] or "main", found[3]
    entry = next((each for each in ENTRIES.values() if each.files[0].repo == repo), None)
    paths = (path,) if path else HUB_FILES if entry is None else tuple(file.path for file in entry.files)
    if entry is not None and path not in (None, *(file.path for file in entry.files)):
        entry = None
    return NamedWeights(text, tuple(hub_file(repo, each, revision) for each in paths), entry)


def _of_web(url: str) -> NamedWeights:
    if not _URL.fullmatch(url) or url.count("/") < 3 or url.endswith("/"):
        raise WeightsError(_("{url!r} is no address of a file. Copy it again; spaces are written %20.", url=url))
    file = web_file(url.partition("#")[0])
    entry = next((each for each in ENTRIES.values() if file in each.files), None)
    return NamedWeights(url, (file,), entry)


def unknown_name(text: str) -> Message:
    """The message for a name that the table does not have."""
    near = ", ".join(closest(text, ENTRIES, MOST_SHOWN))
    if text.startswith("timm/"):
        return _("plusx knows no weights {text!r}. The nearest are {near}; {listing} shows all, and hf:{text} takes what the hub has.",
                 text=text, near=near, listing=LISTING)  # fmt: skip
    return _(
        "plusx knows no weights {text!r}. The nearest are {near}; {listing} shows all.",
        text=text,
        near=near,
        listing=LISTING,
    )


def similar_name(text: str) -> str | None:
    """The name of the table that a word without a meaning was probably to be, or None.

    >>> similar_name("ResNet50_Weights.IMAGENET1K_V2"), similar_name("resnet50.a1_in1k"), similar_name("photo")
    ('torchvision/resnet50:IMAGENET1K_V2', 'timm/resnet50.a1_in1k', None)
    """
    word = text.lower()
    if found := _ENUM.fullmatch(word):
        own = [name for name in ENTRIES if name.startswith(f"torchvision/{found[1]}:")]
        return next((name for name in own if name.lower().endswith(f":{found[2]}")), own[0] if own else None)
    if Path(text).suffix.lower() in FILE_ENDINGS:
        return None
    for lower, name in _EXACT.items():
        if word in (lower, lower.partition("/")[2], lower.partition(":")[2]):
            return name
    likely = closest(word, _SHORT, 1)[0]
    return _SHORT[likely] if SequenceMatcher(None, likely, word).ratio() >= LEAST_SIMILAR else None
