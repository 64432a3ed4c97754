"""`fit` and `resume`: a training as an iterator of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from plusx.bundles import check_out, read_run
from plusx.data import BUILT_IN, Splits, open_data
from plusx.errors import BundleError, SpecError
from plusx.graph import Graph
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec, base_preset
from plusx.training.events import Event
from plusx.training.recipe import Precision, Recipe, parse_recipe
from plusx.training.setup import Setup, prepare
from plusx.training.sinks import Sink, tee
from plusx.training.work import Hands, Work


def fit(
    network: str | ResNetSpec | Graph | None,
    data: str | Path | Splits,
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    weights: str | Path | None = None,
    val_split: float = 0.2,
    minutes: float | None = None,
    precision: Precision | None = None,
    hands: Hands | None = None,
    sinks: Sequence[Sink] = (),
    command: Sequence[str] = (),
) -> Iterator[Event]:
    """Trains `network` on `data`: an iterator of frozen events that makes a step each time it is asked.

    What is wrong with the arguments is raised now (SpecError, DataError, WeightsError, BundleError), and nothing is
    written before the first event is asked for; later failures raise RunError, progress kept. `recipe` None: the
    data's own. `out` None: runs/NETWORK-DATA-001, 002, …. `weights`: a bundle to start from; its network, if none is
    named. `minutes`: as many epochs as fit at the measured speed. `precision`: in place of the recipe's. The same arguments give the same weights, bit for
    bit, on the same machine, torch and threads, with any workers, however often interrupted and resumed.
    """
    hands = hands or Hands()
    if minutes is not None and not minutes > 0:
        raise SpecError(f"minutes={minutes:g}, must be above 0")
    splits = (
        data if isinstance(data, Splits) else open_data(data, val_split=val_split, seed=seed, progress=hands.indexing)
    )
    chosen = recipe if isinstance(recipe, Recipe) else parse_recipe(recipe or default_recipe(splits))
    if precision is not None:
        chosen = chosen.replace(precision=precision)
    setup = prepare(network, splits, chosen, weights)
    path = (
        Path(out) if out is not None else free_path(setup.spec, splits.train.kind if isinstance(data, Splits) else data)
    )
    check_out(path)
    where = (
        None if isinstance(data, Splits) else str(data) if data in BUILT_IN else str(Path(data).expanduser().resolve())
    )
    work = Work(path, setup, splits, seed, {"path": where, "val_split": val_split}, hands)
    return tee(work.begin(minutes, command), work.sinks(sinks))


def resume(
    run: str | Path, data: str | Path | Splits | None = None, *, hands: Hands | None = None, sinks: Sequence[Sink] = ()
) -> Iterator[Event]:
    """Goes on with an interrupted run from its newest whole checkpoint; events as `fit`'s.

    Threads are the run's own unless `hands` names others, which is said in `Started.notes`. `data` is needed where
    `fit` was given Splits, or the folder has moved. Raises BundleError when the data are not the run's any more, and says what differs.
    """
    hands = hands or Hands()
    found = read_run(run)
    origin = {key: found.data[key] for key in ("path", "val_split")}
    where = data if data is not None else origin["path"]
    if where is None:
        raise BundleError(f"run {run}, was made from data in memory; give them again: resume(run, data)")
    splits = (
        where
        if isinstance(where, Splits)
        else open_data(where, val_split=origin["val_split"], seed=found.seed, progress=hands.indexing)
    )
    for part, now in {"train": splits.train, "val": splits.val}.items():
        if now.fingerprint != found.data[part]["fingerprint"]:
            raise BundleError(
                f"{part} data of {run} ({found.data[part]['n']} pictures then, {len(now)} now), have changed since it "
                f"began; put them back, or train anew with --weights {run}"
            )
    setup = Setup(
        ResNetSpec.from_dict(found.spec),
        Recipe.from_dict(found.recipe).replace(precision=found.fields["precision"]),
        Preprocessing.from_dict(found.fields["preprocessing"]),
        None,
        (),
    )
    work = Work(found.path, setup, splits, found.seed, origin, hands, found.fields["threads"])
    return tee(work.go_on(), work.sinks(sinks))


def default_recipe(splits: Splits) -> str:
    return "digits" if splits.train.kind == "digits" else "default"


def free_path(spec: ResNetSpec, data: str | Path) -> Path:
    """runs/NETWORK-DATA-NNN with the first number that is free."""
    of = data if data in BUILT_IN else Path(data).expanduser().resolve().name
    stem = f"{base_preset(spec)}-{of}"
    return next(path for i in count(1) if not (path := Path("runs") / f"{stem}-{i:03d}").exists())
