"""`build` and `load`: networks with the weights of a file of any family, or of a bundle or run."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from plusx.bundles import is_bundle, open_bundle
from plusx.errors import BundleError, SpecError, WeightsError, missing
from plusx.graph import lower
from plusx.graph.lower import Network, spec_of
from plusx.i18n import _
from plusx.names.shapes import some
from plusx.specs import ResNetSpec
from plusx.weights.assumptions import said_of
from plusx.weights.identify import identify, read
from plusx.weights.translate import Translation, translate

if TYPE_CHECKING:
    from plusx.nn import ResNet

log = logging.getLogger("plusx")

State = Mapping[str, Any]
_NAME_OF_WEIGHTS = re.compile(r"(?i)default|imagenet\w*|pretrained|true|[\w.]+_in(1|21|22)k\w*|\w+_weights\.\w+")
"""Names of weights in torchvision and timm: DEFAULT, IMAGENET1K_V2, ResNet50_Weights.DEFAULT, imagenet, a1_in1k."""


def build(network: Network, weights: State | str | Path | None = None) -> ResNet:
    """The network, in training mode: freshly initialised, or with `weights` (a state dict or a file of any family).

    Weights must be those of the network exactly; tensors behind the cut of a cut net are named and left out. A file for BGR
    images is turned to RGB, which is logged. Raises SpecError, WeightsError.

    >>> build("resnet18 classes=10").fc.out_features
    10
    """
    _require_torch()
    from plusx.nn import build as build_from_state

    if weights is None or isinstance(weights, Mapping):
        return build_from_state(network, weights)
    if not isinstance(weights, str | Path):
        raise WeightsError(
            _(
                "weights={weights!r} is neither a state dict nor a file. plusx ships no trained weights.",
                weights=weights,
            )
        )
    require_file(weights)
    stored = read(weights)
    made = translate(stored, identify(stored), spec=spec_of(network), colour="RGB")
    _tell(made)
    return network_of(made)


def load(
    source: str | Path,
    *,
    spec: Network | None = None,
    head: Literal["keep", "new"] = "keep",
    input: Literal["keep", "adapt"] = "keep",
    classes: int | None = None,
    bands: Sequence[int] | None = None,
    key: str | None = None,
) -> ResNet:
    """The network of `source` (a bundle, a run or a weights file of any family) in evaluation mode.

    `spec` says what the file does not tell; `key` names one of several networks in it. `head="new"` with `classes` replaces
    fc. `input="adapt"` fits the stem to `spec`'s in_channels; to fewer channels, but not one, `bands` says which are kept.
    Every tensor that is replaced or adapted is logged by name, as is what the file left open. Networks for BGR images are
    turned to RGB. Raises SpecError, WeightsError, BundleError.
    """
    _require_torch()
    if (classes is None) != (head == "keep"):
        raise SpecError(
            _("head={head!r} and classes={classes} contradict each other. Write head='new' and classes=N together, or neither.", head=head, classes=classes)
        )  # fmt: skip
    wanted = None if spec is None else spec_of(spec)
    if input == "adapt" and wanted is None:
        raise SpecError(_("input='adapt' needs the number of channels. Give a spec with in_channels=N."))
    if bands is not None and input == "keep":
        raise SpecError(_("bands={bands} are chosen for an input that is adapted. Write input='adapt'.", bands=bands))
    path = Path(source)
    if path.is_dir():
        net = _from_bundle(path, wanted)
    else:
        net = _from_file(path, wanted, key, new_head=head == "new", adapt=input == "adapt")
    return _bent(net, path, wanted if input == "adapt" else None, bands, classes).eval()


def network_of(made: Translation) -> ResNet:
    """A translated network, holding the arrays of the translation where they can be written to."""
    import torch

    from plusx.nn.building import holding

    state = {
        name: torch.from_numpy(array if array.flags.writeable else array.copy()) for name, array in made.tensors.items()
    }
    net = holding(lower(made.spec), state)
    found = made.identification
    known = found.preprocessing
    net.preprocessing = known if known is not None and known.channels == made.spec.in_channels else None
    return net


def _require_torch() -> None:
    """Raises MissingExtra."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing(error.name or "torch") from error


def require_file(path: str | Path) -> None:
    """Raises WeightsError for weights that are no file: a missing one, a folder, a name that other libraries know."""
    if Path(path).is_file():
        return
    if Path(path).is_dir():
        raise WeightsError(
            _("{path} is a folder, and a weights file is wanted. plusx.load reads bundles and runs.", path=path)
        )
    if _NAME_OF_WEIGHTS.fullmatch(str(path)):
        raise WeightsError(
            _("weights={path!r} is a name that torchvision or timm knows, and plusx ships no trained weights. Give a file that holds some, like weights='resnet50.pth'.", path=str(path))
        )  # fmt: skip
    if not Path(path).exists():
        raise WeightsError(_("There is no weights file {path}. Check the path.", path=path))


def _from_bundle(path: Path, wanted: ResNetSpec | None) -> ResNet:
    if not is_bundle(path) and not (path / "run.json").is_file():
        raise BundleError(_("{path} is neither a bundle nor a run. Give one, or a weights file.", path=path))
    from plusx.nn import build as build_from_state

    bundle = open_bundle(path)
    own = bundle.spec
    if wanted is not None and wanted.replace(in_channels=own.in_channels) != own:
        raise WeightsError(
            _("{path} is {own}, not {wanted}. Leave spec out, and change what was loaded.", path=path, own=own, wanted=wanted)
        )  # fmt: skip
    net = build_from_state(own, bundle.weights())
    net.preprocessing = bundle.preprocessing
    return net


def _from_file(path: Path, wanted: ResNetSpec | None, key: str | None, *, new_head: bool, adapt: bool) -> ResNet:
    """The network of a file, as the file has it: with its own head and channels where those are to be replaced."""
    require_file(path)
    stored = read(path)
    found = identify(stored, key)
    if wanted is not None and found.spec is not None:
        if adapt:
            wanted = wanted.replace(in_channels=found.spec.in_channels)
        if new_head and wanted.until is None:
            wanted = wanted.replace(classes=found.spec.classes)
    made = translate(stored, found, spec=wanted, colour="RGB")
    _tell(made)
    return network_of(made)


def _bent(
    net: ResNet, path: Path, adapted: ResNetSpec | None, bands: Sequence[int] | None, classes: int | None
) -> ResNet:
    """The network with the input and head that were asked for; what of the file did not fit is logged by name."""
    from plusx.nn.surgery import adapt_input, new_head

    if adapted is not None and net.spec.in_channels != adapted.in_channels:
        had, key = net.spec.in_channels, f"{lower(net.spec).stem[0].path}.weight"
        net = adapt_input(net, adapted.in_channels, bands)
        log.warning("%s", _adapted(path, key, had, adapted.in_channels, bands))
    if classes is not None:
        keys = [key for key in net.state_dict() if key.startswith("fc.")]
        net = new_head(net, classes)
        if keys:
            text = _("{path}: {keys} did not fit and are left out, since the head is new, for {n} classes", path=path, keys=some(keys), n=classes)  # fmt: skip
        else:
            text = _("{path} has no head; the new one for {n} classes is untrained", path=path, n=classes)
        log.warning("%s", text)
    return net


def _adapted(path: Path, key: str, had: int, has: int, bands: Sequence[int] | None) -> str:
    if bands is not None:
        how = _("channels {bands} of the file's are kept, the others left out", bands=", ".join(map(str, bands)))
    elif has == 1:
        how = _("all channels are summed")
    else:
        how = _("channel i is the file's channel i mod {had}, times {had}/{has}", had=had, has=has)
    return _(
        "{path}: {key} did not fit and is adapted from {had} to {has} channels: {how}",
        path=path, key=key, had=had, has=has, how=how,
    )  # fmt: skip


def _tell(made: Translation) -> None:
    """Logs what was taken without being known, as warnings where it changes what is computed."""
    found = made.identification
    for line in said_of(found, made.spec, made.notes):
        log.log(logging.WARNING if line.matters else logging.INFO, "%s", line.text)
    if found.colour.value == "BGR" and made.spec.in_channels == 3:
        log.warning("%s", _("{path} was trained on BGR images ({why}); the network takes RGB ones now", path=found.path, why=found.colour.why))  # fmt: skip
