"""Linear maps of tokens, by matrix products or by the convolution that equals them."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Fewer tokens than these are mapped in less time than a convolution takes to set up.
_MIN_ROWS = 512


@cache
def has_wide_convolutions() -> bool:
    """Say whether convolutions use the CPU's full width in single precision.

    oneDNN, which convolves, does wherever there is AVX-512. MKL, which multiplies
    matrices, reaches only half of its rate on CPUs of other makers than its own.
    """
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and torch.backends.mkldnn.is_available()


def is_convolution_faster(tokens: Tensor) -> bool:
    """Say whether (batch, tokens, width) is mapped faster by a convolution."""
    return (
        not torch.compiler.is_compiling()  # a graph holds for batches of all sizes
        and tokens.ndim == 3
        and tokens.dtype == torch.float32
        and tokens.device.type == "cpu"
        and tokens.shape[0] > 1  # PyTorch convolves single images by another library
        and tokens.shape[0] * tokens.shape[1] >= _MIN_ROWS
        and not torch.is_autocast_enabled("cpu")
        and has_wide_convolutions()
    )


def convolve_tokens(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map (batch, tokens, inputs) to (batch, tokens, outputs) by a 1 x 1 convolution.

    With channels last in memory tokens are an image of one column as they are.
    """
    images = tokens.contiguous().unsqueeze(2).permute(0, 3, 1, 2)  # (B, inputs, T, 1)
    mapped = F.conv2d(images, weight[:, :, None, None], bias)
    return mapped.permute(0, 2, 3, 1).flatten(1, 2)


class TokenLinear(nn.Linear):
    """A linear map that takes the faster of two ways to the same numbers."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, inputs) to (batch, tokens, outputs)."""
        if is_convolution_faster(tokens):
            return convolve_tokens(tokens, self.weight, self.bias)
        return super().forward(tokens)
