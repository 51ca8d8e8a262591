"""The network: embed, add positions, transform, pool, decide."""

import torch
from torch import Tensor, nn

from skvit.nn._accelerated import TokenNorm, to_residual_type
from skvit.nn._block import Block
from skvit.nn._config import ViTConfig
from skvit.nn._dropout import KeepPatches, PatchDropout, make_dropout
from skvit.nn._head import Head, make_pool
from skvit.nn._init import Part, fill_trunc_normal
from skvit.nn._patch_embed import make_patch_embed
from skvit.nn._places import Places, make_relative_places, make_rotation
from skvit.nn._pos_embed import make_pos_embed
from skvit.nn._record import Record


class PrefixTokens(Part):
    """Learned tokens in front of the patches: the class token, then the registers."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.empty(config.num_prefix_tokens, config.embed_dim)
        )

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the tokens."""
        fill_trunc_normal(self.weight, 0.02, generator)

    def forward(self, patches: Tensor) -> Tensor:
        """Turn (batch, num_patches, embed_dim) into (batch, tokens, embed_dim)."""
        prefix = self.weight.expand(patches.shape[0], -1, -1)
        return torch.cat((prefix, patches), dim=1)


class VisionTransformer(nn.Module):
    """A plain Vision Transformer.

    Parameters
    ----------
    config : ViTConfig
        The choices that make the network.
    generator : torch.Generator, default=None
        Source of the first weights, on the CPU; `None` is torch's own. Equal
        generators give equal networks on every device and in every precision.

    Attributes
    ----------
    config : ViTConfig
        As given.
    grid : tuple of int
        Rows and columns of patches, those of the padding included.
    num_patches : int
        Number of patches.
    num_prefix_tokens : int
        Tokens in front of the patches: class token, then registers.

    Notes
    -----
    With the configuration's defaults it is the network of [1]_. Built on the meta
    device (`with torch.device("meta")`) it holds no numbers: call `to_empty` and then
    `reset_parameters`.

    References
    ----------
    .. [1] Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image
       Recognition at Scale", arXiv:2010.11929.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import ViTConfig, VisionTransformer
    >>> config = ViTConfig((32, 32), (4, 4), in_channels=3, num_outputs=10,
    ...                    embed_dim=48, depth=2, num_heads=3)
    >>> network = VisionTransformer(config, torch.Generator().manual_seed(0))
    >>> network(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self, config: ViTConfig, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        device = torch.get_default_device()
        self.config = config
        self.grid = config.grid
        self.num_patches = config.num_patches
        self.num_prefix_tokens = config.num_prefix_tokens
        with torch.device("meta"):  # layers made elsewhere draw from torch's generator
            self._build(config)
        if device.type != "meta":
            self.to_empty(device=device)
            self.reset_parameters(generator)

    def _build(self, config: ViTConfig) -> None:
        width, eps = config.embed_dim, config.norm_eps
        late, prefix = config.has_late_norm, config.num_prefix_tokens
        rate = config.patch_drop_rate
        self.patch_embed = make_patch_embed(config)
        self.prefix = PrefixTokens(config) if prefix else nn.Identity()
        self.pos_embed = make_pos_embed(config)
        self.rotation = make_rotation(config)
        self.relative_places = make_relative_places(config)
        self.drop = make_dropout(config.drop_rate)
        self.drop_patches = PatchDropout(rate, prefix) if rate else KeepPatches()
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.depth))
        self.norm = nn.Identity() if late else TokenNorm(width, eps)
        self.pool = make_pool(config)
        self.pooled_norm = nn.LayerNorm(width, eps) if late else nn.Identity()
        self.head = Head(config)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every parameter again and fill every buffer.

        Parameters
        ----------
        generator : torch.Generator, default=None
            Source of the draws, on the CPU; `None` is torch's own.
        """
        for module in self.modules():
            if isinstance(module, Part):
                module.reset_parameters(generator)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def forward(self, images: Tensor, record: Record | None = None) -> Tensor:
        """Turn images into logits.

        Parameters
        ----------
        images : Tensor of shape (batch, in_channels, height, width)
            Images, or (batch, num_patches, patch_dim) for `patch_embed="sequence"`.
        record : Record, default=None
            Keeps the intermediate tensors that it was made for.

        Returns
        -------
        Tensor of shape (batch, num_outputs)
            Logits, in the precision of the head's weights.
        """
        logits = self.head(self.forward_features(images, record))
        if record is not None:
            record.keep(logits=logits)
        return logits

    def forward_features(self, images: Tensor, record: Record | None = None) -> Tensor:
        """Turn images into the vectors that the head reads.

        Parameters
        ----------
        images : Tensor of shape (batch, in_channels, height, width)
            As for `forward`.
        record : Record, default=None
            As for `forward`.

        Returns
        -------
        Tensor of shape (batch, embed_dim)
            One vector for each image.
        """
        x = self.prefix(self.patch_embed(images, record))  # (B, T, embed_dim)
        x = to_residual_type(self.drop(self.pos_embed(x, record)))
        places = Places(self.rotation(), self.relative_places())
        x, places = self.drop_patches(x, places)
        for block in self.blocks:
            x = block(x, places, record)
        x = self.norm(x)
        pooled = self.pooled_norm(self.pool(x, record))  # (B, embed_dim)
        if record is not None:
            record.keep(tokens=x, pooled=pooled)
        return pooled
