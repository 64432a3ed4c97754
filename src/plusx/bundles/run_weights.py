"""Weights of a run: the best ones in its bundle, or the last ones and their EMA in its newest checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from plusx.bundles.atomic import current_location
from plusx.bundles.bundle import Bundle, is_bundle, open_bundle, wrong_fields
from plusx.bundles.run import newest_checkpoint, read_checkpoint_dir, read_run
from plusx.bundles.serialisation import Tensors, bytes_to_tensors
from plusx.errors import BundleError, SpecError, unknown
from plusx.i18n import _

Which = Literal["best", "last", "ema"]
WHICH: tuple[Which, ...] = ("best", "last", "ema")
_FILES = {"last": "model.safetensors", "ema": "ema.safetensors"}


def _ignore(line: str) -> None:
    pass


def open_weights(
    source: str | Path | Bundle, which: str = "best", on_damage: Callable[[str], None] = _ignore
) -> tuple[Bundle, Tensors]:
    """The weights `which` of a bundle or run, hashes checked, and the bundle that holds them or would.

    best: the bundle's. last, ema: those of the run's newest complete checkpoint, as trained and averaged; their Bundle has
    the run's spec, classes, preprocessing and provenance, and no metrics and files. `on_damage` gets a line for every
    newer checkpoint that is skipped. Raises BundleError; SpecError for another word.
    """
    if which not in WHICH:
        raise SpecError(unknown("weights", which, WHICH))
    if which == "best":
        if isinstance(source, Bundle):
            return source, source.weights()
        bundle = open_bundle(source)
        return bundle, bundle.weights(checked=True)
    if isinstance(source, Bundle) or is_bundle(source):
        raise BundleError(
            _(
                "{source} is a bundle, which has no {which} weights. Name its run, or leave out --weights.",
                source=source.path if isinstance(source, Bundle) else source,
                which=which,
            )
        )
    run = read_run(source)
    path, files = _newest_files(source, on_damage)
    name = _FILES[which]
    if name not in files:
        raise BundleError(
            _(
                "The run {run} has no EMA weights (its recipe has ema=0). Choose --weights last or best.",
                run=source,
            )
        )
    if run.preprocessing is None:
        raise BundleError(
            _("{path} lacks the preprocessing of its images. Use another copy.", path=run.path / "run.json")
        )
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
        raise BundleError(
            _(
                "{path} cannot be used: {reason}. Use another copy.",
                path=run.path / "run.json",
                reason=wrong_fields(error),
            )
        ) from error
    return bundle, bytes_to_tensors(files[name], str(path / name))


def _newest_files(run: str | Path, on_damage: Callable[[str], None]) -> tuple[Path, dict[str, bytes]]:
    """The newest complete checkpoint and its files; a training may remove it while it is read, and has a newer one then."""
    while True:
        path = newest_checkpoint(run, on_damage)
        if path is None:
            raise BundleError(
                _("The run {run} has no complete checkpoint yet. Train it further with --resume {run}.", run=run)
            )
        try:
            return path, read_checkpoint_dir(path)
        except BundleError:
            if current_location(path).is_dir():
                raise
