"""Another image size or patch size for a network that was trained already."""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from skvit.nn._config import ViTConfig
from skvit.nn._patch_embed import conv_to_linear, linear_to_conv
from skvit.nn._pos_embed import fixed_positions, resample_pos_embed, rope_rotation


def resize_patch_kernel(kernel: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """Fit a patch embedding's kernel to another patch size.

    On patches enlarged by bicubic interpolation the new kernel gives what the old one
    gave on the patches themselves; on patches that were shrunk, the nearest to it.

    Parameters
    ----------
    kernel : Tensor of shape (embed_dim, channels, rows, columns)
        Kernel of a convolution whose stride is its size.
    patch_size : tuple of int
        New rows and columns, in pixels.

    Returns
    -------
    Tensor of shape (embed_dim, channels, new rows, new columns)
        The kernel, computed in float64.

    References
    ----------
    .. [1] Beyer et al., "FlexiViT: One Model for All Patch Sizes", arXiv:2212.08013,
       section 3.4.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import resize_patch_kernel
    >>> resize_patch_kernel(torch.zeros(8, 3, 4, 4), (8, 6)).shape
    torch.Size([8, 3, 8, 6])
    """
    old_size = tuple(kernel.shape[2:])
    if old_size == tuple(patch_size):
        return kernel
    num_pixels = old_size[0] * old_size[1]
    # on the CPU: not every device knows doubles
    pixels = torch.eye(num_pixels, dtype=torch.float64, device="cpu")
    pixels = pixels.unflatten(1, old_size)[:, None]
    resized = F.interpolate(pixels, size=patch_size, mode="bicubic", antialias=True)
    resizing = resized.flatten(1)  # (old pixels, new pixels)
    fitted = kernel.flatten(2).cpu().double() @ torch.linalg.pinv(resizing).mT
    fitted = fitted.unflatten(2, tuple(patch_size)).to(kernel.dtype)
    return fitted.to(kernel.device)


def change_size(
    config: ViTConfig,
    state_dict: Mapping[str, Tensor],
    image_size: tuple[int, int] | None = None,
    patch_size: tuple[int, int] | None = None,
) -> tuple[ViTConfig, dict[str, Tensor]]:
    """Fit a trained network to another image size, patch size, or both.

    Parameters
    ----------
    config : ViTConfig
        The network's choices.
    state_dict : mapping of str to Tensor
        Its weights, which are left as they are.
    image_size : tuple of int, default=None
        New height and width of an image, in pixels; `None` keeps the old.
    patch_size : tuple of int, default=None
        New height and width of a patch, in pixels; `None` keeps the old.

    Returns
    -------
    config : ViTConfig
        The new network's choices.
    state_dict : dict of str to Tensor
        Its weights: learned positions and patch kernels resampled, fixed positions
        computed for the new grid laid over the old one's place.

    Raises
    ------
    ValueError
        If the network reads sequences of patches, or if the patch size is to change
        and a layer norm has a weight for each value of a flattened patch.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import ViTConfig, VisionTransformer, change_size
    >>> config = ViTConfig((32, 32), (4, 4), 3, 10, 48, 2, 3)
    >>> weights = VisionTransformer(config).state_dict()
    >>> config, weights = change_size(config, weights, image_size=(48, 64))
    >>> network = VisionTransformer(config)
    >>> network.load_state_dict(weights)
    <All keys matched successfully>
    >>> network.grid
    (12, 16)
    """
    problem = _reason_against(config, patch_size)
    if problem:
        raise ValueError(problem)
    new = replace(
        config,
        image_size=image_size or config.image_size,
        patch_size=patch_size or config.patch_size,
        pos_grid=config.pos_grid or config.grid,
    )
    weights = dict(state_dict)
    key = "patch_embed.weight"
    if config.patch_size != new.patch_size and key in weights:
        weights[key] = _resize_patch_weight(weights[key], config, new.patch_size)
    weights.update(_new_positions(config, new, weights))
    return new, weights


def _reason_against(config: ViTConfig, patch_size: tuple[int, int] | None) -> str:
    if config.patch_embed == "sequence":
        return (
            "a network with `patch_embed='sequence'` has no image size or patch size "
            "to change; cut the images into as many patches as it was made for."
        )
    has_norm = config.patch_norm_before or config.patch_embed == "shifted"
    if has_norm and patch_size not in (None, config.patch_size):
        return (
            f"`patch_size`={config.patch_size} cannot become {patch_size}: the layer "
            "norm before the projection has weights for every value of a patch; "
            "change `image_size` only."
        )
    return ""


def _resize_patch_weight(
    weight: Tensor, config: ViTConfig, patch_size: tuple[int, int]
) -> Tensor:
    if config.patch_embed == "conv":
        return resize_patch_kernel(weight, patch_size)
    kernel = linear_to_conv(weight, config.patch_size)
    return conv_to_linear(resize_patch_kernel(kernel, patch_size))


def _new_positions(
    old: ViTConfig, new: ViTConfig, weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    if old.pos_embed == "none":
        return {}
    if old.pos_embed == "rope":
        key = "rotation.table"
        return {key: rope_rotation(new).to(weights[key])}
    key = "pos_embed.table"
    if old.pos_embed == "learned":
        return {
            key: resample_pos_embed(
                weights[key], old.grid, new.grid, old.num_token_positions
            )
        }
    return {key: fixed_positions(new).to(weights[key])}
