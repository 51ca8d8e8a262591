"""The network as plain PyTorch, usable by itself."""

from skvit.nn._attention import attention_weights
from skvit.nn._config import ViTConfig
from skvit.nn._dropout import drawing_for_rows, set_generator
from skvit.nn._patch_embed import conv_to_linear, linear_to_conv
from skvit.nn._pos_embed import resample_pos_embed, sincos_1d, sincos_2d
from skvit.nn._presets import PRESETS
from skvit.nn._record import Record
from skvit.nn._resize import change_size, resize_patch_kernel
from skvit.nn._vision_transformer import VisionTransformer
from skvit.nn._whiten import whiten_stem

__all__ = [
    "PRESETS",
    "Record",
    "ViTConfig",
    "VisionTransformer",
    "attention_weights",
    "change_size",
    "conv_to_linear",
    "drawing_for_rows",
    "linear_to_conv",
    "resample_pos_embed",
    "resize_patch_kernel",
    "set_generator",
    "sincos_1d",
    "sincos_2d",
    "whiten_stem",
]
