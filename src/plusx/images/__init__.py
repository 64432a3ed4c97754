"""The one way an image becomes an array: decode, resize, crop, normalise. Pillow, simplejpeg and numpy; no torch."""

from plusx.images.decode import FORMATS, MAX_FILE_BYTES, MAX_PIXELS, OTHER_SUFFIXES, SUFFIXES, Probe, decode, probe
from plusx.images.preprocessing import Preprocessing, centre_crop, normalise, resize_box, resize_crop
from plusx.images.traits import traits

__all__ = [
    "FORMATS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "OTHER_SUFFIXES",
    "SUFFIXES",
    "Preprocessing",
    "Probe",
    "centre_crop",
    "decode",
    "normalise",
    "probe",
    "resize_box",
    "resize_crop",
    "traits",
]
