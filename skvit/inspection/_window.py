"""What tokens see beside their own patches, where the patch embedding overlaps."""

import torch
import torch.nn.functional as F
from torch import nn


def share_out(values, module):
    """Share each token's value out among the patches in its window.

    A token has as many ways to a patch as there are chains of taps, of convolutions
    and pools, that lead from it to the patch's pixels; each way gets an equal share,
    whatever the weights. Sums are kept. Where tokens see their own patch alone the
    values stay as they are.

    Parameters
    ----------
    values : Tensor of shape (..., num_patches)
        Values of the patches' tokens.
    module : VisionTransformer
        The network.

    Returns
    -------
    Tensor of shape (..., num_patches)
        Values of the patches.
    """
    config = module.config
    if config.patch_embed not in {"overlap", "shifted"}:
        return values
    # On the CPU and in doubles: accelerators may round what convolutions multiply.
    flat = values.reshape(-1, config.num_patches).cpu().double()
    with torch.inference_mode(False), torch.enable_grad():
        patches = flat.new_ones(len(flat), 1, *config.grid, requires_grad=True)
        ways = count_ways(patches, module)
        # The derivative by a patch's pixels is the number of ways to them.
        shares = flat.clone() / ways.detach()
        (shared,) = torch.autograd.grad(ways, patches, shares)
    return shared.reshape(values.shape).to(values)


def count_ways(patches, module):
    """Return (batch, tokens): sums of the patches' values over all ways to them."""
    config = module.config
    height, width = config.image_size
    rows, columns = config.patch_size
    pixels = patches.repeat_interleave(rows, 2).repeat_interleave(columns, 3)
    pixels = pixels[:, :, :height, :width]
    if config.patch_embed == "shifted":
        return module.patch_embed.cut(pixels).sum(2)
    for stage in module.patch_embed.stages:
        pixels = _add_up(stage, pixels)
    return pixels.flatten(1)


def _add_up(stage, pixels):
    """Return the sum over what a stage looks at, (batch, 1, rows, columns)."""
    if isinstance(stage, nn.Conv2d):
        kernel = pixels.new_ones(1, 1, *stage.kernel_size)
        return F.conv2d(pixels, kernel, stride=stage.stride, padding=stage.padding)
    if isinstance(stage, nn.MaxPool2d):
        size = stage.kernel_size, stage.stride, stage.padding
        return F.avg_pool2d(pixels, *size, divisor_override=1)
    return pixels
