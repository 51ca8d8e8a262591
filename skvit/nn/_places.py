"""Where tokens lie, as attention is told it, and heads that first look nearby."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skvit.nn._config import ViTConfig
from skvit.nn._init import Part
from skvit.nn._pos_embed import grid_coordinates, rope_rotation

# Rows and columns from a query to the place that each head in turn first looks at.
_FIRST_OFFSETS = ((0, -1), (0, 1), (-1, 0), (1, 0), (0, -2), (0, 2), (-2, 0), (2, 0))
_FIRST_SHARPNESS = 0.5  # of the Gaussian around that place, per squared patch


class Places(NamedTuple):
    """What attention is told of tokens' places; None where it is told nothing.

    Parameters
    ----------
    rotation : Tensor of shape (tokens, head_dim) or (batch, 1, tokens, head_dim)
        Cosines, then sines, by which heads are turned.
    relative : Tensor of shape (3, tokens, tokens) or (batch, 3, tokens, tokens)
        Squared distance, rows and columns from each query to each key, in patches.
    """

    rotation: Tensor | None = None
    relative: Tensor | None = None

    def at(self, kept: Tensor) -> "Places":
        """Return the places of the tokens that each sample keeps, (batch, kept)."""
        rotation, relative = self
        if rotation is not None:
            rotation = rotation[kept][:, None]
        if relative is not None:
            relative = relative[:, kept[:, :, None], kept[:, None]].movedim(1, 0)
        return Places(rotation, relative)


NO_PLACES = Places()


def relative_places(config: ViTConfig) -> Tensor:
    """Return squared distance, rows and columns between tokens, (3, tokens, tokens).

    They count cells of `config.pos_grid`, are of float64, and zero from and to the
    tokens in front.
    """
    places = grid_coordinates(config.grid, config.pos_grid).T  # (2, patches)
    offsets = places[:, None] - places[:, :, None]  # (2, queries, keys)
    squared = offsets.square().sum(0, keepdim=True)
    prefix = config.num_prefix_tokens
    return F.pad(torch.cat((squared, offsets)), (prefix, 0, prefix, 0))


class PlaceTable(Part):
    """A table that follows from the configuration, the same for every block.

    One that is not stored with the weights is computed anew when they are loaded.
    """

    table: Tensor

    def __init__(
        self,
        config: ViTConfig,
        compute: Callable[[ViTConfig], Tensor],
        shape: tuple[int, ...],
        *,
        is_stored: bool,
    ) -> None:
        super().__init__()
        self.config = config
        self.compute = compute
        self.register_buffer("table", torch.empty(shape), persistent=is_stored)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Fill the table; nothing is drawn."""
        self.table.copy_(self.compute(self.config))

    def forward(self) -> Tensor:
        """Return the table, of the shape that it was made with."""
        return self.table


class NoTable(nn.Module):
    """What stands where attention is told nothing."""

    def forward(self) -> None:
        """Return no table."""


class GaussianBias(Part):
    """Added to scores: the logarithm of a Gaussian around a place near the query.

    Each head has three slopes, on the squared distance, the rows and the columns from
    query to key: -a, 2 a r and 2 a c for sharpness a around the place r rows and c
    columns away. They are learned, and a head whose slopes vanish looks everywhere.

    References
    ----------
    .. [1] Cordonnier, Loukas and Jaggi, "On the Relationship between Self-Attention
       and Convolutional Layers", arXiv:1911.03584, section 3.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.empty(num_heads, 3))

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Let heads look at one neighbour each; nothing is drawn."""
        offsets = self.slopes.new_tensor(_FIRST_OFFSETS)
        towards = offsets[torch.arange(len(self.slopes)) % len(offsets)]
        with torch.no_grad():
            self.slopes[:, 0] = -_FIRST_SHARPNESS
            self.slopes[:, 1:] = 2 * _FIRST_SHARPNESS * towards

    def forward(self, relative: Tensor) -> Tensor:
        """Turn places (..., 3, tokens, tokens) into a bias of each head's scores.

        Its shape is (..., heads, tokens, tokens).
        """
        bias = self.slopes @ relative.flatten(-2)  # (..., heads, tokens * tokens)
        return bias.unflatten(-1, relative.shape[-2:])


def make_rotation(config: ViTConfig) -> nn.Module:
    """Return what tells blocks by which angles queries and keys are turned."""
    if config.pos_embed != "rope":
        return NoTable()
    shape = config.num_tokens, config.head_dim
    return PlaceTable(config, rope_rotation, shape, is_stored=True)


def make_relative_places(config: ViTConfig) -> nn.Module:
    """Return what tells blocks how tokens lie to each other.

    Its size is the square of the number of tokens: too much to store.
    """
    if config.pos_bias != "gaussian":
        return NoTable()
    shape = 3, config.num_tokens, config.num_tokens
    return PlaceTable(config, relative_places, shape, is_stored=False)


def make_bias(config: ViTConfig) -> nn.Module:
    """Return what turns that into a bias of the scores."""
    if config.pos_bias == "gaussian":
        return GaussianBias(config.num_heads)
    return nn.Identity()  # there are no places, and no bias is made of them
