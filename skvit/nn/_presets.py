"""The sizes that the field has names for."""

from typing import NamedTuple


class Preset(NamedTuple):
    """Width, number of blocks and number of heads of a size that has a name."""

    embed_dim: int
    depth: int
    num_heads: int


# Sources: Dosovitskiy et al., arXiv:2010.11929, table 1 (base, large, huge); Touvron et
# al., arXiv:2012.12877, table 1 (tiny, small); the variant "mu" (micro) in
# https://github.com/google-research/big_vision/blob/0127fb6b/big_vision/models/vit.py
PRESETS = {
    "micro": Preset(32, 1, 2),
    "tiny": Preset(192, 12, 3),
    "small": Preset(384, 12, 6),
    "base": Preset(768, 12, 12),
    "large": Preset(1024, 24, 16),
    "huge": Preset(1280, 32, 16),
}
