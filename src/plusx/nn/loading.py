"""`load`: a network with its weights from a bundle, a run or a weights file, its head and input bent on the way if asked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from plusx.bundles import is_bundle, open_bundle
from plusx.errors import BundleError, SpecError, WeightsError
from plusx.graph.lower import Network, spec_of
from plusx.nn.building import build, read_state
from plusx.nn.resnet import ResNet
from plusx.nn.suggest import shapes_of, suggest
from plusx.nn.surgery import adapt_input, new_head
from plusx.specs import ResNetSpec


def load(
    source: str | Path,
    *,
    spec: Network | None = None,
    head: Literal["keep", "new"] = "keep",
    input: Literal["keep", "adapt"] = "keep",
    classes: int | None = None,
) -> ResNet:
    """The network of `source` (bundle, run, .safetensors or .pth with torchvision's names) in evaluation mode.

    `spec` says what the weights are where the file does not: without it, a bundle's own or the one found from names and
    shapes. Then `head="new"` with `classes` replaces fc, and `input="adapt"` fits the stem to `spec`'s in_channels.
    Raises SpecError, WeightsError, BundleError.
    """
    if (classes is None) != (head == "keep"):
        raise SpecError(f"head={head!r} with classes={classes}; write head='new' and classes=N together, or neither")
    wanted = None if spec is None else spec_of(spec)
    if input == "adapt" and wanted is None:
        raise SpecError("input='adapt' needs the channels to adapt to; give spec with in_channels=N")
    net = _from_bundle(Path(source), wanted) if Path(source).is_dir() else _from_file(Path(source), wanted, input)
    if wanted is not None and input == "adapt" and net.spec.in_channels != wanted.in_channels:
        net = adapt_input(net, wanted.in_channels)
    if classes is not None:
        net = new_head(net, classes)
    return net.eval()


def _from_bundle(path: Path, wanted: ResNetSpec | None) -> ResNet:
    if not is_bundle(path) and not (path / "run.json").is_file():
        raise BundleError(f"{path} is neither a bundle nor a run; give one, or a .safetensors or .pth file")
    bundle = open_bundle(path)
    own = bundle.spec
    if wanted is not None and wanted.replace(in_channels=own.in_channels) != own:
        raise WeightsError(f"{path} is {own}, not {wanted}; leave out spec, and bend what was loaded")
    net = build(own, bundle.weights())
    net.preprocessing = bundle.preprocessing
    return net


def _from_file(path: Path, wanted: ResNetSpec | None, input: str) -> ResNet:
    state = read_state(path)
    found = suggest(shapes_of(state))
    if wanted is None:
        if found is None:
            raise WeightsError(f"{path}: no spec was found that fits these tensors; give spec='resnet50 …'")
        return build(found, state)
    if input == "adapt" and found is not None:
        wanted = wanted.replace(in_channels=found.in_channels)
    return build(wanted, state)
