"""ViTConfig: every choice that makes a network, checked once."""

from dataclasses import dataclass

_CHOICES = {
    "patch_embed": ("conv", "linear", "overlap", "shifted", "sequence"),
    "pos_embed": ("learned", "sincos", "sincos2d", "rope", "none"),
    "pos_bias": ("none", "gaussian"),
    "pool": ("token", "mean", "map", "seqpool"),
    "activation": ("gelu", "gelu_tanh", "swiglu"),
    "head_activation": ("gelu", "relu", "tanh"),
    "init": ("trunc_normal", "jax", "mimetic"),
    "stem_convs": (1, 2),
}
_RATES = ("drop_rate", "attn_drop_rate", "drop_path_rate", "patch_drop_rate")
_COUNTS = (
    "in_channels",
    "num_outputs",
    "embed_dim",
    "depth",
    "num_heads",
    "stem_width",
)


@dataclass(frozen=True)
class ViTConfig:
    """Every choice that makes a :class:`VisionTransformer`.

    Parameters
    ----------
    image_size : tuple of int
        Height and width, in pixels. Ignored when `patch_embed="sequence"`.
    patch_size : tuple of int
        Height and width of one patch, in pixels. An image that it does not divide
        is padded with zeros on the right and at the bottom. Ignored when
        `patch_embed="sequence"`.
    in_channels : int
        Channels of an image.
    num_outputs : int
        Values that the head gives for each image.
    embed_dim : int
        Width of a token.
    depth : int
        Number of blocks.
    num_heads : int
        Attention heads of a block; divides `embed_dim`.
    mlp_ratio : float, default=4.0
        Hidden width of the feed-forward part, as a multiple of `embed_dim`. With
        `activation="swiglu"`, which has three matrices instead of two, two thirds of
        that, rounded up to a multiple of 8.
    patch_embed : str, default="conv"
        "conv" and "linear" are the same function with its weights in another layout;
        "overlap" is the convolutional tokenizer of the compact transformers [1]_;
        "shifted" is shifted patch tokenization [2]_; "sequence" takes patches that
        were cut already, as (batch, num_patches, patch_dim).
    sequence_shape : tuple of int, default=None
        Number of patches and values in a patch, for `patch_embed="sequence"` only.
    pos_embed : str, default="learned"
        "learned", "sincos" (along the sequence), "sincos2d" (along rows and columns),
        "rope" (rotates queries and keys by row and column) or "none".
    pos_bias : str, default="none"
        "gaussian" adds a learned bias to the scores of each head, which first looks at
        one neighbour of a patch, as a convolution does [4]_.
    pos_embed_token : bool, default=True
        Whether the class token has a position of its own, where positions are added.
    pos_grid : tuple of int, default=None
        Rows and columns of the grid in whose units fixed positions are measured;
        `None` is the grid itself. A network that was changed to another grid keeps
        the one it was trained on, so that a place in the image keeps its position.
    pool : str, default="token"
        What represents the image: "token" (the class token), "mean" of the patches,
        "map" (attention from a learned query) or "seqpool" (softmax-weighted mean).
    class_token : bool, default=None
        Whether there is a class token. `None`: only where `pool="token"`.
    num_register_tokens : int, default=0
        Learned tokens that stand for no patch and are left out of the pooling.
    qkv_bias : bool, default=True
        Whether the maps to queries, keys and values have a bias.
    norm_eps : float, default=1e-6
        Added to the variance in every layer norm.
    activation : str, default="gelu"
        "gelu" (exact), "gelu_tanh" (its approximation by tanh) or "swiglu".
    qk_norm : bool, default=False
        Whether queries and keys are layer-normalised in each head.
    locality : bool, default=False
        Locality self-attention [2]_: a learned temperature per head, and no token
        looks at itself.
    layer_scale : float, default=None
        First value of a learned factor per channel on each residual branch.
    drop_rate : float, default=0.0
        Fraction of values dropped after the positions are added, after the attention's
        projection, and after both layers of the feed-forward part.
    attn_drop_rate : float, default=0.0
        Fraction of attention weights dropped.
    drop_path_rate : float, default=0.0
        Probability that the last block's residual branch is skipped for a sample;
        earlier blocks have proportionally less, the first none.
    patch_drop_rate : float, default=0.0
        Fraction of patches left out in training.
    patch_norm_before : bool, default=False
        Whether flattened patches are layer-normalised; "shifted" ones always are.
    patch_norm_after : bool, default=False
        Whether the embeddings of patches are layer-normalised.
    norm_after_pool : bool, default=None
        Whether the last layer norm follows the pooling instead of preceding it.
        `None`: only where `pool="mean"`.
    head_hidden : int, default=None
        Width of the head's hidden layer; `None` is a head of one layer.
    head_activation : str, default="gelu"
        Activation of that layer: "gelu", "relu" or "tanh".
    init : str, default="trunc_normal"
        How weights are first drawn: "trunc_normal", "jax" (Xavier uniform and a head of
        zeros) or "mimetic" [3]_.
    stem_width : int, default=64
        Channels between the two convolutions of `patch_embed="overlap"`.
    stem_convs : int, default=2
        Convolutions of `patch_embed="overlap"`, one or two.

    Raises
    ------
    ValueError
        If a value is out of range or two choices exclude each other.

    References
    ----------
    .. [1] Hassani et al., "Escaping the Big Data Paradigm with Compact Transformers",
       arXiv:2104.05704.
    .. [2] Lee, Lee and Song, "Vision Transformer for Small-Size Datasets",
       arXiv:2112.13492.
    .. [3] Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers",
       arXiv:2305.09828.
    .. [4] Cordonnier, Loukas and Jaggi, "On the Relationship between Self-Attention
       and Convolutional Layers", arXiv:1911.03584.

    Examples
    --------
    >>> from skvit.nn import ViTConfig
    >>> config = ViTConfig((224, 224), (16, 16), 3, 1000, 192, 12, 3)
    >>> config.grid, config.num_patches, config.patch_dim
    ((14, 14), 196, 768)
    """

    image_size: tuple[int, int]
    patch_size: tuple[int, int]
    in_channels: int
    num_outputs: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    patch_embed: str = "conv"
    sequence_shape: tuple[int, int] | None = None
    pos_embed: str = "learned"
    pos_bias: str = "none"
    pos_embed_token: bool = True
    pos_grid: tuple[int, int] | None = None
    pool: str = "token"
    class_token: bool | None = None
    num_register_tokens: int = 0
    qkv_bias: bool = True
    norm_eps: float = 1e-6
    activation: str = "gelu"
    qk_norm: bool = False
    locality: bool = False
    layer_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    patch_drop_rate: float = 0.0
    patch_norm_before: bool = False
    patch_norm_after: bool = False
    norm_after_pool: bool | None = None
    head_hidden: int | None = None
    head_activation: str = "gelu"
    init: str = "trunc_normal"
    stem_width: int = 64
    stem_convs: int = 2

    def __post_init__(self) -> None:
        """Refuse values out of range and choices that exclude each other."""
        for check in (
            _check_choices,
            _check_ranges,
            _check_heads,
            _check_input,
            _check_patch_embed,
            _check_pos_embed,
            _check_tokens,
        ):
            check(self)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches, those of the padding included."""
        if self.sequence_shape is not None:
            return 1, self.sequence_shape[0]
        height, width = self.image_size
        rows, columns = self.patch_size
        return -(-height // rows), -(-width // columns)

    @property
    def num_patches(self) -> int:
        """Number of patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def patch_dim(self) -> int:
        """Values in a flattened patch; a shifted one holds five images' values."""
        if self.sequence_shape is not None:
            return self.sequence_shape[1]
        copies = 5 if self.patch_embed == "shifted" else 1
        return self.patch_size[0] * self.patch_size[1] * self.in_channels * copies

    @property
    def has_class_token(self) -> bool:
        """Whether there is a class token."""
        return self.pool == "token" if self.class_token is None else self.class_token

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens in front of the patches: class token, then registers."""
        return int(self.has_class_token) + self.num_register_tokens

    @property
    def num_tokens(self) -> int:
        """Length of the sequence."""
        return self.num_prefix_tokens + self.num_patches

    @property
    def num_token_positions(self) -> int:
        """Positions that belong to no patch: the class token's, or none."""
        return int(self.has_class_token and self.pos_embed_token)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.embed_dim // self.num_heads

    @property
    def mlp_width(self) -> int:
        """Hidden width of the feed-forward part."""
        if self.activation == "swiglu":
            return -(-int(self.embed_dim * self.mlp_ratio * 2 / 3) // 8) * 8
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def has_late_norm(self) -> bool:
        """Whether the last layer norm follows the pooling."""
        late = self.norm_after_pool
        return self.pool == "mean" if late is None else late


def num_kept_patches(num_patches: int, patch_drop_rate: float) -> int:
    """Return how many patches a training step keeps of an image, one at least."""
    rounding = 1e-9  # of the rate's complement: a tenth of 30 is 3, not 2
    return max(1, int(num_patches * (1 - patch_drop_rate) + rounding))


def _check_choices(config: ViTConfig) -> None:
    for name, options in _CHOICES.items():
        value = getattr(config, name)
        if value not in options:
            raise ValueError(f"`{name}` must be one of {options}, got {value!r}.")


def _check_ranges(config: ViTConfig) -> None:
    for name in _COUNTS:
        if getattr(config, name) < 1:
            raise ValueError(
                f"`{name}` must be 1 or more, got {getattr(config, name)}."
            )
    for name in _RATES:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(
                f"`{name}` is a fraction from 0 up to, but without, 1; "
                f"got {getattr(config, name)}."
            )
    for name in ("norm_eps", "layer_scale", "head_hidden"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise ValueError(f"`{name}` must be positive, got {value}.")
    if config.mlp_width < 1:
        raise ValueError(
            f"`mlp_ratio`={config.mlp_ratio} of `embed_dim`={config.embed_dim} leaves "
            "the feed-forward part no hidden unit; use a larger `mlp_ratio`."
        )
    if config.num_register_tokens < 0:
        raise ValueError(
            "`num_register_tokens` must be 0 or more, "
            f"got {config.num_register_tokens}."
        )


def _check_heads(config: ViTConfig) -> None:
    width, heads = config.embed_dim, config.num_heads
    if width % heads:
        fitting = [n for n in range(1, min(width, 64) + 1) if width % n == 0]
        raise ValueError(
            f"`num_heads`={heads} does not divide `embed_dim`={width}; use "
            f"`num_heads` from {fitting}, or `embed_dim`={-(-width // heads) * heads}."
        )


def _check_input(config: ViTConfig) -> None:
    is_sequence = config.patch_embed == "sequence"
    if is_sequence != (config.sequence_shape is not None):
        raise ValueError(
            "`sequence_shape` goes with `patch_embed='sequence'` and with nothing "
            f"else; got `patch_embed`={config.patch_embed!r} and "
            f"`sequence_shape`={config.sequence_shape}."
        )
    if config.sequence_shape is not None:
        if min(config.sequence_shape) < 1:
            raise ValueError(
                "`sequence_shape` is a number of patches and of values in each, both "
                f"1 or more; got {config.sequence_shape}."
            )
        return
    for image, patch in zip(config.image_size, config.patch_size, strict=True):
        if not 1 <= patch <= image:
            raise ValueError(
                f"`patch_size`={config.patch_size} does not fit into images of "
                f"{config.image_size[0]} x {config.image_size[1]} pixels; use a patch "
                "of at least one pixel and at most the image."
            )


def _check_patch_embed(config: ViTConfig) -> None:
    if config.patch_embed == "overlap" and config.patch_norm_before:
        raise ValueError(
            "`patch_norm_before` normalises flattened patches, which "
            "`patch_embed='overlap'` does not cut; use `patch_norm_after`."
        )
    if config.patch_embed == "shifted" and min(config.patch_size) < 2:
        raise ValueError(
            "`patch_embed='shifted'` shifts by half a patch, which "
            f"`patch_size`={config.patch_size} is too small for; use patches of "
            "2 x 2 pixels or more."
        )


def _check_pos_embed(config: ViTConfig) -> None:
    kind, width = config.pos_embed, config.embed_dim
    if config.patch_embed == "sequence":
        _check_pos_of_sequence(config)
    if kind == "sincos" and width % 2:
        raise ValueError(
            f"`pos_embed='sincos'` needs an even `embed_dim`, got {width}; "
            f"use {width + 1}."
        )
    if kind == "sincos2d" and (width % 4 or width < 8):
        raise ValueError(
            "`pos_embed='sincos2d'` needs an `embed_dim` that 4 divides, 8 or more, "
            f"got {width}; use {max(8, -(-width // 4) * 4)}."
        )
    if kind == "rope" and config.head_dim % 4:
        raise ValueError(
            "`pos_embed='rope'` needs heads whose width 4 divides, got `embed_dim`="
            f"{width} over `num_heads`={config.num_heads}, that is {config.head_dim}; "
            f"use `embed_dim`={-(-config.head_dim // 4) * 4 * config.num_heads}."
        )


def _check_pos_of_sequence(config: ViTConfig) -> None:
    if config.pos_embed in ("sincos2d", "rope"):
        raise ValueError(
            f"`pos_embed`={config.pos_embed!r} needs rows and columns, which a "
            "sequence of patches does not have; use 'learned', 'sincos' or 'none'."
        )
    if config.pos_bias != "none":
        raise ValueError(
            f"`pos_bias`={config.pos_bias!r} needs rows and columns, which a "
            "sequence of patches does not have; use 'none'."
        )


def _check_tokens(config: ViTConfig) -> None:
    if config.pool == "token" and not config.has_class_token:
        raise ValueError(
            "`pool='token'` reads the class token, and `class_token=False` leaves it "
            "out; use `class_token=None`, or `pool='mean'`."
        )
    num_kept = num_kept_patches(config.num_patches, config.patch_drop_rate)
    if config.locality and config.num_prefix_tokens + num_kept < 2:
        raise ValueError(
            "`locality=True` lets no token look at itself, and there is only one, of "
            f"{config.num_patches} patches with `patch_drop_rate`="
            f"{config.patch_drop_rate}; use smaller patches, leave out fewer, or use "
            "`locality=False`."
        )
