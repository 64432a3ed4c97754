"""`build` and `load`: networks with the weights of a file of any family, or of a bundle or run."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from plusx.bundles import is_bundle, open_bundle
from plusx.errors import BundleError, SpecError, WeightsError, missing, unknown
from plusx.graph import lower
from plusx.graph.lower import Network, spec_of
from plusx.i18n import _
from plusx.names.shapes import shortened
from plusx.specs import ResNetSpec
from plusx.weights.assumptions import said_of
from plusx.weights.conversion.translate import Translation, translate
from plusx.weights.hub.names import LISTING, similar_name
from plusx.weights.hub.recognising import is_folder, is_name
from plusx.weights.identification.identify import identify, read

if TYPE_CHECKING:
    from plusx.nn import ResNet

log = logging.getLogger("plusx")

State = Mapping[str, Any]
_NAME_OF_WEIGHTS = re.compile(r"(?i)default|imagenet\w+|pretrained|true|[\w.]+_in(1|21|22)k\w*|\w+_weights\.\w+")
"""Names that other libraries take: DEFAULT, IMAGENET1K_V2, ResNet50_Weights.DEFAULT, a1_in1k."""
EXAMPLE = "torchvision/resnet50:IMAGENET1K_V1"


def build(network: Network, weights: State | str | Path | None = None) -> ResNet:
    """The network in training mode, freshly initialised or with `weights`: a state dict, a file of any family or a hub's name.

    The weights need exactly the tensors of the network. Those behind the end of a network with `until` are skipped and logged.
    A file for BGR images is turned to RGB, which is logged. Raises SpecError, WeightsError.

    >>> build("resnet18 classes=10").fc.out_features
    10
    """
    _require_torch()
    from plusx.nn import build as build_from_state

    if weights is None or isinstance(weights, Mapping):
        return build_from_state(network, weights)
    if not isinstance(weights, str | Path):
        raise WeightsError(
            _("weights={weights!r} is neither a state dict nor a file. Give one of them, or a name like 'imagenet'.",
              weights=weights)
        )  # fmt: skip
    require_file(weights)
    stored = read(weights, spec_of(network))
    made = translate(stored, identify(stored), spec=spec_of(network), colour="RGB")
    _tell(made)
    return network_of(made)


def load(
    source: str | Path,
    *,
    spec: Network | None = None,
    head: Literal["keep", "new"] | None = None,
    input: Literal["keep", "adapt"] = "keep",
    classes: int | None = None,
    bands: Sequence[int] | None = None,
    key: str | None = None,
) -> ResNet:
    """The network of `source` (bundle, training run, weights file of any family or a hub's name) in eval mode.

    `spec` gives what the file does not show; `key` names one of several networks in it. `classes=N` replaces fc by a new,
    untrained one for N classes; `head="new"` may be written beside it. `input="adapt"` fits the stem to the in_channels of
    `spec`; for fewer channels, but not one, `bands` names those to keep. Every tensor that is replaced or adapted is logged by
    name, as is what the file does not show. Networks for BGR images are turned to RGB. Raises SpecError, WeightsError,
    BundleError.
    """
    _require_torch()
    _check_options(head, input, classes)
    wanted = None if spec is None else spec_of(spec)
    if input == "adapt" and wanted is None:
        raise SpecError(_("input='adapt' needs the new number of channels. Give spec with in_channels=N."))
    if bands is not None and input == "keep":
        raise SpecError(_("bands={bands} needs an input that is adapted. Write input='adapt' beside it.", bands=bands))
    path = Path(source)
    if is_folder(path):
        if key is not None:
            raise SpecError(_("{path} is a bundle or a training run and holds one network. Leave key out.", path=path))
        net = _from_bundle(path, wanted)
    else:
        net = _from_file(source, wanted, key, new_head=classes is not None, adapt=input == "adapt")
    return _bent(net, path, wanted if input == "adapt" else None, bands, classes).eval()


def _check_options(head: str | None, input: str, classes: int | None) -> None:
    """Raises SpecError where the options are unknown or contradict each other."""
    if head not in (None, "keep", "new"):
        raise SpecError(unknown("head", str(head), ("keep", "new")))
    if input not in ("keep", "adapt"):
        raise SpecError(unknown("input", str(input), ("keep", "adapt")))
    if head == "new" and classes is None:
        raise SpecError(_("head='new' needs a number of classes. Give classes=N."))
    if head == "keep" and classes is not None:
        raise SpecError(
            _(
                "head='keep' contradicts classes={classes}, which makes a new head. Leave out one of them.",
                classes=classes,
            )
        )


def network_of(made: Translation) -> ResNet:
    """The network of a translation. It keeps the arrays of the translation, those that can be written to without a copy."""
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
    """Raises WeightsError where weights are neither a file nor a hub's name: missing, a folder, or a name from another library."""
    if is_name(path) or Path(path).is_file():
        return
    if Path(path).is_dir():
        raise WeightsError(
            _("{path} is a folder, not a weights file. Use plusx.load for bundles and training runs.", path=path)
        )
    if _NAME_OF_WEIGHTS.fullmatch(str(path)):
        raise WeightsError(
            _("weights={name!r} is a name of torchvision or timm. Write it with its library and network, like {near!r}; "
              "{listing} shows all.", name=str(path), near=similar_name(str(path)) or EXAMPLE, listing=LISTING)
        )  # fmt: skip
    if not Path(path).exists():
        near = similar_name(str(path))
        if near is not None:
            raise WeightsError(
                _("There is no weights file {path}. Check the path, or write {near!r} if you meant weights of a hub.", path=path, near=near)
            )  # fmt: skip
        raise WeightsError(_("There is no weights file {path}. Check the path.", path=path))


def _from_bundle(path: Path, wanted: ResNetSpec | None) -> ResNet:
    if not is_bundle(path) and not (path / "run.json").is_file():
        raise BundleError(
            _("{path} is neither a bundle nor a training run. Give one of them, or a weights file.", path=path)
        )
    from plusx.nn import build as build_from_state

    bundle = open_bundle(path)
    own = bundle.spec
    if wanted is not None and wanted.replace(in_channels=own.in_channels) != own:
        raise WeightsError(
            _("{path} holds {own}, not {wanted}. Leave out spec, and change the network after loading it.",
              path=path, own=own, wanted=wanted)
        )  # fmt: skip
    net = build_from_state(own, bundle.weights())
    net.preprocessing = bundle.preprocessing
    return net


def _from_file(
    source: str | Path, wanted: ResNetSpec | None, key: str | None, *, new_head: bool, adapt: bool
) -> ResNet:
    """The network as the file has it, with its own head and channels where those are replaced afterwards."""
    require_file(source)
    stored = read(source, wanted)
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
    """The network with the new input and head; the tensors of the file that did not fit are logged by name."""
    from plusx.nn.surgery import adapt_input, new_head

    if adapted is not None and net.spec.in_channels != adapted.in_channels:
        had, key = net.spec.in_channels, f"{lower(net.spec).stem[0].path}.weight"
        net = adapt_input(net, adapted.in_channels, bands)
        log.warning("%s", _adapted(path, key, had, adapted.in_channels, bands))
    if classes is not None:
        keys = [key for key in net.state_dict() if key.startswith("fc.")]
        net = new_head(net, classes)
        if keys:
            text = _("{path}: {keys} did not fit and are skipped, because the head is new ({n} classes)", path=path, keys=shortened(keys), n=classes)  # fmt: skip
        else:
            text = _("{path} has no head, and the new one for {n} classes is untrained", path=path, n=classes)
        log.warning("%s", text)
    return net


def _adapted(path: Path, key: str, had: int, has: int, bands: Sequence[int] | None) -> str:
    if bands is not None:
        how = _("channels {bands} of the file are kept and the others dropped", bands=", ".join(map(str, bands)))
    elif has == 1:
        how = _("all channels are summed")
    else:
        how = _("channel i is channel i mod {had} of the file, times {had}/{has}", had=had, has=has)
    return _(
        "{path}: {key} did not fit and is adapted from {had} to {has} channels: {how}",
        path=path, key=key, had=had, has=has, how=how,
    )  # fmt: skip


def _tell(made: Translation) -> None:
    """Logs what was taken without being known, as a warning where it may change what the network computes."""
    found = made.identification
    for line in said_of(found, made.spec, made.notes):
        log.log(logging.WARNING if line.matters else logging.INFO, "%s", line.text)
    if found.colour.value == "BGR" and made.spec.in_channels == 3:
        log.warning("%s", _("{path} was trained on BGR images ({why}), and the network takes RGB images now", path=found.path, why=found.colour.why))  # fmt: skip
