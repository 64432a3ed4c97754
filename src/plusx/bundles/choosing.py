"""Which weights of a run: those in its bundle, or the last ones and their average in its newest checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from plusx.bundles.bundle import Bundle, is_bundle, open_bundle, wrong_fields
from plusx.bundles.run import newest_checkpoint, read_checkpoint_dir, read_run
from plusx.bundles.tensors import Tensors, bytes_to_tensors
from plusx.errors import BundleError, SpecError, unknown

Which = Literal["best", "last", "ema"]
WHICH: tuple[Which, ...] = ("best", "last", "ema")
_FILES = {"last": "model.safetensors", "ema": "average.safetensors"}


def _nobody(line: str) -> None:
    pass


def open_weights(
    source: str | Path | Bundle, which: str = "best", on_damage: Callable[[str], None] = _nobody
) -> tuple[Bundle, Tensors]:
    """The weights `which` of a bundle or run, hashes checked, and the bundle that holds them or would.

    best: the bundle's. last, ema: those of the run's newest whole checkpoint, as trained and averaged; their Bundle has
    the run's spec, classes, preprocessing and provenance, and no metrics and files. `on_damage` gets a line for every
    newer checkpoint passed over. Raises BundleError; SpecError for another word.
    """
    if which not in WHICH:
        raise SpecError(unknown("weights", which, WHICH))
    if which == "best":
        bundle = open_bundle(source)
        return bundle, bundle.weights()
    if isinstance(source, Bundle) or is_bundle(source):
        source = source.path if isinstance(source, Bundle) else source
        raise BundleError(f"{source} is a bundle, it has no {which} weights; name its run, or leave --weights out")
    run = read_run(source)
    path = newest_checkpoint(source, on_damage)
    if path is None:
        raise BundleError(f"the run {source} has no whole checkpoint yet; train it further with --resume {source}")
    files, name = read_checkpoint_dir(path), _FILES[which]
    if name not in files:
        raise BundleError(f"the run {source} averages no weights (its recipe has ema=0); choose --weights last or best")
    if run.preprocessing is None:
        raise BundleError(f"{run.path / 'run.json'} does not say how its images were prepared. Use another copy.")
    try:
        bundle = Bundle(
            path=run.bundle,
            spec=run.spec,
            classes=run.data.classes,
            preprocessing=run.preprocessing,
            metrics={},
            provenance=run.provenance(int(path.name.removeprefix("step-"))),
            files={},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{run.path / 'run.json'} {wrong_fields(error)}. Use another copy.") from error
    return bundle, bytes_to_tensors(files[name], str(path / name))
