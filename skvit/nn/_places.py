"""Where tokens are, as attention is told it: heads turned, heads that look nearby."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from skvit.nn._config import ViTConfig
from skvit.nn._init import Part
from skvit.nn._pos_embed import grid_coordinates

# Rows and columns from a query to the place that each head in turn first looks at.
_FIRST_OFFSETS = ((0, -1), (0, 1), (-1, 0), (1, 0), (0, -2), (0, 2), (-2, 0), (2, 0))
_FIRST_SHARPNESS = 0.5  # of the Gaussian around that place, per squared patch


class Places(NamedTuple):
    """What attention is told of tokens' places; None where it is told nothing.

    Parameters
    ----------
    rotation : Tensor of shape (tokens, head_dim) or (batch, 1, tokens, head_dim)
        Cosines, then sines, by which heads are turned.
    relative : Tensor of shape (tokens, tokens, 3) or (batch, tokens, tokens, 3)
        Squared distance, rows and columns from each query to each key, in patches.
    """

    rotation: Tensor | None = None
    relative: Tensor | None = None

    def at(self, kept: Tensor) -> "Places":
        """Return the places of the tokens that each sample keeps, (batch, kept)."""
        rotation, relative = self
        return Places(
            None if rotation is None else rotation[kept][:, None],
            None if relative is None else relative[kept[:, :, None], kept[:, None]],
        )


UNKNOWN = Places()


def relative_places(config: ViTConfig) -> Tensor:
    """Return squared distance, rows and columns between tokens, (tokens, tokens, 3).

    They count cells of `config.pos_grid`, are of float64, and zero from and to the
    tokens in front.
    """
    places = grid_coordinates(config.grid, config.pos_grid)
    offsets = places[None] - places[:, None]  # (queries, keys, 2)
    squared = offsets.square().sum(-1, keepdim=True)
    patches = torch.cat((squared, offsets), dim=-1)
    prefix = config.num_prefix_tokens
    return nn.functional.pad(patches, (0, 0, prefix, 0, prefix, 0))


class RelativePlaces(Part):
    """The table of `relative_places`, which is computed anew and never stored."""

    table: Tensor

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.num_tokens, config.num_tokens, 3)
        self.register_buffer("table", torch.empty(shape), persistent=False)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Fill the table; nothing is drawn."""
        self.table.copy_(relative_places(self.config))

    def forward(self) -> Tensor:
        """Return the table, of shape (tokens, tokens, 3)."""
        return self.table


class NoRelativePlaces(nn.Module):
    """What stands in a network whose attention has no bias."""

    def forward(self) -> None:
        """Return no places."""


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
        """Turn places (..., tokens, tokens, 3) into a bias of each head's scores.

        Its shape is (..., heads, tokens, tokens).
        """
        bias = relative @ self.slopes.T  # (..., tokens, tokens, heads)
        return bias.movedim(-1, -3).contiguous()


class NoBias(nn.Module):
    """What stands in attention that looks anywhere alike."""

    def forward(self, relative: Tensor | None) -> None:
        """Return no bias."""


def make_relative_places(config: ViTConfig) -> nn.Module:
    """Return what tells blocks how tokens lie to each other."""
    if config.pos_bias == "gaussian":
        return RelativePlaces(config)
    return NoRelativePlaces()


def make_bias(config: ViTConfig) -> nn.Module:
    """Return what turns that into a bias of the scores."""
    return GaussianBias(config.num_heads) if config.pos_bias == "gaussian" else NoBias()
