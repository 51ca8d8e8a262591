"""From tokens to one vector, and from that to the outputs."""

import torch
from torch import Tensor, nn

from skvit.nn._attention import attention_weights
from skvit.nn._block import Mlp, make_activation
from skvit.nn._config import ViTConfig
from skvit.nn._init import Part, fill_trunc_normal, init_linear
from skvit.nn._record import Record


class TokenPool(nn.Module):
    """The class token stands for the image."""

    def forward(self, tokens: Tensor, record: Record | None = None) -> Tensor:
        """Turn (batch, tokens, embed_dim) into (batch, embed_dim)."""
        return tokens[:, 0]


class MeanPool(nn.Module):
    """The mean of the patches stands for the image."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.num_prefix_tokens = config.num_prefix_tokens

    def forward(self, tokens: Tensor, record: Record | None = None) -> Tensor:
        """Turn (batch, tokens, embed_dim) into (batch, embed_dim)."""
        return tokens[:, self.num_prefix_tokens :].mean(dim=1)


class SeqPool(Part):
    """A weighted mean of the patches, the weights a softmax of learned scores.

    Hassani et al., "Escaping the Big Data Paradigm with Compact Transformers",
    arXiv:2104.05704, section 3.3.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.num_prefix_tokens = config.num_prefix_tokens
        self.init = config.init
        self.score = nn.Linear(config.embed_dim, 1)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the scores' layer."""
        init_linear(self.score, self.init, generator)

    def forward(self, tokens: Tensor, record: Record | None = None) -> Tensor:
        """Turn (batch, tokens, embed_dim) into (batch, embed_dim)."""
        patches = tokens[:, self.num_prefix_tokens :]
        weights = self.score(patches)[..., 0].softmax(dim=1)  # (B, num_patches)
        if record is not None:
            record.keep_under("pool/", attention=weights)
        return (weights[:, None] @ patches)[:, 0]


class MapPool(Part):
    """Multi-head attention pooling: a learned query looks at the patches.

    Zhai et al., "Scaling Vision Transformers", arXiv:2106.04560, section 3.1.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.num_prefix_tokens = config.num_prefix_tokens
        self.num_heads = config.num_heads
        self.init = config.init
        self.query = nn.Parameter(torch.empty(width))
        self.q = nn.Linear(width, width, bias=config.qkv_bias)
        self.kv = nn.Linear(width, 2 * width, bias=config.qkv_bias)
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, config.norm_eps)
        self.mlp = Mlp(config)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the query and the maps."""
        fill_trunc_normal(self.query, self.query.numel() ** -0.5, generator)
        for linear, blocks in ((self.q, 1), (self.kv, 2), (self.proj, 1)):
            init_linear(linear, self.init, generator, blocks)

    def forward(self, tokens: Tensor, record: Record | None = None) -> Tensor:
        """Turn (batch, tokens, embed_dim) into (batch, embed_dim)."""
        patches = tokens[:, self.num_prefix_tokens :]
        kv = self.kv(patches).unflatten(-1, (2, self.num_heads, -1))
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, num_patches, head_dim)
        q = self.q(self.query).unflatten(0, (self.num_heads, 1, -1))
        weights = attention_weights(q, k)[:, :, 0]  # (B, heads, num_patches)
        if record is not None:
            record.keep_under("pool/", attention=weights)
        pooled = self.proj((weights[:, :, None] @ v).flatten(1))  # (B, embed_dim)
        return pooled + self.mlp(self.norm(pooled))


def make_pool(config: ViTConfig) -> nn.Module:
    """Return what turns tokens into one vector."""
    if config.pool == "token":
        return TokenPool()
    return {"mean": MeanPool, "seqpool": SeqPool, "map": MapPool}[config.pool](config)


class Head(Part):
    """One or two fully connected layers, always in the precision of their weights."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.init = config.init
        width, outputs, hidden = (
            config.embed_dim,
            config.num_outputs,
            config.head_hidden,
        )
        self.hidden: nn.Module = nn.Identity()
        if hidden is not None:
            self.hidden = nn.Sequential(
                nn.Linear(width, hidden), make_activation(config.head_activation)
            )
            width = hidden
        self.output = nn.Linear(width, outputs)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the layers; the last is zero in the "jax" scheme."""
        for layer in self.hidden.children():
            if isinstance(layer, nn.Linear):
                init_linear(layer, self.init, generator)
        init_linear(self.output, self.init, generator)
        if self.init == "jax":
            nn.init.zeros_(self.output.weight)

    def forward(self, pooled: Tensor) -> Tensor:
        """Turn (batch, embed_dim) into (batch, num_outputs)."""
        with torch.autocast(pooled.device.type, enabled=False):
            return self.output(self.hidden(pooled.to(self.output.weight.dtype)))
