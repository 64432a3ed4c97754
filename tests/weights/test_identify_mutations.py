"""Damaged names and shapes: one clear error, or a network that is really there; never another exception."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import plusx
from plusx.errors import WeightsError
from plusx.names import key_names
from plusx.weights.conversion.translate import translate
from plusx.weights.identification.identify import identify
from plusx.weights.stored import StoredFile, StoredTensor

SOURCES = [
    ("resnet18", "torchvision"), ("resnet18d", "timm"), ("resnet50 widths=8,16,32,64 stem_width=8", "Hugging Face"),
    ("resnet18", "Paddle"), ("resnet18", "detectron2"), ("resnet50 widths=8,16,32,64 stem_width=8", "Keras"),
    ("resnet18", "MSRA pkl"), ("resnet18", "Caffe"), ("seresnet50", "mmpretrain"), ("resnet18 order=pre", "timm"),
]  # fmt: skip


def leaf(shape, dtype="float32"):
    count = int(np.prod(shape, dtype=np.float64)) if all(0 <= side < 10**6 for side in shape) else 10**12
    values = np.broadcast_to(np.array(0.5, np.float32), shape) if count < 10**8 else None
    return StoredTensor(tuple(shape), dtype, lambda: values if values is not None else np.zeros(0, np.float32))


def mutated(rng, tensors):
    names = list(tensors)
    for _ in range(rng.choice((1, 1, 2, 5, 40))):
        name = rng.choice(names)
        shape = tensors.get(name, (3,))
        way = rng.randrange(9)
        if way == 0:
            tensors.pop(name, None)
        elif way == 1:
            tensors[name] = shape[::-1]
        elif way == 2:
            tensors[name] = shape[:-1]
        elif way == 3:
            tensors[name] = (*shape, 1)
        elif way == 4:
            tensors[name] = tuple(rng.choice((0, 1, 2, side, side + 1, side * 2)) for side in shape)
        elif way == 5:
            tensors[name.replace(rng.choice("0123456789.lcbn"), rng.choice(("9", "0", "", ".", "77")))] = shape
        elif way == 6:
            tensors[f"{rng.choice(('a.', 'module.', '0.', '..', 'layer1.0.'))}{name}"] = shape
        elif way == 7:
            tensors[name] = tensors[rng.choice(list(tensors))] if tensors else (1,)
        else:
            tensors[name.partition(".")[2] or "x"] = shape
    return tensors


def outcomes(count, seed):
    rng = random.Random(seed)
    tables = []
    for words, ecosystem in SOURCES:
        shapes = dict(plusx.lower(words).tensors())
        tables.append({name: shapes[key].shape for key, name in key_names(words, ecosystem).items()})
    read = refused = 0
    for _ in range(count):
        tensors = mutated(rng, dict(rng.choice(tables)))
        file = StoredFile(
            Path("mutant"),
            "torch zip",
            {
                name: leaf(shape, rng.choice(("float32",) * 30 + ("int8", "bfloat16")))
                for name, shape in tensors.items()
            },
        )
        try:
            found = identify(file)
            if found.spec is None or found.needs:
                refused += 1
                continue
            made = translate(file, found)
        except WeightsError as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        wanted = {key: tensor.shape for key, tensor in plusx.lower(made.spec).tensors()}
        assert {key: array.shape for key, array in made.tensors.items()} == wanted
        read += 1
    return read, refused


def test_some_mutants():
    read, refused = outcomes(150, 0)
    assert read > 2 and refused > 50


@pytest.mark.slow
def test_many_mutants():
    read, refused = outcomes(2500, 1)
    assert read > 50 and refused > 1000
