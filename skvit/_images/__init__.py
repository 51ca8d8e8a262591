"""Everything about X before a tensor exists: NumPy arrays and nothing heavier."""

from skvit._images._check import check_images
from skvit._images._convert import from_images, to_images
from skvit._images._folder import load_image_folder
from skvit._images._geometry import (
    check_pair,
    grid_shape,
    pad_amounts,
    resolve_patch_size,
    resolve_stride,
)
from skvit._images._lazy import LazyImages, select_images
from skvit._images._numbers import native_dtype, to_array
from skvit._images._options import ReadOptions
from skvit._images._patches import patchify, unpatchify
from skvit._images._sequence import check_patch_sequence, check_patches
from skvit._images._spec import ImageSpec
from skvit._images._statistics import channel_statistics

__all__ = [
    "ImageSpec",
    "LazyImages",
    "ReadOptions",
    "channel_statistics",
    "check_images",
    "check_pair",
    "check_patch_sequence",
    "check_patches",
    "from_images",
    "grid_shape",
    "load_image_folder",
    "native_dtype",
    "pad_amounts",
    "patchify",
    "resolve_patch_size",
    "resolve_stride",
    "select_images",
    "to_array",
    "to_images",
    "unpatchify",
]
