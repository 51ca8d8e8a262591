"""One encoder layer: attention and feed-forward, each normed before and added after."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skvit.nn._accelerated import TokenNorm
from skvit.nn._attention import Attention
from skvit.nn._config import ViTConfig
from skvit.nn._dropout import make_drop_path, make_dropout
from skvit.nn._init import Part, fill_normal, init_linear
from skvit.nn._linear import TokenLinear
from skvit.nn._places import NO_PLACES, Places
from skvit.nn._record import Record


class SwiGLU(nn.Module):
    """Gate one half of the channels by the other's SiLU."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Turn (batch, tokens, 2 * width) into (batch, tokens, width)."""
        gate, value = hidden.chunk(2, dim=-1)
        return F.silu(gate) * value


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "swiglu": SwiGLU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}


def make_activation(name: str) -> nn.Module:
    """Return the activation of that name."""
    if name == "gelu_tanh":
        return nn.GELU(approximate="tanh")
    return _ACTIVATIONS[name]()


class Mlp(Part):
    """Two fully connected layers, applied to each token by itself."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, hidden = config.embed_dim, config.mlp_width
        self.init = config.init
        halves = 2 if config.activation == "swiglu" else 1
        self.fc1 = TokenLinear(width, halves * hidden)
        self.activation = make_activation(config.activation)
        self.drop1 = make_dropout(config.drop_rate)
        self.fc2 = TokenLinear(hidden, width)
        self.drop2 = make_dropout(config.drop_rate)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw both layers."""
        for linear in (self.fc1, self.fc2):
            init_linear(linear, self.init, generator)
            if self.init == "jax":
                fill_normal(linear.bias, 1e-6, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform (batch, tokens, embed_dim)."""
        hidden = self.drop1(self.activation(self.fc1(tokens)))  # (B, T, hidden)
        return self.drop2(self.fc2(hidden))


class LayerScale(Part):
    """A learned factor for each channel of a residual branch."""

    def __init__(self, width: int, first: float) -> None:
        super().__init__()
        self.first = first
        self.factor = nn.Parameter(torch.empty(width))

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Start small; nothing is drawn."""
        nn.init.constant_(self.factor, self.first)

    def forward(self, branch: Tensor) -> Tensor:
        """Scale (batch, tokens, embed_dim)."""
        return branch * self.factor


def _make_scale(config: ViTConfig) -> nn.Module:
    if config.layer_scale is None:
        return nn.Identity()
    return LayerScale(config.embed_dim, config.layer_scale)


class Block(nn.Module):
    """One encoder layer."""

    def __init__(self, config: ViTConfig, index: int) -> None:
        super().__init__()
        width, eps = config.embed_dim, config.norm_eps
        skip_rate = config.drop_path_rate * index / max(1, config.depth - 1)
        self.name = f"block{index:02d}"
        self.norm1 = TokenNorm(width, eps)
        self.attention = Attention(config, self.name)
        self.scale1 = _make_scale(config)
        self.drop_path1 = make_drop_path(skip_rate)
        self.norm2 = TokenNorm(width, eps)
        self.mlp = Mlp(config)
        self.scale2 = _make_scale(config)
        self.drop_path2 = make_drop_path(skip_rate)

    def forward(
        self, x: Tensor, places: Places = NO_PLACES, record: Record | None = None
    ) -> Tensor:
        """Transform tokens, (batch, tokens, embed_dim)."""
        x = middle = x + self.attend(self.norm1(x), places, record)
        x = x + self.feed_forward(self.norm2(x))
        if record is not None:
            record.keep_under(f"{self.name}/", after_attention=middle, after_mlp=x)
        return x

    def attend(self, x: Tensor, places: Places, record: Record | None) -> Tensor:
        """Return the attention's branch, (batch, tokens, embed_dim)."""
        return self.drop_path1(self.scale1(self.attention(x, places, record)))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Return the feed-forward branch, (batch, tokens, embed_dim)."""
        return self.drop_path2(self.scale2(self.mlp(x)))
