"""Linear maps of tokens, by matrix products or by the convolution that equals them."""

import re
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skvit.nn._accelerated import is_summed_apart, map_tokens

# Fewer tokens than these are mapped in less time than a convolution takes to set up.
_MIN_ROWS = 512


_CPUINFO = Path("/proc/cpuinfo")
_LAST_HALF_WIDE_FAMILY = 25  # AMD's up to Zen 4 compute 512 bits in two halves


def has_half_rate_products(cpuinfo: str) -> bool:
    """Say whether matrix products reach half of a CPU's rate, from Linux' cpuinfo.

    On CPUs of other makers than its own, MKL uses registers of 256 bits: half of what
    there is, except where longer ones are computed in two halves anyway.
    """
    facts = dict(re.findall(r"^(vendor_id|cpu family)\s*: (\S+)$", cpuinfo, re.M))
    if facts.get("vendor_id") != "AuthenticAMD":
        return False
    return int(facts.get("cpu family", 0)) > _LAST_HALF_WIDE_FAMILY


@cache
def has_wide_convolutions() -> bool:
    """Say whether convolutions are faster than products in single precision.

    oneDNN, which convolves, uses the full width of AVX-512.
    """
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    if not (wide and torch.backends.mkldnn.is_available() and _CPUINFO.exists()):
        return False
    return has_half_rate_products(_CPUINFO.read_text(encoding="ascii", errors="ignore"))


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
    """A linear map that takes the fastest of three ways to the same numbers."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, inputs) to (batch, tokens, outputs)."""
        if self.bias is not None and is_summed_apart(tokens):
            return map_tokens(tokens, self.weight, self.bias)
        if is_convolution_faster(tokens):
            return convolve_tokens(tokens, self.weight, self.bias)
        return super().forward(tokens)
