"""Where a patch is: tables of positions, added to tokens or turning their heads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skvit.nn._config import ViTConfig
from skvit.nn._init import Part, fill_trunc_normal
from skvit.nn._record import Record

# Longest period of rotary positions, in patches over 2 pi; image grids are short:
# Heo et al., "Rotary Position Embedding for Vision Transformer", arXiv:2403.13298.
_ROPE_BASE = 100.0


def grid_coordinates(
    grid: tuple[int, int], reference: tuple[int, int] | None = None
) -> Tensor:
    """Return each patch's row and column, (num_patches, 2), float64, row by row.

    They count cells of the `reference` grid laid over the same image.
    """
    axes = [
        (torch.arange(n, dtype=torch.float64, device="cpu") + 0.5) * (m / n) - 0.5
        for n, m in zip(grid, reference or grid, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)


def sincos_1d(positions: Tensor, embed_dim: int) -> Tensor:
    """Encode positions along a sequence, as the original Transformer does.

    Channel 2i is sin(position / 10000^(2i / embed_dim)), channel 2i + 1 its cosine.

    Parameters
    ----------
    positions : Tensor of shape (num_positions,)
        Places in the sequence, float.
    embed_dim : int
        Channels; even.

    Returns
    -------
    Tensor of shape (num_positions, embed_dim)
        The encodings.

    References
    ----------
    .. [1] Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.5.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import sincos_1d
    >>> sincos_1d(torch.tensor([0.0, 1.0]), 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    steps = torch.arange(0, embed_dim, 2, device=positions.device)
    exponents = steps.to(positions) / embed_dim
    angles = positions[:, None] * 10000.0**-exponents  # (positions, embed_dim / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def sincos_2d(coordinates: Tensor, embed_dim: int) -> Tensor:
    """Encode rows and columns, in the convention of MoCo v3 and big_vision.

    With x the column, y the row and w_k = 10000^(-k / (embed_dim / 4 - 1)), the
    channels are sin(x w), cos(x w), sin(y w), cos(y w), each for every k in turn.

    Parameters
    ----------
    coordinates : Tensor of shape (num_positions, 2)
        Rows and columns, float.
    embed_dim : int
        Channels; 4 divides it, and it is 8 or more.

    Returns
    -------
    Tensor of shape (num_positions, embed_dim)
        The encodings.

    Notes
    -----
    MAE has the same order with the exponent -k / (embed_dim / 4), and timm's helper
    puts rows first and interleaves: three conventions whose weights do not mix.

    References
    ----------
    .. [1] Beyer, Zhai and Kolesnikov, "Better plain ViT baselines for ImageNet-1k",
       arXiv:2205.01580.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import sincos_2d
    >>> sincos_2d(torch.tensor([[0.0, 1.0]]), 8)
    tensor([[8.4147e-01, 1.0000e-04, 5.4030e-01, 1.0000e+00, 0.0000e+00, 0.0000e+00,
             1.0000e+00, 1.0000e+00]])
    """
    steps = torch.arange(embed_dim // 4, device=coordinates.device)
    exponents = steps.to(coordinates) / (len(steps) - 1)
    rows, columns = (coordinates[..., None] * 10000.0**-exponents).unbind(1)
    return torch.cat(
        (columns.sin(), columns.cos(), rows.sin(), rows.cos()), dim=-1
    )  # (positions, embed_dim)


def resample_pos_embed(
    table: Tensor,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    num_token_positions: int = 0,
) -> Tensor:
    """Resample learned positions onto another grid.

    Parameters
    ----------
    table : Tensor of shape (num_token_positions + num_patches, embed_dim)
        Positions of the tokens in front, which stay as they are, then of the patches
        row by row.
    old_grid : tuple of int
        Rows and columns of patches that the table was made for.
    new_grid : tuple of int
        Rows and columns wanted. Equal numbers of patches in another grid are resampled
        like any others.
    num_token_positions : int, default=0
        Positions in front that belong to no patch.

    Returns
    -------
    Tensor of shape (num_token_positions + new num_patches, embed_dim)
        Bicubic, antialiased, computed in float32 at least.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import resample_pos_embed
    >>> resample_pos_embed(torch.zeros(17, 8), (4, 4), (2, 3), 1).shape
    torch.Size([7, 8])
    """
    if old_grid == new_grid:
        return table
    first, patches = table[:num_token_positions], table[num_token_positions:]
    exact = patches if patches.dtype == torch.float64 else patches.float()
    maps = exact.T.unflatten(1, old_grid)[None]  # (1, embed_dim, rows, columns)
    maps = F.interpolate(maps, size=new_grid, mode="bicubic", antialias=True)
    return torch.cat((first, maps[0].flatten(1).T.to(table.dtype)))


def rotate(heads: Tensor, rotation: Tensor | None) -> Tensor:
    """Turn (batch, num_heads, tokens, head_dim) by each token's angles.

    Channel i and channel i + head_dim / 2 are the two coordinates that angle i turns.
    `rotation` holds the cosines, then the sines: (tokens, head_dim), or
    (batch, 1, tokens, head_dim) where samples keep different tokens.
    """
    if rotation is None:
        return heads
    cos, sin = rotation.chunk(2, dim=-1)
    first, second = heads.chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(heads.dtype)


def _spread(table: Tensor, num_token_positions: int, num_prefix_tokens: int) -> Tensor:
    """Give the prefix tokens that have no position a row of zeros."""
    missing = num_prefix_tokens - num_token_positions
    if missing == 0:
        return table
    first, patches = table[:num_token_positions], table[num_token_positions:]
    return torch.cat((first, table.new_zeros(missing, table.shape[1]), patches))


class LearnedPosEmbed(Part):
    """A learned position for each patch, and one for the class token if it has any."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.num_token_positions = config.num_token_positions
        self.num_prefix_tokens = config.num_prefix_tokens
        rows = self.num_token_positions + config.num_patches
        self.table = nn.Parameter(torch.empty(rows, config.embed_dim))

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the positions."""
        fill_trunc_normal(self.table, 0.02, generator)

    def forward(self, tokens: Tensor, record: Record | None = None) -> Tensor:
        """Add positions to (batch, tokens, embed_dim)."""
        table = _spread(self.table, self.num_token_positions, self.num_prefix_tokens)
        if record is not None:
            record.keep(positions=table)
        return tokens + table


class FixedPosEmbed(Part):
    """Sines and cosines of a patch's place: "sincos" and "sincos2d".

    Along the sequence the class token, if it has a position, is at 0 and the patches
    follow it; on the grid its position is zero in every channel.
    """

    table: Tensor

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.num_tokens, config.embed_dim)
        self.register_buffer("table", torch.empty(shape))

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Fill the table; nothing is drawn."""
        self.table.copy_(fixed_positions(self.config))

    def forward(self, tokens: Tensor, record: Record | None = None) -> Tensor:
        """Add positions to (batch, tokens, embed_dim)."""
        if record is not None:
            record.keep(positions=self.table)
        return tokens + self.table


def fixed_positions(config: ViTConfig) -> Tensor:
    """Return the table of "sincos" or "sincos2d", (num_tokens, embed_dim), float64."""
    coordinates = grid_coordinates(config.grid, config.pos_grid)
    with_token = config.num_token_positions
    if config.pos_embed == "sincos2d":
        patches = sincos_2d(coordinates, config.embed_dim)
        return _spread(patches, 0, config.num_prefix_tokens)
    columns = (config.pos_grid or config.grid)[1]
    places = coordinates[:, 0] * columns + coordinates[:, 1] + with_token
    places = torch.cat((places.new_zeros(with_token), places))
    table = sincos_1d(places, config.embed_dim)
    return _spread(table, with_token, config.num_prefix_tokens)


def rope_rotation(config: ViTConfig) -> Tensor:
    """Return cosines and sines of each token's angles, (num_tokens, head_dim), float64.

    The first half of the angles grows with the row, the second with the column; the
    tokens in front are not turned.
    """
    coordinates = grid_coordinates(config.grid, config.pos_grid)
    steps = torch.arange(config.head_dim // 4, device=coordinates.device)
    speeds = _ROPE_BASE ** -(steps.to(coordinates) / len(steps))
    angles = (coordinates[..., None] * speeds).flatten(1)  # (num_patches, head_dim / 2)
    angles = _spread(angles, 0, config.num_prefix_tokens)
    return torch.cat((angles.cos(), angles.sin()), dim=1)


class NoPosEmbed(nn.Module):
    """What stands in a network that adds no positions."""

    def forward(self, tokens: Tensor, record: Record | None = None) -> Tensor:
        """Return (batch, tokens, embed_dim) as they came."""
        return tokens


def make_pos_embed(config: ViTConfig) -> nn.Module:
    """Return what adds positions to the tokens."""
    if config.pos_embed == "learned":
        return LearnedPosEmbed(config)
    if config.pos_embed in ("sincos", "sincos2d"):
        return FixedPosEmbed(config)
    return NoPosEmbed()
