"""Pickles read as data: the values a file holds, an inert record for every class or function that it names."""

from plusx.pickles.long_text import Latin, LongText, release
from plusx.pickles.machine import BadPickle, Inert, Made, Name, Vocabulary, call, read_pickle
from plusx.pickles.numpy_names import NumpyNames, PickledArray

__all__ = [
    "BadPickle",
    "Inert",
    "Latin",
    "LongText",
    "Made",
    "Name",
    "NumpyNames",
    "PickledArray",
    "Vocabulary",
    "call",
    "read_pickle",
    "release",
]
