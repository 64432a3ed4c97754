"""The exceptions of plusx. The text of each is one or two sentences on one line: what is wrong, then what to do.

PlusxError
├── SpecError (ValueError)      words, keys or arguments that are not valid
├── GeometryError (ValueError)  an input size that leaves an empty map, or a name that the graph does not have
├── WeightsError                weights that are not compatible with a network
├── DataError                   images, labels or folders that cannot be used
├── BundleError                 a bundle or run that is missing, corrupt or newer than this plusx
├── MissingExtra (ImportError)  an optional dependency that is not installed
├── GateError                   a comparison or an accuracy gate that failed (exit 1)
└── RunError                    work that failed on the way; progress is kept (exit 3)
"""

from __future__ import annotations

from collections.abc import Iterable

from plusx.i18n import Message, _


class PlusxError(Exception):
    """The base class. `exit_code` is the exit status of the command line."""

    exit_code = 2
    quiet = False
    """Whether another process of the same training run prints the error."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message
        """The text with its template and values, for `i18n.translate`."""


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
    "train": ("torch", "torchvision", "sklearn"),
    "cpu": ("openvino",),
    "export": ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf"),
    "draw": ("vl_convert",),
    "parquet": ("pyarrow",),
    "keras": ("pyfive", "h5py"),
    "log": ("tensorboard",),
    "explore": ("starlette", "uvicorn"),
    "serve": ("starlette", "uvicorn"),
    "ray": ("ray",),
}
"""The modules that `pip install 'plusx[EXTRA]'` installs."""


def missing(module: str, command: str = "") -> MissingExtra:
    """The error for a module that is not installed; it names the extra to install, that of the command where there are several.

    >>> str(missing("torch.nn"))
    "torch is not installed. Install it with pip install 'plusx[train]'."
    >>> str(missing("starlette", "serve"))
    "starlette is not installed. Install it with pip install 'plusx[serve]'."
    """
    name = module.partition(".")[0]
    extras = [extra for extra, modules in EXTRAS.items() if name in modules]
    extra = command if command in extras else next(iter(extras), None)
    wanted = "plusx" if extra is None else f"plusx[{extra}]"
    return MissingExtra(
        _("{module} is not installed. Install it with pip install '{wanted}'.", module=name, wanted=wanted)
    )


class GateError(PlusxError):
    exit_code = 1


class RunError(PlusxError):
    exit_code = 3


class DivergedError(RunError):
    """The numbers of a training became NaN or infinite."""


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that is most similar to `word`, or None where none is similar.

    >>> nearest("resnet5O", ["resnet18", "resnet50"])
    'resnet50'
    """
    scores = _similarity(word, allowed)
    best = max(scores, key=lambda other: scores[other], default=None)
    return best if best is not None and scores[best] >= 0.5 else None


def closest(word: str, allowed: Iterable[str], most: int = 5) -> list[str]:
    """The allowed words that are most similar to `word`, the most similar first.

    >>> closest("resnet5O", ["resnet18", "resnet50", "plain18"], 2)
    ['resnet50', 'resnet18']
    """
    scores = _similarity(word, allowed)
    return sorted(scores, key=lambda other: -scores[other])[:most]


def _similarity(word: str, allowed: Iterable[str]) -> dict[str, float]:
    from difflib import SequenceMatcher

    return {other: SequenceMatcher(None, other, word.lower()).ratio() for other in allowed}


def unknown(what: str, word: str, allowed: Iterable[str], *, listing: str = "") -> Message:
    """The message for a word that is not in a list: the nearest word, and all allowed words or the command that lists them.

    >>> unknown("stem", "depe", ["7x7", "deep"])
    "unknown stem 'depe'. Did you mean 'deep'? Allowed: 7x7, deep."
    >>> unknown("op", "conv", ["conv1", "fc"], listing="plusx show --detail ops")
    "unknown op 'conv'. Did you mean 'conv1'? plusx show --detail ops lists all."
    """
    allowed = list(allowed)
    noun = what if isinstance(what, Message) else Message(what)  # words of plusx, so they have a translation
    near = nearest(word, allowed)
    known = _("{listing} lists all.", listing=listing) if listing else _("Allowed: {words}.", words=", ".join(allowed))
    if near:
        return _(
            "unknown {what} {word!r}. Did you mean {near!r}? {known}", what=noun, word=word, near=near, known=known
        )
    return _("unknown {what} {word!r}. {known}", what=noun, word=word, known=known)
