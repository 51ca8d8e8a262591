"""First values of weights, all drawn on the CPU from a generator that is given."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Part(nn.Module, ABC):
    """A module that draws its own parameters and fills its own buffers."""

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Give the parameters and buffers that belong to no sub-module first values."""


# Standard deviation of a standard normal distribution cut at -2 and 2.
_TRUNCATED_STD = 0.87962566103423978


def _normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


@torch.no_grad()
def fill_normal(tensor: Tensor, std: float, generator: torch.Generator | None) -> None:
    """Fill with normal draws; always the same ones, whatever the device and dtype."""
    tensor.copy_(_normal(tuple(tensor.shape), generator) * std)


@torch.no_grad()
def fill_trunc_normal(
    tensor: Tensor, std: float, generator: torch.Generator | None
) -> None:
    """Fill with normal draws, those beyond two standard deviations drawn again.

    The deviation left after the cut is `std`, as in JAX's initialisers.
    """
    draws = torch.empty(tensor.shape, dtype=torch.float32, device="cpu")
    nn.init.trunc_normal_(draws, std=1.0, a=-2.0, b=2.0, generator=generator)
    tensor.copy_(draws * (std / _TRUNCATED_STD))


@torch.no_grad()
def fill_uniform(
    tensor: Tensor, bound: float, generator: torch.Generator | None
) -> None:
    """Fill with draws between -bound and bound."""
    draws = torch.rand(
        tensor.shape, generator=generator, dtype=torch.float32, device="cpu"
    )
    tensor.copy_((draws * 2 - 1) * bound)


def init_linear(
    linear: nn.Linear, scheme: str, generator: torch.Generator | None, blocks: int = 1
) -> None:
    """Draw a fully connected layer.

    Parameters
    ----------
    linear : nn.Linear
        The layer.
    scheme : str
        "jax": Xavier uniform; anything else: truncated normal of deviation 0.02.
    generator : torch.Generator or None
        Source of the draws; `None` is torch's own.
    blocks : int, default=1
        Number of equal matrices that are stacked in the layer's rows.
    """
    outputs, inputs = linear.weight.shape
    if scheme == "jax":
        bound = (6 / (inputs + outputs / blocks)) ** 0.5
        fill_uniform(linear.weight, bound, generator)
    else:
        fill_trunc_normal(linear.weight, 0.02, generator)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


@torch.no_grad()
def init_mimetic(
    qkv: nn.Linear, proj: nn.Linear, heads: int, generator: torch.Generator | None
) -> None:
    """Draw attention as trained attention looks: tokens find their like.

    In each head `Wq.T @ Wk` is the best approximation of its rank to 0.7 Z + 0.7 I,
    and `Wv.T @ Wproj.T` is 0.4 Z - 0.4 I, where Z has draws of variance 1 / width.

    References
    ----------
    .. [1] Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers",
       arXiv:2305.09828, section 3.
    """
    width = proj.in_features
    rank = width // heads
    queries, keys = [], []
    for _ in range(heads):
        left, right = _factors(0.7, 0.7, width, generator)
        queries.append(left[:, :rank].T)
        keys.append(right[:rank])
    left, right = _factors(0.4, -0.4, width, generator)
    qkv.weight.copy_(torch.cat([*queries, *keys, left.T]))
    proj.weight.copy_(right.T)


def _factors(
    noise: float, identity: float, width: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    draws = _normal((width, width), generator) / width**0.5
    left, values, right = torch.linalg.svd(
        noise * draws + identity * torch.eye(width, device="cpu")
    )
    return left * values.sqrt(), values.sqrt()[:, None] * right
