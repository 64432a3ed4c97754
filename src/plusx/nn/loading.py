"""`load`: a network with its weights from a bundle, a training run or a weights file, and a new head or input where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from plusx.bundles import is_bundle, open_bundle
from plusx.errors import BundleError, SpecError, WeightsError, unknown
from plusx.graph.lower import Network, spec_of
from plusx.i18n import _
from plusx.names.shapes import shapes_of, suggest
from plusx.nn.building import build, read_state
from plusx.nn.resnet import ResNet
from plusx.nn.surgery import adapt_input, new_head
from plusx.specs import ResNetSpec


def load(
    source: str | Path,
    *,
    spec: Network | None = None,
    head: Literal["keep", "new"] | None = None,
    input: Literal["keep", "adapt"] = "keep",
    classes: int | None = None,
) -> ResNet:
    """The network of `source` (bundle, training run, .safetensors or .pth with torchvision's names) in eval mode.

    `spec` describes the weights. Without it, the spec of the bundle is used, or the one that the names and shapes show.
    `classes=N` replaces fc by a new, untrained one for N classes; `head="new"` may be written beside it. `input="adapt"` fits
    the stem to the in_channels of `spec`. Raises SpecError, WeightsError, BundleError.
    """
    _check_options(head, input, classes)
    wanted = None if spec is None else spec_of(spec)
    if input == "adapt" and wanted is None:
        raise SpecError(_("input='adapt' needs the new number of channels. Give spec with in_channels=N."))
    net = _from_bundle(Path(source), wanted) if Path(source).is_dir() else _from_file(Path(source), wanted, input)
    if wanted is not None and input == "adapt" and net.spec.in_channels != wanted.in_channels:
        net = adapt_input(net, wanted.in_channels)
    if classes is not None:
        net = new_head(net, classes)
    return net.eval()


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


def _from_bundle(path: Path, wanted: ResNetSpec | None) -> ResNet:
    if not is_bundle(path) and not (path / "run.json").is_file():
        raise BundleError(
            _(
                "{path} is neither a bundle nor a training run. Give one of them, or a .safetensors or .pth file.",
                path=path,
            )
        )
    bundle = open_bundle(path)
    own = bundle.spec
    if wanted is not None and wanted.replace(in_channels=own.in_channels) != own:
        raise WeightsError(
            _("{path} holds {own}, not {wanted}. Leave out spec, and change the network after loading it.",
              path=path, own=str(own), wanted=str(wanted))
        )  # fmt: skip
    net = build(own, bundle.weights())
    net.preprocessing = bundle.preprocessing
    return net


def _from_file(path: Path, wanted: ResNetSpec | None, input: str) -> ResNet:
    state = read_state(path)
    found = suggest(shapes_of(state))
    if wanted is None:
        if found is None:
            raise WeightsError(
                _(
                    "No network of plusx has exactly the tensors of {path}. Give spec, like spec='resnet50 stem=deep'.",
                    path=path,
                )
            )
        return build(found, state)
    if input == "adapt" and found is not None:
        wanted = wanted.replace(in_channels=found.in_channels)
    return build(wanted, state)
