"""From images to patches to embeddings."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skvit.nn._accelerated import TokenNorm
from skvit.nn._config import ViTConfig
from skvit.nn._init import Part, fill_normal, fill_trunc_normal
from skvit.nn._record import Record


def patchify(images: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """Cut (batch, channels, height, width) into flattened patches.

    Returns (batch, num_patches, rows * columns * channels): patches row by row, and
    inside a patch the values in (row, column, channel) order.
    """
    rows, columns = patch_size
    cut = images.unflatten(3, (-1, columns)).unflatten(2, (-1, rows))
    cut = cut.permute(
        0, 2, 4, 3, 5, 1
    )  # (B, grid rows, grid columns, rows, columns, C)
    return cut.flatten(3).flatten(1, 2)


def conv_to_linear(weight: Tensor) -> Tensor:
    """Turn a convolution's kernel into the equal matrix on flattened patches.

    Parameters
    ----------
    weight : Tensor of shape (embed_dim, channels, rows, columns)
        Kernel of a convolution whose stride is its size.

    Returns
    -------
    Tensor of shape (embed_dim, rows * columns * channels)
        The same numbers in (row, column, channel) order.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import conv_to_linear
    >>> conv_to_linear(torch.zeros(8, 3, 4, 4)).shape
    torch.Size([8, 48])
    """
    return weight.permute(0, 2, 3, 1).flatten(1)


def linear_to_conv(weight: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """Turn a matrix on flattened patches into the equal convolution's kernel.

    Parameters
    ----------
    weight : Tensor of shape (embed_dim, rows * columns * channels)
        Matrix on patches that are flattened in (row, column, channel) order.
    patch_size : tuple of int
        Rows and columns of a patch, in pixels.

    Returns
    -------
    Tensor of shape (embed_dim, channels, rows, columns)
        Kernel of a convolution whose stride is its size.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import linear_to_conv
    >>> linear_to_conv(torch.zeros(8, 48), (4, 4)).shape
    torch.Size([8, 3, 4, 4])
    """
    return weight.unflatten(1, (*patch_size, -1)).permute(0, 3, 1, 2).contiguous()


def pool_strides(patch_size: int, num_pools: int) -> tuple[int, ...]:
    """Split a patch's length into the strides of the tokenizer's pools.

    Their product is `patch_size`, so that the grid is that of the patches. Two are as
    near to each other as divisors can be, the larger first: it makes the second
    convolution cheap.
    """
    if num_pools == 1:
        return (patch_size,)
    second = max(
        n
        for n in range(1, patch_size + 1)
        if not patch_size % n and n * n <= patch_size
    )
    return patch_size // second, second


def _unchanged(weight: Tensor) -> Tensor:
    return weight


def _check_shape(images: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(images.shape[1:]) != expected:
        raise ValueError(
            f"expected a batch of shape (batch, {', '.join(map(str, expected))}), got "
            f"{tuple(images.shape)}; give images of the size the network was made for, "
            "or change the network with `change_size`."
        )


def _make_norm(wanted: bool, width: int, eps: float) -> nn.Module:
    return TokenNorm(width, eps) if wanted else nn.Identity()


def _make_padding(config: ViTConfig) -> nn.Module:
    bottom, right = (
        n * patch - image
        for n, patch, image in zip(
            config.grid, config.patch_size, config.image_size, strict=True
        )
    )
    return nn.ZeroPad2d((0, right, 0, bottom)) if right or bottom else nn.Identity()


class Patchify(nn.Module):
    """Cut images into flattened patches."""

    def __init__(self, patch_size: tuple[int, int]) -> None:
        super().__init__()
        self.patch_size = patch_size

    def forward(self, images: Tensor) -> Tensor:
        """Turn (batch, C, height, width) into (batch, num_patches, patch_dim)."""
        return patchify(images, self.patch_size)


class Shift(nn.Module):
    """Put beside an image its copies shifted by half a patch along the diagonals."""

    def __init__(self, patch_size: tuple[int, int]) -> None:
        super().__init__()
        self.shift = patch_size[0] // 2, patch_size[1] // 2

    def forward(self, images: Tensor) -> Tensor:
        """Turn (batch, C, height, width) into (batch, 5 * C, height, width).

        The order is: the image; what lies up-left, up-right, down-left and down-right
        of each pixel, zero beyond the border.
        """
        _, _, height, width = images.shape
        down, right = self.shift
        padded = F.pad(images, (right, right, down, down))
        copies = [
            padded[:, :, top : top + height, left : left + width]
            for top in (0, 2 * down)
            for left in (0, 2 * right)
        ]
        return torch.cat((images, *copies), dim=1)


class PatchEmbed(Part):
    """Flattened patches, projected: "conv", "linear", "shifted" and "sequence".

    A convolution whose stride is its kernel's size *is* this projection. "conv" holds
    its weight in a convolution's layout, the others as a matrix; all compute alike.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        is_conv = config.patch_embed == "conv"
        shape: tuple[int, ...] = (config.embed_dim, config.patch_dim)
        if is_conv:
            shape = (config.embed_dim, config.in_channels, *config.patch_size)
        self.patch_size = config.patch_size
        self.input_shape = config.sequence_shape or (
            config.in_channels,
            *config.image_size,
        )
        self.cut = _make_cut(config)
        self.norm_before = _make_norm(
            config.patch_norm_before or config.patch_embed == "shifted",
            config.patch_dim,
            config.norm_eps,
        )
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(config.embed_dim))
        self.to_matrix: Callable[[Tensor], Tensor] = (
            conv_to_linear if is_conv else _unchanged
        )
        self.norm_after = _make_norm(
            config.patch_norm_after, config.embed_dim, config.norm_eps
        )

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the projection with variance 1 / inputs, whatever its layout."""
        matrix = self.weight.new_empty(self.to_matrix(self.weight).shape)
        fill_trunc_normal(matrix, matrix.shape[1] ** -0.5, generator)
        if self.weight.ndim == 4:
            matrix = linear_to_conv(matrix, self.patch_size)
        with torch.no_grad():
            self.weight.copy_(matrix)
            self.bias.zero_()

    def forward(self, images: Tensor, record: Record | None = None) -> Tensor:
        """Turn (batch, C, height, width) into (batch, num_patches, embed_dim)."""
        _check_shape(images, self.input_shape)
        patches = self.cut(images)  # (B, N, patch_dim)
        embeddings = self.norm_after(
            F.linear(self.norm_before(patches), self.to_matrix(self.weight), self.bias)
        )
        if record is not None:
            record.keep(patches=patches, embeddings=embeddings)
        return embeddings


def _make_cut(config: ViTConfig) -> nn.Module:
    if config.patch_embed == "sequence":
        return nn.Identity()
    stages = [_make_padding(config)]
    if config.patch_embed == "shifted":
        stages.append(Shift(config.patch_size))
    return nn.Sequential(*stages, Patchify(config.patch_size))


class OverlapPatchEmbed(Part):
    """Convolutional tokenizer: 3 x 3 convolutions, each with a max-pool and ReLU.

    The pools' strides multiply to the patch size, and their windows overlap, so that
    the grid is that of the patches, whether or not they divide the image. ReLU after
    the pool gives what it gives before it, from fewer numbers; with channels last in
    memory, convolutions and pools are several times as fast on a CPU.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        widths = (config.stem_width,) * (config.stem_convs - 1) + (config.embed_dim,)
        strides = zip(
            *(pool_strides(size, config.stem_convs) for size in config.patch_size),
            strict=True,
        )
        self.input_shape = (config.in_channels, *config.image_size)
        stages: list[nn.Module] = []
        channels = config.in_channels
        for width, stride in zip(widths, strides, strict=True):
            stages += [_make_conv(channels, width), _make_pool(stride), nn.ReLU()]
            channels = width
        self.stages = nn.Sequential(*stages)
        self.stages.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs of torch lack it
        self.norm_after = _make_norm(
            config.patch_norm_after, config.embed_dim, config.norm_eps
        )

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the convolutions for ReLU, with variance 2 / inputs."""
        for stage in self.stages:
            if isinstance(stage, nn.Conv2d):
                inputs = stage.weight[0].numel()
                fill_normal(stage.weight, (2 / inputs) ** 0.5, generator)

    def forward(self, images: Tensor, record: Record | None = None) -> Tensor:
        """Turn (batch, C, height, width) into (batch, num_patches, embed_dim)."""
        _check_shape(images, self.input_shape)
        images = images.contiguous(memory_format=torch.channels_last)
        maps = self.stages(images)  # (B, embed_dim, grid rows, grid columns)
        embeddings = self.norm_after(maps.flatten(2).transpose(1, 2))
        if record is not None:
            record.keep(embeddings=embeddings)
        return embeddings


def _make_conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)


def _make_pool(stride: tuple[int, int]) -> nn.Module:
    if stride == (1, 1):
        return nn.Identity()
    margin = tuple(0 if n == 1 else -(-n // 2) for n in stride)
    kernel = tuple(2 * n + 1 for n in margin)  # odd: gives ceil(length / stride)
    return nn.MaxPool2d(kernel, stride, margin)


def make_patch_embed(config: ViTConfig) -> PatchEmbed | OverlapPatchEmbed:
    """Return the patch embedding that a configuration names."""
    if config.patch_embed == "overlap":
        return OverlapPatchEmbed(config)
    return PatchEmbed(config)
