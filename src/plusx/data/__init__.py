"""Labelled images of every format; seeded permutations and augmentation parameters for training."""

from plusx.data.augment import K_FREE, crop_box, crop_draws, erase, erase_boxes, flip, flips, shift, shifts
from plusx.data.dataset import Data, Skipped, Splits, with_mode
from plusx.data.detection import BUILT_IN
from plusx.data.list_columns import ListColumns
from plusx.data.opening import cache_dir, open_data, open_eval
from plusx.data.permutation import permutation, uniform

__all__ = [
    "BUILT_IN",
    "K_FREE",
    "Data",
    "ListColumns",
    "Skipped",
    "Splits",
    "cache_dir",
    "crop_box",
    "crop_draws",
    "erase",
    "erase_boxes",
    "flip",
    "flips",
    "open_data",
    "open_eval",
    "permutation",
    "shift",
    "shifts",
    "uniform",
    "with_mode",
]
