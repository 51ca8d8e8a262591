"""Multi-head self-attention: fused where it is fast, explicit where it is faster."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skvit.nn._config import ViTConfig
from skvit.nn._dropout import make_dropout
from skvit.nn._init import Part, init_linear, init_mimetic
from skvit.nn._linear import TokenLinear
from skvit.nn._places import NO_PLACES, Places, make_bias
from skvit.nn._pos_embed import rotate
from skvit.nn._record import Record

# Lengths up to which batched products beat the fused kernel on a CPU, as measured by
# docs/benchmarks/growth.py. In half precision it is the kernel's backward pass that is
# slow; beyond its limit the weights, the square of the length, take memory for nothing.
_EXPLICIT_MAX_TOKENS = {2: 512, 4: 64, 8: 64}  # by bytes of a number


# Keys below which a row does not fill a register in half precision, and is then summed
# number by number.
_MIN_ROW_OF_HALVES = 32


def softmax_rows(scores: Tensor) -> Tensor:
    """Return the softmax over keys of (..., queries, keys)."""
    is_half = scores.element_size() == 2 and scores.device.type == "cpu"
    if is_half and scores.shape[-1] < _MIN_ROW_OF_HALVES:
        return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)
    return scores.softmax(dim=-1)


def attention_scores(
    q: Tensor, k: Tensor, scale: float, mask: Tensor | None = None
) -> Tensor:
    """Return how well each query fits each key, (..., queries, keys).

    `mask` is true where a query may look at a key, and elsewhere the score is minus
    infinity; or it is numbers that are added to the scores, of no larger shape.
    """
    scores = (q * scale) @ k.transpose(-2, -1)
    if mask is None:
        return scores
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf"))
    return scores.add_(mask)


def attention_weights(
    q: Tensor, k: Tensor, scale: float | None = None, mask: Tensor | None = None
) -> Tensor:
    """Return where each query looks: softmax(q @ k.T * scale).

    Parameters
    ----------
    q : Tensor of shape (..., queries, head_dim)
        Queries.
    k : Tensor of shape (..., keys, head_dim)
        Keys.
    scale : float, default=None
        Factor of the scores; `None` is 1 / sqrt(head_dim).
    mask : Tensor of shape (queries, keys), default=None
        True where a query may look at a key.

    Returns
    -------
    Tensor of shape (..., queries, keys)
        Weights; each row sums to one.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import attention_weights
    >>> attention_weights(torch.tensor([[2.0]]), torch.tensor([[0.0], [1.0]]))
    tensor([[0.1192, 0.8808]])
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return softmax_rows(attention_scores(q, k, scale, mask))


def is_explicit_faster(num_tokens: int, device_type: str, num_bytes: int) -> bool:
    """Return whether batched products beat the fused kernel."""
    return device_type == "cpu" and num_tokens <= _EXPLICIT_MAX_TOKENS[num_bytes]


def _hide_itself(heads: Tensor, bias: Tensor | None) -> Tensor:
    """Return a mask by which no token looks at itself, or the bias with it.

    `heads` is (..., tokens, head_dim), the bias (..., tokens, tokens).
    """
    T = heads.shape[-2]
    same = torch.eye(T, dtype=torch.bool, device=heads.device)
    return ~same if bias is None else bias.masked_fill(same, float("-inf"))


class HeadTemperature(Part):
    """A learned factor of the scores for each head, first 1 / sqrt(head_dim)."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.first = head_dim**-0.5
        self.factor = nn.Parameter(torch.empty(num_heads))

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Start at the usual scale; nothing is drawn."""
        nn.init.constant_(self.factor, self.first)

    def forward(self, q: Tensor) -> Tensor:
        """Scale queries, (batch, num_heads, tokens, head_dim)."""
        return q * self.factor.to(q.dtype)[:, None, None]


class Attention(Part):
    """Multi-head self-attention."""

    def __init__(self, config: ViTConfig, name: str) -> None:
        super().__init__()
        width, head_dim = config.embed_dim, config.head_dim
        self.name = name
        self.num_heads = config.num_heads
        self.init = config.init
        self.scale = 1.0 if config.locality else head_dim**-0.5
        self.locality = config.locality
        self.pos_bias = make_bias(config)
        self.qkv = TokenLinear(width, 3 * width, bias=config.qkv_bias)
        self.q_norm, self.k_norm = (
            nn.LayerNorm(head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
            for _ in range(2)
        )
        self.temperature = (
            HeadTemperature(config.num_heads, head_dim)
            if config.locality
            else nn.Identity()
        )
        self.weight_drop = make_dropout(config.attn_drop_rate)
        self.proj = TokenLinear(width, width)
        self.drop = make_dropout(config.drop_rate)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw the maps to and from the heads."""
        init_linear(self.qkv, self.init, generator, blocks=3)
        init_linear(self.proj, self.init, generator)
        if self.init == "mimetic":
            init_mimetic(self.qkv, self.proj, self.num_heads, generator)

    def forward(
        self,
        tokens: Tensor,
        places: Places = NO_PLACES,
        record: Record | None = None,
    ) -> Tensor:
        """Let tokens look at each other: (batch, tokens, embed_dim), and so back."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1))
        # (B, heads, T, head_dim) each
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        q = self.temperature(rotate(self.q_norm(q), places.rotation))
        k = rotate(self.k_norm(k), places.rotation)
        if record is not None:
            record.keep_under(f"{self.name}/", q=q, k=k, v=v)
        bias = self.pos_bias(places.relative)
        mask = _hide_itself(q, bias) if self.locality else bias
        mixed = self.mix(q, k, v, mask, record)  # (B, heads, T, head_dim)
        return self.drop(self.proj(mixed.transpose(1, 2).flatten(2)))

    def mix(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        record: Record | None,
    ) -> Tensor:
        """Return each query's weighted sum of the values, on the path that fits."""
        is_asked_for = record is not None and record.wants(
            f"{self.name}/scores", f"{self.name}/attention"
        )
        if is_asked_for or self.is_explicit(v):
            return self.mix_explicitly(q, k, v, mask, record)
        if mask is not None and mask.ndim == 3:
            mask = mask[None]  # without a batch's dimension no kernel is fused
        return F.scaled_dot_product_attention(q, k, v, mask, scale=self.scale)

    def is_explicit(self, v: Tensor) -> bool:
        """Return whether the weights are to be computed one by one."""
        drops_weights = self.training and not isinstance(self.weight_drop, nn.Identity)
        return drops_weights or is_explicit_faster(
            v.shape[-2], v.device.type, v.element_size()
        )

    def mix_explicitly(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        record: Record | None,
    ) -> Tensor:
        """Return the weighted sums by way of scores and weights, and record these."""
        scores = attention_scores(q, k, self.scale, mask)  # (B, heads, T, T)
        attention = softmax_rows(scores)
        if record is not None:
            record.keep_under(f"{self.name}/", scores=scores, attention=attention)
        return self.weight_drop(attention) @ v
