"""The one way an image becomes an array: decode, resize, crop, normalise. Pillow, simplejpeg and numpy; no torch."""

from plusx.images.decode import MAX_FILE_BYTES, MAX_PIXELS, Probe, decode, probe, read_file
from plusx.images.magic import FORMATS, OTHER_SUFFIXES, SUFFIXES
from plusx.images.preprocessing import (
    InputPlace,
    Preprocessing,
    centre_crop,
    input_place,
    normalise,
    resize_box,
    resize_crop,
)
from plusx.images.traits import traits
from plusx.images.walking import FoundFile, NonImages, Walk, holds_images, is_ignored

__all__ = [
    "FORMATS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "OTHER_SUFFIXES",
    "SUFFIXES",
    "FoundFile",
    "InputPlace",
    "NonImages",
    "Preprocessing",
    "Probe",
    "Walk",
    "centre_crop",
    "decode",
    "holds_images",
    "input_place",
    "is_ignored",
    "normalise",
    "probe",
    "read_file",
    "resize_box",
    "resize_crop",
    "traits",
]
