"""From an estimator's parameters to what its network and its training are told."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from skvit._options import OptionGroup
from skvit._recipe import averaging_start, dropping_epochs
from skvit._training import Augmentation, TrainingPlan
from skvit.nn import ViTConfig

_SIZES = ("embed_dim", "depth", "num_heads")  # chosen by the number of images too
_PARTIAL_WARMUP = 20  # updates, at most an epoch of the first call


def plain_parameters(draft, run):
    """Return a draft's parameters, checked, in numbers of Python alone.

    A network that goes on keeps its size, whatever number of images it sees next.
    """
    given = vars(draft) | draft._options()
    params = {name: _to_python(value) for name, value in given.items()}
    if run.go_on:
        kept = {name: getattr(draft.recipe_, name) for name in _SIZES}
        params |= {name: size for name, size in kept.items() if params[name] == "auto"}
    return SimpleNamespace(**params)


def _to_python(value):
    """Return a number of NumPy, which may overflow, as Python's; also in options."""
    if isinstance(value, OptionGroup):
        options = value.get_params(deep=False)
        return type(value)(**{k: _to_python(option) for k, option in options.items()})
    return value.item() if isinstance(value, np.generic) else value


def network_config(recipe, architecture, spec, n_outputs):
    """Return the network's configuration for one kind of image.

    Parameters
    ----------
    recipe : ResolvedRecipe
        Resolved settings.
    architecture : Architecture
        The switches that are never "auto".
    spec : ImageSpec
        What one image is.
    n_outputs : int
        Number of outputs.

    Returns
    -------
    ViTConfig
        Checked configuration.
    """
    is_sequence = spec.kind == "sequence"
    return ViTConfig(
        image_size=(spec.height, spec.width),
        patch_size=recipe.patch_size,
        in_channels=spec.channels,
        num_outputs=n_outputs,
        embed_dim=recipe.embed_dim,
        depth=recipe.depth,
        num_heads=recipe.num_heads,
        mlp_ratio=recipe.mlp_ratio,
        patch_embed=recipe.patch_embed,
        sequence_shape=(spec.height, spec.width) if is_sequence else None,
        pos_embed=recipe.pos_embed,
        pos_bias=recipe.pos_bias,
        pos_embed_token=architecture.pos_embed_token,
        pool=recipe.pool,
        class_token=architecture.class_token,
        num_register_tokens=architecture.num_register_tokens,
        qkv_bias=architecture.qkv_bias,
        norm_eps=architecture.norm_eps,
        activation=architecture.activation,
        qk_norm=architecture.qk_norm,
        locality=architecture.locality,
        layer_scale=architecture.layer_scale,
        drop_rate=architecture.drop_rate,
        attn_drop_rate=architecture.attn_drop_rate,
        drop_path_rate=recipe.drop_path_rate,
        patch_drop_rate=recipe.patch_drop_rate,
        stem_width=recipe.stem_width,
        stem_convs=architecture.stem_convs,
        norm_after_pool=architecture.norm_after_pool,
        patch_norm_before=architecture.patch_norm in {"before", "both"},
        patch_norm_after=architecture.patch_norm in {"after", "both"},
        head_hidden=architecture.head_hidden,
        head_activation=architecture.head_activation,
        init=recipe.init,
    )


def check_goes_on(new, old):
    """Raise where a network cannot go on as another; it may see more or fewer patches.

    Raises
    ------
    ValueError
        If another setting differs; names the first, with both values.
    """
    for name, value in vars(replace(new, patch_drop_rate=old.patch_drop_rate)).items():
        before = getattr(old, name)
        if value != before:
            raise ValueError(
                "The network cannot be trained further with other settings than it was "
                f"built with: `{name}` is {value!r}, but was {before!r}. Restore them, "
                "or fit a clone."
            )


def training_plan(recipe, options, run, n_samples, n_outputs, precision, compile_it):
    """Return what a training run is told.

    Parameters
    ----------
    recipe : ResolvedRecipe
        Resolved settings.
    options : Recipe
        The settings of training that are never "auto".
    run : Run
        How this call trains.
    n_samples, n_outputs : int
        Size of the data and number of classes.
    precision : str
        Type of the matrix products.
    compile_it : bool
        Whether to compile the network.

    Returns
    -------
    TrainingPlan
        Numbers only.
    """
    updates = recipe.max_epochs * math.ceil(n_samples / recipe.batch_size)
    warmup = math.ceil(options.warmup * updates)
    return TrainingPlan(
        max_epochs=1 if run.partial else recipe.max_epochs,
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup=min(warmup, _PARTIAL_WARMUP) if run.partial else warmup,
        total_updates=None if run.partial else updates,
        final_rate=options.final_rate,
        clip_norm=options.clip_norm,
        label_smoothing=recipe.label_smoothing,
        averaging=None if run.partial else recipe.averaging,
        averaging_start=averaging_start(updates),
        dropping_epochs=_dropping_epochs(recipe, run),
        augmentation=None if recipe.augment is None else Augmentation(**recipe.augment),
        precision=precision,
        compile=compile_it,
        n_classes=n_outputs,
    )


def _dropping_epochs(recipe, run):
    """Return how many epochs leave patches out; None if all do, or none."""
    is_same = run.partial or not recipe.patch_drop_rate
    return None if is_same else dropping_epochs(recipe.max_epochs)
