"""Layers whose gradients a GPU sums in two steps: over tokens, then over images.

The gradient of a bias, or of a norm's weights, is a sum over all tokens of a batch for
each of a few hundred channels. PyTorch's kernels give such a sum so few threads that it
takes longer than the product of matrices beside it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def is_summed_apart(tokens: Tensor) -> bool:
    """Say whether (batch, tokens, width) is for the layers of this module."""
    return (
        tokens.device.type == "cuda"
        and tokens.ndim == 3
        and not torch.compiler.is_compiling()  # it makes better kernels by itself
    )


def to_product_type(values: Tensor) -> Tensor:
    """Return values in the type in which autocast multiplies matrices, if it is on."""
    device_type = values.device.type
    if not torch.is_autocast_enabled(device_type):
        return values
    return values.to(torch.get_autocast_dtype(device_type))


def to_residual_type(tokens: Tensor) -> Tensor:
    """Return tokens in the type in which they pass from block to block.

    A GPU spends most of its time on reading and writing them, and in the type of the
    products they are half as long; a CPU gains nothing by it.
    """
    return to_product_type(tokens) if tokens.device.type == "cuda" else tokens


def sum_tokens(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the sum of (batch, tokens, width) for each channel, (width,)."""
    exact = torch.promote_types(values.dtype, torch.float32)
    return values.sum(1, dtype=exact).sum(0).to(dtype)


class _Map(torch.autograd.Function):
    """A linear map of tokens."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Map (batch, tokens, inputs) to (batch, tokens, outputs)."""
        ctx.save_for_backward(tokens, weight)
        return F.linear(tokens, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of tokens, weight and bias."""
        tokens, weight = ctx.saved_tensors
        of_weight = gradient.flatten(0, 1).T @ tokens.flatten(0, 1)
        return gradient @ weight, of_weight, sum_tokens(gradient, weight.dtype)


class _Norm(torch.autograd.Function):
    """Layer norm of tokens."""

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        """Norm the channels of (batch, tokens, width), in the type of the weights."""
        width = tokens.shape[-1:]
        normed, mean, rstd = torch.native_layer_norm(tokens, width, None, None, eps)
        normed = normed.to(weight.dtype)
        ctx.save_for_backward(tokens, mean, rstd, normed, weight)
        return torch.addcmul(bias, normed, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of tokens, weight and bias."""
        tokens, mean, rstd, normed, weight = ctx.saved_tensors
        width = tokens.shape[-1:]
        of_tokens, _, _ = torch.ops.aten.native_layer_norm_backward(
            (gradient * weight).to(tokens.dtype),
            *(tokens, width, mean, rstd, None, None),
            [True, False, False],
        )
        of_weight = sum_tokens(gradient * normed, weight.dtype)
        return of_tokens, of_weight, sum_tokens(gradient, weight.dtype), None


def map_tokens(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Map (batch, tokens, inputs) to (batch, tokens, outputs), as `F.linear` does."""
    tokens, weight, bias = (to_product_type(part) for part in (tokens, weight, bias))
    with torch.autocast(tokens.device.type, enabled=False):
        return _Map.apply(tokens, weight, bias)


def norm_tokens(tokens: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Norm the channels of (batch, tokens, width), as `F.layer_norm` does.

    Tokens are normed as they come; the result is in the type of the products.
    """
    weight, bias = to_product_type(weight), to_product_type(bias)
    with torch.autocast(tokens.device.type, enabled=False):
        if torch.is_grad_enabled():
            return _Norm.apply(tokens, weight, bias, eps)
        alike = weight.to(tokens.dtype), bias.to(tokens.dtype)
        normed = F.layer_norm(tokens, tokens.shape[-1:], *alike, eps)
        return normed.to(weight.dtype)


class TokenNorm(nn.LayerNorm):
    """Layer norm of tokens, by the faster of two ways to the same numbers."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Norm the channels of (batch, tokens, width) or (batch, width)."""
        if is_summed_apart(tokens):
            return norm_tokens(tokens, self.weight, self.bias, self.eps)
        return super().forward(tokens)
