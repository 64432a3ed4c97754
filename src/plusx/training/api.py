"""`fit` and `resume`: a training run as an iterator of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from plusx.bundles import read_run
from plusx.data import Splits
from plusx.graph import Graph
from plusx.specs import ResNetSpec
from plusx.training.events import Event
from plusx.training.options import RunOptions
from plusx.training.recipe import Recipe, recipe_name
from plusx.training.recipe_keys import READ
from plusx.training.run import TrainingRun
from plusx.training.sinks import Sink, tee
from plusx.training.staged import STAGES, StagedRun


def fit(
    network: str | ResNetSpec | Graph | None,
    data: str | Path | Splits,
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    options: RunOptions | None = None,
    *,
    sinks: Sequence[Sink] = (),
) -> Iterator[Event]:
    """Trains `network` on `data`: an iterator of frozen events that makes one step each time it is asked.

    Wrong arguments raise now (SpecError, DataError, WeightsError, BundleError), and nothing is written before the first
    event is asked for. Later failures raise RunError and keep the progress. `network` None: the one of
    `options.weights`. `recipe` None, or key=value words without a name: auto where it starts from weights, else the data's
    own. `out` None: runs/NETWORK-DATA-001, 002, …. The run's directory is locked from the first event to the last: a second
    training there is refused (BundleError).
    The same arguments give the same weights, bit for bit, on the same machine with the same torch, threads and world
    size; with any number of workers, and however often the run is interrupted and resumed. Under torchrun every process
    calls this with the same arguments. Only rank 0 writes files and calls the sinks.
    """
    options = options or RunOptions()
    recipe = named_recipe(recipe, options)
    name = recipe.name if isinstance(recipe, Recipe) else recipe_name(recipe)
    if recipe is not None and name in STAGES:
        return _stream(StagedRun.create(network, data, recipe, out, options), sinks)
    return _stream(TrainingRun.create(network, data, recipe, out, options), sinks)


def named_recipe(recipe: str | Recipe | None, options: RunOptions, stages: str = "auto") -> str | Recipe | None:
    """The recipe, with a name where weights decide it: `stages`, or finetune for keys that stages do not read."""
    if options.weights is None or isinstance(recipe, Recipe) or recipe_name(recipe) is not None:
        return recipe
    keys = {word.partition("=")[0] for word in (recipe or "").split()}
    return f"{stages if keys <= set(READ['auto']) else 'finetune'} {recipe or ''}".strip()


def resume(
    run: str | Path,
    options: RunOptions | None = None,
    *,
    data: str | Path | Splits | None = None,
    sinks: Sequence[Sink] = (),
) -> Iterator[Event]:
    """Continues an interrupted run from its newest complete checkpoint; the events are `fit`'s.

    The number of threads is the run's own unless `options` names another, which `Started.notes` then says. `data` is
    needed where `fit` was given Splits, or the folder was moved. Raises BundleError when the data are not the run's any
    more; it says what differs.
    """
    options = options or RunOptions()
    kind = StagedRun if read_run(run).stages else TrainingRun
    return _stream(kind.load(run, options, data), sinks)


def _stream(run: TrainingRun | StagedRun, sinks: Sequence[Sink]) -> Iterator[Event]:
    group = (run.base if isinstance(run, StagedRun) else run).compute.group
    more = sinks if group.is_rank0 else ()
    with run.claimed() as claimed:
        yield from tee(claimed.events(), [*claimed.sinks(), *more])
