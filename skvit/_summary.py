"""What a fitted estimator has become, told without computing anything."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skvit._images import ImageSpec, grid_shape
from skvit._options import Architecture, Recipe

if TYPE_CHECKING:
    from skvit.nn import ViTConfig

# Attributes that the facts and settings above them tell of already.
_TOLD = {"image_spec_", "recipe_"}


class Shown(str):
    """Text that scikit-learn's table of attributes shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text."""
        return str(self)


def count_parameters(config: "ViTConfig", weights: dict) -> int:
    """Return the number of learned numbers; fixed tables of positions are none."""
    fixed = {"rotation.table"}
    if config.pos_embed != "learned":
        fixed.add("pos_embed.table")
    return sum(value.size for name, value in weights.items() if name not in fixed)


def count_flops(config: "ViTConfig") -> int:
    """Return the floating-point operations of one image's way through the network.

    A multiplication and an addition count as two, as usual; sums, activations, norms
    and softmax, which are a small part, are left out, and so is the bias of attention,
    which all images of a batch share.
    """
    products = (
        _embedding_products(config)
        + config.depth * _block_products(config)
        + _pooling_products(config)
        + _head_products(config)
    )
    return 2 * products


def _embedding_products(config):
    """Return the multiplications of the patch embedding."""
    if config.patch_embed != "overlap":
        return config.num_patches * config.patch_dim * config.embed_dim
    height, width = config.image_size
    first_width = config.stem_width if config.stem_convs == 2 else config.embed_dim
    products = height * width * 9 * config.in_channels * first_width
    if config.stem_convs == 2:
        strides = _first_strides(config)
        height, width = grid_shape(config.image_size, strides, strides)
        products += height * width * 9 * config.stem_width * config.embed_dim
    return products


def _first_strides(config):
    """Return the strides of the tokenizer's first pool, down and right."""
    from skvit.nn._patch_embed import pool_strides

    return [pool_strides(size, config.stem_convs)[0] for size in config.patch_size]


def _mlp_products(config):
    """Return the multiplications of a feed-forward part for one token."""
    matrices = 3 if config.activation == "swiglu" else 2
    return matrices * config.embed_dim * config.mlp_width


def _block_products(config):
    """Return the multiplications of one block."""
    tokens, width = config.num_tokens, config.embed_dim
    attention = 4 * tokens * width**2 + 2 * tokens**2 * width
    return attention + tokens * _mlp_products(config)


def _pooling_products(config):
    """Return the multiplications of the pooling."""
    patches, width = config.num_patches, config.embed_dim
    if config.pool == "seqpool":
        return 2 * patches * width
    if config.pool == "map":
        projections = 2 * patches * width**2 + 2 * width**2
        return projections + 2 * patches * width + _mlp_products(config)
    return 0


def _head_products(config):
    """Return the multiplications of the head."""
    width, hidden = config.embed_dim, config.head_hidden
    if hidden is None:
        return width * config.num_outputs
    return width * hidden + hidden * config.num_outputs


def describe(estimator) -> dict[str, str]:
    """Return the facts about a fitted estimator, by name.

    Nothing is built and no device is asked for: the device and the precision are
    those of the live network, or the parameters where there is none.
    """
    config = estimator._config
    device, precision = _place(estimator)
    facts = {
        "input": _describe_input(estimator.image_spec_),
        "patches": _describe_patches(config),
        "tokens": str(config.num_tokens),
        "parameters": f"{count_parameters(config, estimator._weights):,}",
        "FLOPs per image": f"{count_flops(config):.3g}",
        "device": device,
        "precision": precision,
    }
    seconds = estimator.history_["seconds"].sum()
    return facts | {"epochs": str(estimator.n_epochs_), "time": f"{seconds:.1f} s"}


def _describe_input(spec: ImageSpec) -> str:
    """Return the size of one sample in words."""
    if spec.kind == "sequence":
        return f"{spec.height} patches of {spec.width} values"
    if spec.kind == "table":
        return f"rows of {spec.width} columns"
    plural = "" if spec.channels == 1 else "s"
    return f"{spec.height} x {spec.width} pixels, {spec.channels} channel{plural}"


def _describe_patches(config: "ViTConfig") -> str:
    """Return number and size of the patches in words."""
    if config.patch_embed == "sequence":
        return f"{config.num_patches} of {config.patch_dim} values"
    (rows, columns), (height, width) = config.grid, config.patch_size
    return f"{rows} x {columns} of {height} x {width} pixels"


def _place(estimator) -> tuple[str, str]:
    """Return device and precision in words."""
    from skvit._training import resolve_precision

    device = estimator._runtime.device
    if device is None:
        return f"{estimator.device}, not in use yet", str(estimator.precision)
    precision = resolve_precision(estimator.precision, device, estimator._config)
    return str(device), precision


def resolved_settings(estimator) -> dict[str, object]:
    """Return what each "auto" became, by name of the parameter."""
    params = estimator.get_params(deep=False)
    for group, default in (("architecture", Architecture()), ("recipe", Recipe())):
        params |= (getattr(estimator, group) or default).get_params()
    return {
        name: value
        for name, value in vars(estimator.recipe_).items()
        if isinstance(params.get(name), str) and params[name] == "auto"
    }


def summarize(estimator) -> str:
    """Return facts and resolved settings as text, one to a line."""
    lines = [type(estimator).__name__, *_table(describe(estimator))]
    settings = resolved_settings(estimator)
    if settings:
        lines += ['resolved from "auto"', *_table(settings)]
    return "\n".join(lines)


def _table(rows: dict) -> list[str]:
    """Return names and values in two columns."""
    return [f"  {name:16} {value}" for name, value in rows.items()]


def attributes_table(estimator) -> dict[str, dict]:
    """Return facts, settings and stored attributes as scikit-learn lists them.

    Attributes that are computed when asked for (the module, the net, the device) are
    not among them.
    """
    rows: dict[str, object] = {
        name: Shown(text) for name, text in describe(estimator).items()
    }
    for name, value in resolved_settings(estimator).items():
        rows[f"{name}, auto"] = Shown(value) if isinstance(value, str) else value
    for name in sorted(vars(estimator)):
        if name.endswith("_") and not name.startswith("_"):
            rows[name] = getattr(estimator, name)
    return {name: _entry(value) for name, value in rows.items() if name not in _TOLD}


def _entry(value) -> dict:
    """Return type and value of an attribute, and what else is shown of an array."""
    if isinstance(value, Shown):
        return {"type_name": "", "value": value}
    entry = {"type_name": type(value).__name__, "value": value}
    if isinstance(value, pd.DataFrame):
        return entry | {"value": Shown(f"{len(value)} x {value.shape[1]}")}
    if isinstance(value, np.ndarray):
        return entry | {"shape": value.shape, "dtype": value.dtype}
    return entry
