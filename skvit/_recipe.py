"""Resolve every "auto" from the data: pure rules, written as tables of steps."""

import math
from dataclasses import asdict, dataclass, replace

import pandas as pd

from skvit._images import ImageSpec, grid_shape, resolve_patch_size

# Rules in the number of images are steps, and there is none below 100 images: adding
# a few rows to a small data set, or weighting them instead, changes no setting.
# (from this many images on, value)
_FEW = (0, 40), (100, 80), (300, 40)
_EPOCHS = *_FEW, (1_000, 28), (4_000, 30), (15_000, 27), (40_000, 18)
_THOUSANDS_OF_SMALL = (1_000, 45), (4_000, 24), (15_000, 16)
_EPOCHS_OF_TABLES = (0, 40), (100, 80), *_THOUSANDS_OF_SMALL
_EPOCHS_OF_SMALL = (0, 40), (100, 160), (300, 80), *_THOUSANDS_OF_SMALL
_EPOCHS_OF_WIDE = *_FEW, (4_000, 45), (15_000, 30), (40_000, 21)
_BATCH_SIZE = ((0, 64), (15_000, 128), (100_000, 256))
_BATCH_SIZE_OF_SMALL = ((0, 64), (1_000, 128), (100_000, 256))
_LARGE = 40_000  # images, from which on an accelerator has time for more
_EPOCHS_OF_LARGE, _BATCH_SIZE_OF_LARGE, _RATE_FACTOR_OF_LARGE = 50, 512, 1.5
_EXTRA_DEPTH = ((0, 0), (40_000, 2))
_WIDTH_FACTOR = ((0, 1.0), (40_000, 1.5))
_SMALL = 24 * 24  # values per image, below which images are small
# (from this many values per image on, value): narrower networks fit photos too slowly
_WIDTH = ((0, 64), (_SMALL, 128))
_WIDE = 48  # pixels, from which patches of 8 make an image cheap for its size
_DEPTH = ((0, 2), (_SMALL, 4))
# (from this many pixels on the shorter side on, patch side): about 8 x 8 patches
_PATCH_SIDE = ((0, 1), (8, 2), (24, 4), (48, 8), (160, 16))
_STEM_WIDTH, _STEM_WIDTH_OF_SMALL = ((0, 32), (160, 16)), 64
# (from this many values per patch on, share of it): attention is left most of the work
_STEM_SHARE = ((0, 1.0), (1_400, 1 / 2), (3_300, 1 / 4), (7_200, 1 / 8))

# An image costs less without some of its patches, and many images are told by the rest.
_PATCH_DROP_RATE = ((0, 0.0), (1_000, 0.5))
_PATCH_DROP_RATE_OF_WIDE = ((0, 0.0), (4_000, 0.5))
_LEAST_PATCHES_TO_DROP = 32
_DROPPING_SHARE = 0.75  # of the epochs, at the beginning

_TABLE_PATCHES = 16  # a table's columns are cut into at most this many patches
_HEAD_DIM = 32
# Each first looks at another place; narrower heads than that tell little apart.
_HEADS_OF_IMAGES, _LEAST_HEAD_DIM_OF_IMAGES = 8, 8
_MOST_PATCHES_WITH_BIAS = 256  # it takes memory by the square of their number
_RATE_AT_WIDTH_64 = 3e-3
_MIN_UPDATES_TO_AVERAGE = 500
_AVERAGED_SHARE = 0.1  # of the updates, at the end
_AVERAGING_DECAY = 0.998

_BASE_RATE = {"adamw": 1.0, "muon": 8 / 3, "sgd": 25.0}  # relative to AdamW's


def step_value(steps, n):
    """Return the value of the last step that begins at or below n."""
    return [value for start, value in steps if n >= start][-1]


@dataclass(frozen=True)
class ResolvedRecipe:
    """Every setting of a fit, with each "auto" replaced by what it became.

    Parameters
    ----------
    patch_size : tuple of int
        Patch height and width in pixels.
    embed_dim, depth, num_heads : int
        Size of the encoder.
    mlp_ratio : float
        Width of the feed-forward layers over that of the tokens.
    patch_embed, pos_embed, pos_bias, pool, init : str
        Forms of the network's parts.
    stem_width : int
        Channels between the stem's convolutions, where there is a stem.
    whiten : bool
        Whether the stem's first filters come from the images.
    drop_path_rate : float
        Stochastic depth of the last block.
    patch_drop_rate : float
        Fraction of the patches left out of a training step.
    max_epochs, batch_size : int
        Length of training and size of a batch.
    optimizer : str
        Update rule.
    learning_rate, weight_decay : float
        Highest rate and decay.
    label_smoothing : float
        Probability mass given to all classes.
    averaging : float or None
        Decay of the average of the weights.
    augment : dict or None
        Strengths of the variations of images.
    """

    patch_size: tuple[int, int]
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    patch_embed: str
    pos_embed: str
    pos_bias: str
    pool: str
    init: str
    stem_width: int
    whiten: bool
    drop_path_rate: float
    patch_drop_rate: float
    max_epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    averaging: float | None
    augment: dict | None

    def to_frame(self):
        """Return the settings as a table of one column.

        Returns
        -------
        DataFrame of shape (n_settings, 1)
            Indexed by the settings' names.
        """
        values = pd.Series(asdict(self), name="value", dtype=object)
        return values.to_frame().rename_axis("setting")

    def __repr__(self):
        """Return the table as text."""
        return "\n".join(f"{name:16} {value}" for name, value in asdict(self).items())

    def _repr_html_(self):
        """Return the table for a notebook."""
        return self.to_frame().to_html()


def resolve_recipe(
    params, spec: ImageSpec, n_samples: int, accelerated: bool = False
) -> ResolvedRecipe:
    """Replace every "auto" among an estimator's parameters.

    Parameters
    ----------
    params : object
        The estimator, or anything with its parameters as attributes.
    spec : ImageSpec
        What one image is.
    n_samples : int
        Number of training images.
    accelerated : bool, default=False
        Whether the network is trained on another device than a CPU.

    Returns
    -------
    ResolvedRecipe
        Settings without an "auto".

    Raises
    ------
    ValueError
        If a parameter asks for what the input cannot have.
    """
    is_image = spec.kind == "image"
    is_large = is_image and accelerated and n_samples >= _LARGE
    architecture, recipe = params.architecture, params.recipe
    patch_size = _resolve_patch_size(params.patch_size, spec)
    n_patches = math.prod(grid_shape((spec.height, spec.width), patch_size, patch_size))
    embed_dim = _resolve_width(params.embed_dim, spec, n_samples)
    patch_drop_rate = _resolve_patch_drop_rate(
        architecture.patch_drop_rate, spec, n_patches, n_samples, is_large
    )
    max_epochs = _resolve_epochs(params.max_epochs, spec, n_samples, is_large)
    batch_size = _resolve_batch_size(params.batch_size, spec, n_samples, is_large)
    updates = max_epochs * math.ceil(n_samples / batch_size)
    optimizer = _auto(params.optimizer, "adamw" if spec.kind == "table" else "muon")
    patch_embed = _resolve_patch_embed(architecture.patch_embed, spec)
    rate = _RATE_AT_WIDTH_64 * 64 / max(embed_dim, 64) * _BASE_RATE[optimizer]
    rate *= _RATE_FACTOR_OF_LARGE if is_large else 1
    return ResolvedRecipe(
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=_resolve_depth(params.depth, spec, n_samples),
        num_heads=_resolve_heads(params, spec, embed_dim),
        mlp_ratio=_auto(params.mlp_ratio, 2.0),
        patch_embed=patch_embed,
        pos_embed=_auto(params.pos_embed, "learned"),
        pos_bias=_resolve_pos_bias(architecture.pos_bias, spec, n_patches),
        pool=_auto(params.pool, "seqpool" if is_image else "mean"),
        init=_resolve_init(architecture.init, spec, patch_embed),
        stem_width=_resolve_stem_width(architecture.stem_width, spec, patch_size),
        whiten=_resolve_whiten(architecture.whiten, patch_embed),
        drop_path_rate=_auto(params.drop_path_rate, 0.0),
        patch_drop_rate=patch_drop_rate,
        max_epochs=max_epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=_auto(params.learning_rate, rate),
        weight_decay=_auto(params.weight_decay, 0.05),
        label_smoothing=_auto(recipe.label_smoothing, 0.1 if is_image else 0.0),
        averaging=_auto(
            recipe.averaging,
            _AVERAGING_DECAY if updates >= _MIN_UPDATES_TO_AVERAGE else None,
        ),
        augment=_resolve_augment(params.augment, spec, n_samples, is_large),
    )


def recipe_of_a_pass(recipe: ResolvedRecipe, architecture) -> ResolvedRecipe:
    """Return the recipe of a single pass, which has no last epochs to show all patches.

    Parameters
    ----------
    recipe : ResolvedRecipe
        That of a fit.
    architecture : Architecture
        As the user gave it.

    Returns
    -------
    ResolvedRecipe
        The same, but "auto" leaves out no patches.
    """
    rate = _auto(architecture.patch_drop_rate, 0.0)
    return replace(recipe, patch_drop_rate=rate)


def is_small(spec):
    """Say whether X holds images so small that they cost little."""
    return spec.kind == "image" and spec.n_features < _SMALL


def averaging_start(total_updates: int) -> int:
    """Return the update from which the weights are averaged."""
    return int((1 - _AVERAGED_SHARE) * total_updates)


def dropping_epochs(max_epochs: int) -> int:
    """Return how many epochs leave patches out, before the last ones show them all."""
    return int(_DROPPING_SHARE * max_epochs)


def _auto(value, resolved):
    """Return what "auto" becomes, or the value that was given instead."""
    return resolved if isinstance(value, str) and value == "auto" else value


def _resolve_width(embed_dim, spec, n_samples):
    """Return the width: by the size of an image, then by the number of images."""
    width = step_value(_WIDTH, spec.n_features if spec.kind == "image" else 0)
    return _auto(embed_dim, int(width * step_value(_WIDTH_FACTOR, n_samples)))


def _resolve_depth(depth, spec, n_samples):
    """Return the number of blocks: by the size of an image, then by their number."""
    blocks = step_value(_DEPTH, spec.n_features)
    return _auto(depth, blocks + step_value(_EXTRA_DEPTH, n_samples))


def _is_wide(spec):
    """Say whether X holds images so large that their patches are."""
    return spec.kind == "image" and min(spec.height, spec.width) >= _WIDE


def _resolve_patch_drop_rate(rate, spec, n_patches, n_samples, is_large):
    """Return the fraction of patches left out: of many images of many patches."""
    steps = _PATCH_DROP_RATE_OF_WIDE if _is_wide(spec) else _PATCH_DROP_RATE
    has_many = n_patches >= _LEAST_PATCHES_TO_DROP and not is_small(spec)
    is_apt = spec.kind == "image" and has_many and not is_large
    return _auto(rate, step_value(steps, n_samples) if is_apt else 0.0)


def _resolve_epochs(max_epochs, spec, n_samples, is_large):
    """Return the number of epochs: more where one costs little for what it shows."""
    if is_large:
        return _auto(max_epochs, _EPOCHS_OF_LARGE)
    return _auto(max_epochs, step_value(_epoch_steps(spec), n_samples))


def _epoch_steps(spec):
    """Return numbers of epochs by numbers of images of a kind."""
    if spec.kind == "table":
        return _EPOCHS_OF_TABLES
    if spec.n_features < _SMALL:
        return _EPOCHS_OF_SMALL
    return _EPOCHS_OF_WIDE if _is_wide(spec) else _EPOCHS


def _resolve_batch_size(batch_size, spec, n_samples, is_large):
    """Return the batch size: a few small images do not keep a processor busy."""
    if is_large:
        return _auto(batch_size, _BATCH_SIZE_OF_LARGE)
    steps = _BATCH_SIZE_OF_SMALL if is_small(spec) else _BATCH_SIZE
    return _auto(batch_size, step_value(steps, n_samples))


def _resolve_heads(params, spec, embed_dim):
    """Return the number of heads: each about 32 wide, but eight of images or more.

    Those of images are 8 wide or more, and those that are turned by rotary positions
    have a width that 4 divides.
    """
    is_image = spec.kind == "image"
    wanted = max(embed_dim / _HEAD_DIM, _HEADS_OF_IMAGES if is_image else 0)
    least = _LEAST_HEAD_DIM_OF_IMAGES if is_image else 1
    unit = 4 if params.pos_embed == "rope" else 1
    fitting = [
        n
        for n in range(1, embed_dim // least + 1)
        if embed_dim % n == 0 and embed_dim // n % unit == 0
    ]
    closest = min(fitting or [1], key=lambda n: abs(math.log(n / wanted)))
    return _auto(params.num_heads, closest)


def _resolve_pos_bias(pos_bias, spec, n_patches):
    """Return whether heads first look at neighbours, which only images have."""
    is_apt = spec.kind == "image" and n_patches <= _MOST_PATCHES_WITH_BIAS
    return _auto(pos_bias, "gaussian" if is_apt else "none")


def _resolve_patch_embed(patch_embed, spec):
    """Return the form of the patch embedding."""
    if spec.kind == "sequence":
        if patch_embed not in {"auto", "linear"}:
            raise ValueError(
                f"`patch_embed`={patch_embed!r} needs images; with "
                "patch_size='precomputed' the patches are already cut, and only "
                "'linear' (or 'auto') can embed them."
            )
        return "sequence"
    return _auto(patch_embed, "overlap" if spec.kind == "image" else "linear")


def _resolve_stem_width(stem_width, spec, patch_size):
    """Return the stem's channels, which leave most of the work to attention."""
    if is_small(spec):
        return _auto(stem_width, _STEM_WIDTH_OF_SMALL)
    width = step_value(_STEM_WIDTH, min(spec.height, spec.width))
    share = step_value(_STEM_SHARE, math.prod(patch_size) * spec.channels)
    return _auto(stem_width, int(width * share))


def _resolve_init(init, spec, patch_embed):
    """Return the scheme of the first weights: larger behind small images' stem."""
    is_apt = is_small(spec) and patch_embed == "overlap"
    return _auto(init, "jax" if is_apt else "trunc_normal")


def _resolve_whiten(whiten, patch_embed):
    """Return whether the stem starts as a whitening; only a stem can."""
    if whiten is True and patch_embed != "overlap":
        raise ValueError(
            "`whiten`=True needs the convolutional stem, patch_embed='overlap'; here "
            f"it is {patch_embed!r}. Use whiten='auto'."
        )
    return _auto(whiten, patch_embed == "overlap")


def _resolve_patch_size(patch_size, spec):
    """Return patch height and width; a sequence has one patch per step."""
    if spec.kind == "sequence":
        return 1, spec.width
    side = step_value(_PATCH_SIDE, min(spec.height, spec.width))
    if spec.kind == "table":
        side = math.ceil(spec.width / _TABLE_PATCHES)
    return resolve_patch_size(_auto(patch_size, side), spec)


def _resolve_augment(augment, spec, n_samples, is_large):
    """Return strengths of augmentation; only images are ever varied by "auto"."""
    if isinstance(augment, str) and augment == "auto":
        augment = _choose_augment(spec, n_samples, is_large)
    if augment is None:
        return None
    if spec.kind != "image":
        raise ValueError(
            f"`augment`={augment!r} varies images, but X is a {spec.kind} of "
            f"{spec.height} x {spec.width} values. Use augment='auto' or None."
        )
    return _PRESETS[augment] if isinstance(augment, str) else augment.get_params()


def _choose_augment(spec, n_samples, is_large):
    """Return the name of a preset: few epochs are best spent on images as they are."""
    if spec.kind != "image" or n_samples < 100:
        return None
    return "light" if is_small(spec) or is_large else "shift"


_PRESETS = {
    "shift": {"shift": 0.1},
    "light": {"shift": 0.1, "rotate": 8.0, "scale": 0.1, "erase": 0.1},
    "photo": {"shift": 0.1, "rotate": 8.0, "scale": 0.1, "erase": 0.2, "flip": True}
    | {"color": 0.3, "operations": 1},
}
