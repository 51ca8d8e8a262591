"""Dropout of values, of residual branches and of patches, from a given generator."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from skvit.nn._config import num_kept_patches
from skvit.nn._places import Places

_share = threading.local()  # `of_batch`: what `drawing_for_rows` tells a thread


class RandomModule(nn.Module):
    """A module that draws in training, from `generator` (`None` is torch's own)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def draw(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Return uniform draws in [0, 1), made where the generator lives.

        The first number of the shape is that of the batch's samples.

        Raises
        ------
        ValueError
            If `drawing_for_rows` tells of another number of samples.
        """
        alone = slice(None), shape[0], self.generator
        rows, total, generator = getattr(_share, "of_batch", None) or alone
        source = device if generator is None else generator.device
        whole = torch.rand(
            (total, *shape[1:]),
            generator=generator,
            dtype=torch.float32,
            device=source,
        )
        draws = whole[rows]
        if len(draws) != shape[0]:
            raise ValueError(
                f"expected the {len(draws)} samples of {rows} of a batch of {total}, "
                f"got {shape[0]}. Give `drawing_for_rows` the rows that are computed."
            )
        return draws.to(device)

    def extra_repr(self) -> str:
        """Show the rate."""
        return f"rate={self.rate}"


class Dropout(RandomModule):
    """Set a fraction of the values to zero and scale the others up."""

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape."""
        if not self.training:
            return values
        return _drop(values, self.draw(tuple(values.shape), values.device), self.rate)


class DropPath(RandomModule):
    """Stochastic depth: leave a residual branch out for some of the samples."""

    def forward(self, branch: Tensor) -> Tensor:
        """Return (batch, tokens, embed_dim), zero for the samples left out."""
        if not self.training:
            return branch
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        return _drop(branch, self.draw(shape, branch.device), self.rate)


class PatchDropout(RandomModule):
    """Leave some of the patches out, others for each sample; keep the tokens before."""

    def __init__(self, rate: float, num_prefix_tokens: int) -> None:
        super().__init__(rate)
        self.num_prefix_tokens = num_prefix_tokens

    def forward(self, tokens: Tensor, places: Places) -> tuple[Tensor, Places]:
        """Return (batch, kept tokens, embed_dim) and the kept tokens' places."""
        if not self.training:
            return tokens, places
        B, T, _ = tokens.shape  # batch, tokens
        prefix = self.num_prefix_tokens
        num_kept = num_kept_patches(T - prefix, self.rate)
        order = self.draw((B, T - prefix), tokens.device).argsort(dim=1)
        first = torch.arange(prefix, device=tokens.device).expand(B, -1)
        kept = torch.cat((first, order[:, :num_kept] + prefix), dim=1)  # (B, kept)
        rows = torch.arange(B, device=tokens.device)[:, None]
        return tokens[rows, kept], places.at(kept)


class KeepPatches(nn.Module):
    """What stands in a network without patch dropout."""

    def forward(self, tokens: Tensor, places: Places) -> tuple[Tensor, Places]:
        """Return tokens (batch, tokens, embed_dim) and their places as they came."""
        return tokens, places


def _drop(values: Tensor, draws: Tensor, rate: float) -> Tensor:
    return values * ((draws >= rate).to(values.dtype) / (1 - rate))


def make_dropout(rate: float) -> nn.Module:
    """Return dropout of values, or nothing where the rate is zero."""
    return Dropout(rate) if rate else nn.Identity()


def make_drop_path(rate: float) -> nn.Module:
    """Return stochastic depth, or nothing where the rate is zero."""
    return DropPath(rate) if rate else nn.Identity()


def set_generator(module: nn.Module, generator: torch.Generator | None) -> None:
    """Let every dropout in a module draw from one generator.

    Parameters
    ----------
    module : nn.Module
        The network.
    generator : torch.Generator or None
        Source of the draws in training; one on the network's device spares a copy.
        `None` is torch's own generator.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import ViTConfig, VisionTransformer, set_generator
    >>> config = ViTConfig((8, 8), (4, 4), 1, 2, 8, 2, 2, drop_rate=0.1)
    >>> network = VisionTransformer(config)
    >>> set_generator(network, torch.Generator().manual_seed(0))
    """
    for part in module.modules():
        if isinstance(part, RandomModule):
            part.generator = generator


@contextmanager
def drawing_for_rows(
    rows: slice, total: int, generator: torch.Generator
) -> Iterator[None]:
    """Let this thread's dropouts draw for a whole batch, and use what is some rows'.

    Threads that share a batch then drop what one thread would drop.

    Parameters
    ----------
    rows : slice
        The rows that this thread computes.
    total : int
        Number of rows of the batch.
    generator : torch.Generator
        Source of this thread's draws, instead of the modules' own; in the same state
        for every thread.

    Yields
    ------
    None
        While it holds.

    Raises
    ------
    ValueError
        In the network, if it is given another number of samples.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import ViTConfig, VisionTransformer, drawing_for_rows
    >>> config = ViTConfig((8, 8), (4, 4), 1, 2, 8, 2, 2, drop_rate=0.1)
    >>> network, images = VisionTransformer(config), torch.zeros(6, 1, 8, 8)
    >>> with drawing_for_rows(slice(4, 6), 6, torch.Generator().manual_seed(0)):
    ...     logits = network(images[4:])
    """
    before = getattr(_share, "of_batch", None)
    _share.of_batch = rows, total, generator
    try:
        yield
    finally:
        _share.of_batch = before
