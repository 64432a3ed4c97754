"""Everything plusx raises on purpose. One error is one line: what (value), rule; way out.

PlusxError
├── SpecError (ValueError)      a network text or key that cannot be
├── GeometryError (ValueError)  a size at which a map vanishes, a name the graph does not have
├── WeightsError                tensors that do not fit
├── DataError                   images, labels or folders that cannot be used
├── BundleError                 a bundle or run that is missing, damaged or newer than this plusx
├── MissingExtra (ImportError)  a part of plusx that is not installed
├── GateError                   a comparison or an accuracy gate said no (exit 1)
└── RunError                    work that failed on the way, progress kept (exit 3)
"""

from __future__ import annotations

from collections.abc import Iterable

from plusx.i18n import Message, _


class PlusxError(Exception):
    """The base: its text is the one line a user reads. `exit_code` is what the command line returns."""

    exit_code = 2
    quiet = False
    """Set where another process of the same training says it already."""

    def __init__(self, message: Message | str) -> None:
        super().__init__(message)
        self.message = message
        """The text with its template, for `i18n.translate`."""


class SpecError(PlusxError, ValueError):
    pass


class GeometryError(PlusxError, ValueError):
    pass


class WeightsError(PlusxError):
    pass


class DataError(PlusxError):
    pass


class BundleError(PlusxError):
    pass


class MissingExtra(PlusxError, ImportError):
    pass


EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "torchvision"),
    "log": ("tensorboard",),
    "cpu": ("openvino",),
    "export": ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf"),
    "explore": ("starlette", "uvicorn"),
    "draw": ("vl_convert",),
    "parquet": ("pyarrow",),
    "keras": ("pyfive", "h5py"),
    "hub": ("huggingface_hub",),
}
"""What `pip install 'plusx[EXTRA]'` brings: the modules that are imported."""


def missing(module: str) -> MissingExtra:
    """The error for a module that is not installed; it names the extra that brings it.

    >>> str(missing("torch.nn"))
    "torch is not installed. Install it with pip install 'plusx[train]'."
    """
    name = module.partition(".")[0]
    extra = next((extra for extra, modules in EXTRAS.items() if name in modules), None)
    wanted = "plusx" if extra is None else f"plusx[{extra}]"
    return MissingExtra(f"{name} is not installed. Install it with pip install '{wanted}'.")


class GateError(PlusxError):
    exit_code = 1


class RunError(PlusxError):
    exit_code = 3


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` was most likely meant to be, or None.

    >>> nearest("resnet5O", ["resnet18", "resnet50"])
    'resnet50'
    """
    scores = _likeness(word, allowed)
    best = max(scores, key=lambda other: scores[other], default=None)
    return best if best is not None and scores[best] >= 0.5 else None


def closest(word: str, allowed: Iterable[str], most: int = 5) -> list[str]:
    """The allowed words that are most like `word`, the likest first.

    >>> closest("resnet5O", ["resnet18", "resnet50", "plain18"], 2)
    ['resnet50', 'resnet18']
    """
    scores = _likeness(word, allowed)
    return sorted(scores, key=lambda other: -scores[other])[:most]


def _likeness(word: str, allowed: Iterable[str]) -> dict[str, float]:
    from difflib import SequenceMatcher

    return {other: SequenceMatcher(None, other, word.lower()).ratio() for other in allowed}


def unknown(what: str, word: str, allowed: Iterable[str]) -> Message:
    """The line for a word that is not in a list: what it is, the nearest, and all that are allowed.

    >>> unknown("stem", "depe", ["7x7", "deep"])
    "unknown stem 'depe'; did you mean 'deep'? allowed: 7x7, deep"
    """
    allowed = list(allowed)
    noun = what if isinstance(what, Message) else Message(what)  # words of plusx, so they have a translation
    values = {"what": noun, "word": word, "allowed": ", ".join(allowed)}
    near = nearest(word, allowed)
    if near:
        return _("unknown {what} {word!r}; did you mean {near!r}? allowed: {allowed}", near=near, **values)
    return _("unknown {what} {word!r}; allowed: {allowed}", **values)
