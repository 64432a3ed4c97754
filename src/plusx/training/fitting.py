"""`fit` and `resume`: a training as an iterator of events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from plusx.bundles import Bundle, RunRecord, check_out, read_run
from plusx.data import BUILT_IN, ListColumns, Splits, open_data
from plusx.errors import BundleError, SpecError
from plusx.graph import Graph
from plusx.specs import ResNetSpec, base_preset
from plusx.training.events import Event
from plusx.training.recipe import ClassWeights, Precision, Recipe, parse_recipe
from plusx.training.setup import Setup, prepare
from plusx.training.sinks import Sink, tee
from plusx.training.work import Hands, Work
from plusx.training.world import World, here


def fit(
    network: str | ResNetSpec | Graph | None,
    data: str | Path | Splits,
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    weights: str | Path | Bundle | None = None,
    val_split: float = 0.2,
    minutes: float | None = None,
    precision: Precision | None = None,
    class_weights: ClassWeights | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    hands: Hands | None = None,
    sinks: Sequence[Sink] = (),
    command: Sequence[str] = (),
) -> Iterator[Event]:
    """Trains `network` on `data`: an iterator of frozen events that makes a step each time it is asked.

    What is wrong with the arguments is raised now (SpecError, DataError, WeightsError, BundleError), and nothing is
    written before the first event is asked for; later failures raise RunError, progress kept. `recipe` None, or
    key=value words without a name: the data's own. `out` None: runs/NETWORK-DATA-001, 002, …. `weights`: a bundle or a
    weights file to start from; its network, if none is named. `path_column`, `label_column`: of a CSV list, as for open_data. `minutes`:
    as many epochs as fit at the measured speed. `precision`, `class_weights`: in place of the recipe's.
    The same arguments give the same weights, bit for bit, on the same machine, torch, threads and number of processes,
    with any workers, however often interrupted and resumed. Under torchrun every process calls this, with the same
    arguments; only the first writes, and only its sinks hear.
    """
    hands = hands or Hands()
    world = here(hands.device)
    columns = ListColumns(path_column=path_column, label_column=label_column)

    def prepared() -> Work:
        if minutes is not None and not minutes > 0:
            raise SpecError(f"minutes={minutes:g}, must be above 0")
        splits = _opened(world, data, val_split, seed, hands, columns)
        chosen = recipe if isinstance(recipe, Recipe) else parse_recipe(recipe or "", default_recipe(splits))
        given = {"precision": precision, "class_weights": class_weights}
        chosen = chosen.replace(**{key: value for key, value in given.items() if value is not None})
        setup = prepare(network, splits, chosen, weights)
        of = splits.train.kind if isinstance(data, Splits) else data
        path = world.from_first(Path(out) if out is not None else free_path(setup.spec, of))
        if world.first:
            check_out(path)
        where = None if isinstance(data, Splits) else _where(data)
        origin = {"path": where, "val_split": val_split, **{key: name for key, name in columns.items() if name}}
        return Work(path, setup, splits, seed, origin, hands, world)

    work = world.together(prepared)
    return tee(work.begin(minutes, command), work.sinks(sinks))


def resume(
    run: str | Path, data: str | Path | Splits | None = None, *, hands: Hands | None = None, sinks: Sequence[Sink] = ()
) -> Iterator[Event]:
    """Goes on with an interrupted run from its newest whole checkpoint; events as `fit`'s.

    Threads are the run's own unless `hands` names others, which is said in `Started.notes`. `data` is needed where
    `fit` was given Splits, or the folder has moved. Raises BundleError when the data are not the run's any more, and says what differs.
    """
    hands = hands or Hands()
    world = here(hands.device)

    def prepared() -> Work:
        found = world.from_first(world.together(lambda: read_run(run) if world.first else None))
        if found is None:
            raise RuntimeError("the first process read no run and said nothing")
        made = found.data
        origin = {
            "path": made.path,
            "val_split": made.val_split,
            "path_column": made.path_column,
            "label_column": made.label_column,
        }
        columns = ListColumns(path_column=made.path_column, label_column=made.label_column)
        where = data if data is not None else made.path
        if where is None:
            raise BundleError(f"run {run}, was made from data in memory; give them again: resume(run, data)")
        splits = _opened(
            world, where, made.val_split if made.val_split is not None else 0.2, found.seed, hands, columns
        )
        _require_same_data(found, splits)
        if found.preprocessing is None or found.precision is None:
            raise BundleError(
                f"{found.path / 'run.json'} does not say how the run prepared or computed its images. Use another copy."
            )
        setup = Setup(
            found.spec,
            Recipe.from_dict(dict(found.recipe)).replace(precision=found.precision),
            found.preprocessing,
            None,
            (),
        )
        return Work(found.path, setup, splits, found.seed, origin, hands, world, found.threads)

    work = world.together(prepared)
    return tee(work.go_on(), work.sinks(sinks))


def _opened(
    world: World, data: str | Path | Splits, val_split: float, seed: int, hands: Hands, columns: ListColumns
) -> Splits:
    """The data; of several processes the first looks at every image, the others find what it kept in the cache."""
    if isinstance(data, Splits):
        return data
    indexing = hands.indexing if world.first else None
    return world.first_then_others(
        partial(open_data, data, val_split=val_split, seed=seed, progress=indexing, **columns)
    )


def _where(data: str | Path) -> str:
    return str(data) if data in BUILT_IN else str(Path(data).expanduser().resolve())


def _require_same_data(found: RunRecord, splits: Splits) -> None:
    """Raises BundleError that says in what the data differ from those that the run began with."""
    had, have = found.data.classes, splits.train.classes
    for part, now, then in (("train", splits.train, found.data.train), ("val", splits.val, found.data.val)):
        if then is not None and now.fingerprint == then.fingerprint:
            continue
        differ = [f"{then.n} images then, {len(now)} now"] if then is not None and then.n != len(now) else []
        if had != have:
            gone, new = sorted(set(had) - set(have)), sorted(set(have) - set(had))
            differ += [f"class {word} {', '.join(some[:3])}" for word, some in (("lost", gone), ("added", new)) if some]
        what = "; ".join(differ) or f"{len(now)} images as then, with other names, sizes or labels"
        raise BundleError(
            f"{part} data of {found.path} ({what}), have changed since the run began; put them back, or train anew with "
            f"--weights {found.path}"
        )


def default_recipe(splits: Splits) -> str:
    return "digits" if splits.train.kind == "digits" else "default"


def free_path(spec: ResNetSpec, data: str | Path) -> Path:
    """runs/NETWORK-DATA-NNN with the first number that is free; of a pattern, what can stand in a name."""
    of = data if data in BUILT_IN else Path(data).expanduser().resolve().name
    of = re.sub(r"[^\w.-]+", "", str(of)).strip(".-") or "data"
    stem = f"{base_preset(spec)}-{of}"
    return next(path for i in count(1) if not (path := Path("runs") / f"{stem}-{i:03d}").exists())
