"""What a file does not tell, guessed from evidence: every possibility is tried on images or known outputs, and ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plusx.data import Data
from plusx.errors import MissingExtra, SpecError, WeightsError
from plusx.images import Preprocessing, normalise, resize_crop
from plusx.specs.parsing import read_words
from plusx.weights.bundling import NAMED
from plusx.weights.identification import Identification
from plusx.weights.identify import identify, read
from plusx.weights.labelling import read_labels
from plusx.weights.translate import translate

Array = NDArray[Any]
FIRST, KEPT, MOST = 8, 8, 512


def _scaled(mean: float, std: float) -> Preprocessing:
    return Preprocessing("RGB", 256, 224, "bilinear", 1 / 255, (mean,) * 3, (std,) * 3)


NORMALISATIONS = {
    "imagenet": NAMED["imagenet"], "detectron": NAMED["detectron"], "keras": NAMED["keras"], "0 to 1": _scaled(0.0, 1.0),
    "-1 to 1": _scaled(0.5, 0.5),
}  # fmt: skip
FIELDS = {"stride_in": ("3x3", "1x1"), "stem_pool": ("max", "caffe")}


class Guess(NamedTuple):
    """One possibility and its evidence: larger `score` is better, `evidence` says it in words."""

    words: tuple[str, ...]
    colour: str
    normalisation: str | None
    score: float
    evidence: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """What possibilities are measured by: images with labels, or inputs with the outputs that the network once gave."""

    images: tuple[Array, ...] = ()
    labels: Array | None = None
    inputs: Array | None = None
    outputs: Array | None = None

    def __len__(self) -> int:
        return len(self.images) if self.inputs is None else len(self.inputs)

    def first(self, count: int) -> Evidence:
        def cut(values: Array | None) -> Array | None:
            return None if values is None else values[:count]

        return Evidence(self.images[:count], cut(self.labels), cut(self.inputs), cut(self.outputs))


def guess(
    path: str | Path, *, data: Data | None = None, inputs: Array | None = None, outputs: Array | None = None,
    labels: str | Path | Sequence[str] | None = None, key: str | None = None, images: int = 48,
) -> list[Guess]:  # fmt: skip
    """All possibilities, the likeliest first: stride place, pool, norm groups, shortcut, colour order and normalisation.

    Evidence is `outputs` for `inputs` (n, c, h, w) as the network took them; or labelled images (`data`), whose classes are
    matched with the network's by name or, where there are as many, by order. Raises WeightsError, SpecError, MissingExtra.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("plusx weights guess computes with torch. Install plusx[train].") from None
    stored = read(path)
    found = identify(stored, key)
    if found.spec is None:
        raise WeightsError(f"{found.path} is not a network of plusx: {found.refuses}.")
    evidence = _evidence(found, data, inputs, outputs, labels, images)
    ways = list(possibilities(found, with_images=evidence.inputs is None))
    if len(ways) > FIRST and len(evidence) > FIRST:
        rough = _ranked(stored, found, ways, evidence.first(FIRST))
        ways = [(guess.words, guess.colour, guess.normalisation) for guess in rough[: max(KEPT, len(ways) // 8)]]
    return _ranked(stored, found, ways, evidence)


def possibilities(found: Identification, *, with_images: bool) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    """(words, colour, normalisation) of everything that the file leaves open. Raises WeightsError for too many."""
    open_fields: list[list[tuple[str, ...]]] = []
    for name, values in FIELDS.items():
        verdict = found.fields.get(name)
        if verdict is not None and verdict.how != "known" and verdict.value in values:
            open_fields.append([(f"{name}={value}",) for value in values])
    for name, words in found.needs.items():
        open_fields.append([tuple(word.split()) if "=" in word else (f"{name}={word}",) for word in words])
    colours = ("RGB", "BGR") if found.spec is not None and found.spec.in_channels == 3 else ("RGB",)
    normalisations: tuple[str | None, ...] = tuple(NORMALISATIONS) if with_images else (None,)
    ways = list(product(product(*open_fields), colours, normalisations))
    if len(ways) > MOST:
        raise WeightsError(
            f"{found.path} leaves {len(ways)} possibilities open, more than {MOST}. Give some of its fields."
        )
    for groups, colour, normalisation in ways:
        yield tuple(word for group in groups for word in group), colour, normalisation


def _evidence(
    found: Identification, data: Data | None, inputs: Array | None, outputs: Array | None,
    labels: str | Path | Sequence[str] | None, images: int,
) -> Evidence:  # fmt: skip
    if outputs is not None:
        if inputs is None or len(inputs) != len(outputs) or inputs.ndim != 4:
            raise WeightsError("Outputs speak only beside their inputs. Give as many inputs (n, c, h, w) as outputs.")
        return Evidence(inputs=np.asarray(inputs, np.float32), outputs=np.asarray(outputs, np.float64))
    if data is None or len(data) == 0:
        raise WeightsError("There is nothing to guess from. Give labelled images, or inputs and outputs.")
    assert found.spec is not None
    if found.spec.in_channels != 3:
        raise WeightsError(
            f"{found.path} takes {found.spec.in_channels} channels, and images have 3. Give inputs and outputs."
        )
    numbers = _numbers(found, data, labels)
    known = [
        i for i in np.linspace(0, len(data) - 1, min(images, len(data))).astype(int) if numbers[data.labels[i]] >= 0
    ]
    if not known:
        raise WeightsError(f"No class of the images is one of {found.path}. Give --labels with its classes.")
    return Evidence(
        tuple(data.read(int(i), "RGB") for i in known),
        np.array([numbers[data.labels[int(i)]] for i in known], np.int64),
    )


def _numbers(found: Identification, data: Data, labels: str | Path | Sequence[str] | None) -> list[int]:
    """Of each class of the images, the network's number; -1 where it has none."""
    assert found.spec is not None
    count = found.spec.classes
    names = read_labels(labels, count) if labels is not None else found.classes
    if names is not None:
        places = {name.casefold(): number for number, name in enumerate(names)}
        return [places.get(name.casefold(), -1) for name in data.classes]
    if len(data.classes) != count:
        raise WeightsError(
            f"{found.path} has {count} classes without names and the images have {len(data.classes)}. Give --labels with its classes."
        )
    return list(range(count))


def _ranked(
    stored: Any, found: Identification, ways: list[tuple[tuple[str, ...], str, str | None]], evidence: Evidence
) -> list[Guess]:
    guesses: list[Guess] = []
    batches: dict[str | None, Array] = {}
    for words, colour, normalisation in ways:
        try:
            net = _network(stored, found, words)
        except (SpecError, WeightsError):
            continue
        if normalisation not in batches:
            batches[normalisation] = _batch(found, normalisation, evidence)
        x = batches[normalisation]
        out = _outputs(net, np.ascontiguousarray(x[:, ::-1]) if colour == "BGR" else x)
        guesses.append(Guess(words, colour, normalisation, *_score(out, evidence)))
    return sorted(guesses, key=lambda guess: -guess.score)


def _network(stored: Any, found: Identification, words: tuple[str, ...]) -> Any:
    from plusx.nn import build

    made = translate(stored, found, **read_words(list(words)))
    return build(made.spec, made.tensors).eval()


def _batch(found: Identification, normalisation: str | None, evidence: Evidence) -> Array:
    if evidence.inputs is not None:
        return evidence.inputs
    pre = NORMALISATIONS[normalisation or "imagenet"]
    if found.preprocessing is not None:
        pre = replace(pre, resize_px=found.preprocessing.resize_px, crop_px=found.preprocessing.crop_px)
    return normalise(np.stack([resize_crop(image, pre) for image in evidence.images]), pre)


def _outputs(net: Any, x: Array) -> Array:
    import torch

    with torch.inference_mode():
        return net(torch.from_numpy(x)).double().numpy()


def _score(out: Array, evidence: Evidence) -> tuple[float, str]:
    """(larger is better, in words): minus the relative difference, or the mean log-probability of the labels."""
    if evidence.outputs is not None:
        if out.shape != evidence.outputs.shape:
            return -np.inf, f"outputs have another shape ({list(out.shape[1:])})"
        candidates = [out]
        if np.allclose(evidence.outputs.sum(-1), 1, atol=1e-3) and (evidence.outputs >= 0).all():
            shifted = np.exp(out - out.max(-1, keepdims=True))
            candidates.append(shifted / shifted.sum(-1, keepdims=True))
        scale = float(np.abs(evidence.outputs).max()) or 1.0
        difference = min(float(np.abs(one - evidence.outputs).max()) for one in candidates) / scale
        return -difference, f"largest difference {difference:.3g} of the largest output"
    assert evidence.labels is not None
    shifted = out - out.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    rows = np.arange(len(out))
    right = int((out.argmax(-1) == evidence.labels).sum())
    likelihood = float(logs[rows, evidence.labels].mean())
    return likelihood, f"{right} of {len(out)} right, mean log-probability {likelihood:.3f}"
