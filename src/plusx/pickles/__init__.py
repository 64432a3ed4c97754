"""Pickles read as data: the values a file holds, an inert record for every class or function that it names."""

from plusx.pickles.long_text import Latin, LongText, release
from plusx.pickles.machine import BadPickle, Inert, Made, Name, Vocabulary, call, read_pickle
from plusx.pickles.numpy_names import Array, NumpyNames

__all__ = [
    "Array",
    "BadPickle",
    "Inert",
    "Latin",
    "LongText",
    "Made",
    "Name",
    "NumpyNames",
    "Vocabulary",
    "call",
    "read_pickle",
    "release",
]
