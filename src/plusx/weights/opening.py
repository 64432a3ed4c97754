"""A weights file wherever a bundle is taken: it becomes a bundle in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plusx.bundles import Bundle, open_bundle
from plusx.errors import SpecError
from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec, parse
from plusx.weights.file_bundles import FileBundle, bundle_of
from plusx.weights.hub.names import similar_name
from plusx.weights.hub.recognising import is_folder, is_name
from plusx.weights.hub.recommending import poor_features
from plusx.weights.identification.identify import identify, read
from plusx.weights.loading import require_file
from plusx.weights.stored import StoredFile

if TYPE_CHECKING:
    from plusx.data import Data
    from plusx.evaluation.counting import Processes
    from plusx.metrics import Evaluation
    from plusx.runtime import Predictor
    from plusx.runtime.engines import EngineOptions

Say = Callable[[Message], None]
log = logging.getLogger("plusx")


def _log(line: Message) -> None:
    log.info("%s", line)


def open_source(
    source: str | Path | Bundle,
    *,
    labels: str | Path | Sequence[str] | None = None,
    preprocessing: Preprocessing | str | Path | None = None,
    spec: str | ResNetSpec | None = None,
    key: str | None = None,
    say: Say = _log,
    for_features: bool = False,
    **fields: Any,
) -> Bundle:
    """The bundle at `source`, that of a run, or a weights file or a hub's name as one; see `bundle_of` for what a file does not show.

    `say` gets a line for everything that was taken by convention or by default, and with `for_features` for weights whose
    frozen features are known to be poor. Raises BundleError, WeightsError, SpecError, DataError.
    """
    given = {"labels": labels, "preprocessing": preprocessing, "spec": spec, "key": key, **fields}
    if isinstance(source, Bundle) or is_folder(source):
        written = [name for name, value in given.items() if value is not None]
        if written:
            where = source.path if isinstance(source, Bundle) else source
            raise SpecError(
                _("{source} is a bundle or a training run and has its own {name}. Leave {name} out.", source=where, name=written[0])
            )  # fmt: skip
        return source if isinstance(source, Bundle) else open_bundle(source)
    stored = _stored(source, parse(spec) if isinstance(spec, str) else spec)
    if for_features:
        _say_if_poor(stored, say)
    return _told(bundle_of(stored, labels, preprocessing, spec, key, **fields), say)


def open_first_weights(
    source: str | Path | Bundle,
    network: ResNetSpec | None = None,
    *,
    preprocessing: Preprocessing | str | Path | None = None,
    key: str | None = None,
    say: Say = _log,
) -> Bundle:
    """The weights that a training starts from, of a bundle, a run, a file or a hub's name.

    `network` gives what a file does not show, classes and channels aside. The preprocessing of a file need not be known:
    `preprocessing` gives it, and without it `knows_preprocessing` is false of the bundle.
    Raises BundleError, WeightsError, SpecError.
    """
    if isinstance(source, Bundle) or is_folder(source):
        return open_source(source, preprocessing=preprocessing, key=key)
    stored, spec = _stored(source, network), None
    if network is not None:
        found = identify(stored, key).spec
        spec = None if found is None else network.replace(classes=found.classes, in_channels=found.in_channels)
    _say_if_poor(stored, say)
    bundle = bundle_of(stored, preprocessing=preprocessing, spec=spec, key=key, for_training=True)
    return _told(bundle, say)


def _stored(source: str | Path, network: ResNetSpec | None) -> StoredFile:
    """The file at a path or of a hub's name. Raises WeightsError, or BundleError for what looks like a missing bundle."""
    missing = not is_name(source) and not Path(source).exists()
    if missing and not Path(source).suffix and similar_name(str(source)) is None:
        open_bundle(source)  # which says that there is none
    require_file(source)
    return read(source, network)


def _say_if_poor(stored: StoredFile, say: Say) -> None:
    entry = None if stored.fetched is None else stored.fetched.entry
    poor = None if entry is None else poor_features(entry)
    if poor is not None:
        say(poor)


def _told(bundle: FileBundle, say: Say) -> FileBundle:
    for line in bundle.said:
        say(line)
    return bundle


def predictor(
    source: str | Path | Bundle,
    *,
    labels: str | Path | Sequence[str] | None = None,
    preprocessing: Preprocessing | str | Path | None = None,
    spec: str | ResNetSpec | None = None,
    key: str | None = None,
    engine: str = "auto",
    precision: str = "auto",
    top: int = 5,
    threads: int | None = None,
    objective: str = "throughput",
    device: str = "auto",
    exact_decode: bool = False,
) -> Predictor:
    """A Predictor for a bundle, a run or a weights file of any family; torch is imported only where it computes.

    `labels` (names, a file or "imagenet-1k"), `preprocessing`, `spec` and `key` are for weights files and as in `open_source`.
    `engine` auto, openvino, onnxruntime or torch (auto: torch only where no other is installed); `precision` auto, fp32, bf16 or
    int8 (auto: the fastest that was proven by an export, see plusx export; else fp32); `objective` throughput or latency; `device`
    cpu, cuda or mps for torch; `exact_decode` switches scaled JPEG decoding off.
    Raises BundleError, WeightsError, SpecError, MissingExtra, DataError.
    """
    from plusx.runtime import EngineOptions, open_predictor

    bundle = open_source(source, labels=labels, preprocessing=preprocessing, spec=spec, key=key)
    options = EngineOptions(engine, precision, objective, threads, device)
    return open_predictor(bundle, options, top=top, exact_decode=exact_decode).warm_up()


def evaluate(
    source: str | Path | Bundle,
    data: str | Path | Data,
    *,
    weights: str = "best",
    labels: str | Path | Sequence[str] | None = None,
    preprocessing: Preprocessing | str | Path | None = None,
    spec: str | ResNetSpec | None = None,
    key: str | None = None,
    options: EngineOptions | None = None,
    workers: int = 0,
    group: Processes | None = None,
) -> Evaluation:
    """The Evaluation of a bundle, a run or a weights file of any family on `data`.

    `labels`, `preprocessing`, `spec` and `key` are for weights files and as in `open_source`. The others are as in
    `plusx.evaluation.evaluate`. Raises BundleError, WeightsError, DataError, SpecError, MissingExtra.
    """
    from plusx.evaluation import evaluate as evaluate_bundle

    if isinstance(source, str | Path) and (is_name(source) or Path(source).is_file()):
        source = open_source(source, labels=labels, preprocessing=preprocessing, spec=spec, key=key)
    return evaluate_bundle(source, data, weights=weights, options=options, workers=workers, group=group)
