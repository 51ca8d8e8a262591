"""Where a network looks: attention, layer by layer and through all of them."""

from collections.abc import Callable
from numbers import Real

import torch

from skvit.inspection._grid import finish
from skvit.inspection._network import (
    check_indices,
    layer_names,
    open_network,
    pooling_weights,
)
from skvit.inspection._window import share_out

_FUSIONS: dict[str, Callable[..., torch.Tensor]] = {
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
}


def attention_maps(clf, X, *, layers=None, heads=None, queries=None, upsample=False):
    """Return the attention weights of a fitted classifier.

    Parameters
    ----------
    clf : ViTClassifier
        The fitted estimator, which is left as it is.
    X : array-like
        Images in any form that the estimator accepts.
    layers : int or array-like of int or None, default=None
        Numbers of the layers, from 0; negative ones count from the last, None are all.
    heads : int or array-like of int or None, default=None
        Numbers of the heads, likewise.
    queries : int or array-like of int or "pool" or None, default=None
        Tokens whose view is returned, likewise. "pool" is the view of what stands for
        the image: the class token's, or the mean over the patches with the weights
        that the pooling gives them.
    upsample : bool, default=False
        Whether the last axis, where is looked at, becomes the image's height and
        width: each pixel has its patch's weight, and tokens that stand for no patch
        are left out.

    Returns
    -------
    ndarray of shape (n_samples, n_layers, n_heads, n_queries, n_tokens)
        Weights; each row, along the last axis, sums to one. The tokens are the class
        token, if there is one, the register tokens, then the patches row by row. With
        `queries="pool"` there is no axis of queries, and with `upsample=True` the
        last axis is replaced by two, (height, width).

    Raises
    ------
    ValueError
        If layers, heads or queries are out of range, or pixels are asked for where
        the patches were cut before.
    TypeError
        If `clf` is no estimator of this package, or a number no integer.
    NotFittedError
        If `clf` is not fitted.

    See Also
    --------
    attention_rollout : Attention followed through all layers.

    Notes
    -----
    The weights are computed one by one in the precision of the parameters, whichever
    faster path predictions take. Only what was asked for is kept, a batch of images
    at a time. Predictions averaged over shifted views (`Recipe(test_views=5)`) are
    explained by the image as it is.

    On NVIDIA's accelerators PyTorch rounds what convolutions multiply to TF32, so that
    with the patch embedding "overlap" maps can stray by about a thousandth of what a
    CPU gives; ``torch.backends.cudnn.conv.fp32_precision = "ieee"`` ends that.

    Weights are those of tokens. With the overlapping patch embeddings "overlap" and
    "shifted" a token has seen pixels around its patch too, so that its weight need not
    be its patch's; :func:`attention_rollout` takes account of that.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021,
       arXiv:2010.11929.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import attention_maps
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, pool="token", max_epochs=1).fit(X[:100], y[:100])
    >>> attention_maps(clf, X[:5], layers=-1).shape  # 1 class token, 16 patches
    (5, 1, 8, 17, 17)
    >>> attention_maps(clf, X[:5], queries="pool", upsample=True).shape
    (5, 2, 8, 8, 8)
    """
    network = open_network(clf, X, need_pixels=upsample)
    config = network.config
    layers = check_indices("layers", layers, config.depth)
    heads = check_indices("heads", heads, config.num_heads)
    tokens = check_queries(queries, config)

    def compute(part):
        record = network.watch(part, *layer_names(layers), "pool/attention")
        views = [record[name][:, heads] for name in layer_names(layers)]
        maps = torch.stack(views, dim=1)  # (B, layers, heads, T, T)
        if tokens is not None:
            return maps[:, :, :, tokens]
        weights = pooling_weights(config, record, maps)
        return (weights[:, None, None, None] @ maps)[:, :, :, 0]

    maps = network.over_batches(compute, n_maps=2 * len(layers))
    if not upsample:
        return maps
    return finish(maps[..., config.num_prefix_tokens :], config, upsample)


def attention_rollout(
    clf, X, *, head_fusion="mean", discard_ratio=0.0, queries="pool", upsample=False
):
    """Follow the attention of a fitted classifier through all its layers.

    Each layer's heads are fused to one matrix; the residual connection is an identity
    added to it; rows are brought back to a sum of one; and the matrices are
    multiplied [1]_.

    Parameters
    ----------
    clf : ViTClassifier
        The fitted estimator, which is left as it is.
    X : array-like
        Images in any form that the estimator accepts.
    head_fusion : {"mean", "max", "min"}, default="mean"
        What a layer's heads are fused by, weight by weight.
    discard_ratio : float, default=0.0
        Fraction of a layer's fused weights, the smallest of each image, that are set
        to zero. Weights equal to the smallest of the others are kept too, so that no
        place in the image is favoured.
    queries : int or array-like of int or "pool" or None, default="pool"
        Whose view is returned. "pool" is what stands for the image: the class token,
        or the patches with the weights that the pooling gives them. None are all
        tokens.
    upsample : bool, default=False
        Whether each pixel gets its patch's value.

    Returns
    -------
    ndarray of shape (n_samples, n_rows, n_columns)
        How much each patch has flowed into what stands for the image. The sum is one,
        less what stays with class and register tokens. With `upsample=True` of shape
        (n_samples, height, width). With other `queries` of shape (n_samples,
        n_queries, n_tokens), all tokens included, each row with a sum of one; with
        `upsample=True` too of shape (n_samples, n_queries, height, width).

    Raises
    ------
    ValueError
        If `head_fusion` or `discard_ratio` is none of the above, queries are out of
        range, or pixels are asked for where the patches were cut before.
    TypeError
        If `clf` is no estimator of this package, `discard_ratio` no number, or a
        number of a token no integer.
    NotFittedError
        If `clf` is not fitted.

    See Also
    --------
    attention_relevance : The same for one class.

    Notes
    -----
    Rollout tells where information may have come from, not what for: it is the same
    for every class. :func:`deletion_insertion_curve` measures how far to trust it.

    With the overlapping patch embeddings "overlap" and "shifted" a token sees pixels
    around its own patch as well. Its value is shared out among the patches that it
    sees, in proportion to the number of ways from them through the embedding.

    References
    ----------
    .. [1] S. Abnar, W. Zuidema, "Quantifying Attention Flow in Transformers",
       ACL 2020, arXiv:2005.00928.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import attention_rollout
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=1, random_state=0)
    >>> clf = clf.fit(X[:100], y[:100])
    >>> maps = attention_rollout(clf, X[:5])
    >>> maps.shape
    (5, 4, 4)
    >>> maps.sum(axis=(1, 2)).round(3)
    array([1., 1., 1., 1., 1.], dtype=float32)
    """
    _check_rollout(head_fusion, discard_ratio)
    network = open_network(clf, X, need_pixels=upsample)
    config = network.config
    tokens = check_queries(queries, config)
    of_patches = tokens is None or upsample

    def compute(part):
        record = network.watch(part, "block*/attention", "pool/attention")
        names = layer_names(range(config.depth))
        rows = first_rows(config, record, record[names[0]], tokens)
        for name in reversed(names):
            rows = rows @ _step(record[name], head_fusion, discard_ratio)
        rows = rows[:, 0] if tokens is None else rows
        if not of_patches:
            return rows
        return share_out(rows[..., config.num_prefix_tokens :], network.module)

    rows = network.over_batches(compute, n_maps=2 * config.depth)
    return finish(rows, config, upsample) if of_patches else rows


def check_queries(queries, config):
    """Return the tokens asked for, None for what stands for the image.

    Raises
    ------
    ValueError
        If it is another word than "pool", or a number out of range.
    """
    if not isinstance(queries, str):
        return check_indices("queries", queries, config.num_tokens)
    if queries != "pool":
        raise ValueError(
            f"`queries`={queries!r} must be 'pool', numbers of tokens, or None."
        )
    return None


def first_rows(config, record, like, tokens):
    """Return what the last layer is multiplied by, (batch, queries, tokens)."""
    if tokens is None:
        return pooling_weights(config, record, like)[:, None]
    return torch.eye(config.num_tokens).to(like)[tokens].expand(len(like), -1, -1)


def _check_rollout(head_fusion, discard_ratio):
    """Raise where an option of the rollout is not one that it has."""
    if head_fusion not in list(_FUSIONS):  # a list compares what cannot be hashed too
        raise ValueError(
            f"`head_fusion`={head_fusion!r} must be one of {sorted(_FUSIONS)}."
        )
    if not isinstance(discard_ratio, Real):
        raise TypeError(f"`discard_ratio` must be a number, got {discard_ratio!r}.")
    if not 0 <= float(discard_ratio) < 1:
        raise ValueError(
            "`discard_ratio` is a fraction from 0 up to, but without, 1; got "
            f"{discard_ratio!r}."
        )


def _step(attention, head_fusion, discard_ratio):
    """Return one layer's flow, residual included: (B, T, T), rows of sum one."""
    fused = _FUSIONS[head_fusion](attention, dim=1)
    n_weights = fused[0].numel()
    n_kept = n_weights - int(discard_ratio * n_weights)
    if n_kept < n_weights:
        # Finding the largest weights takes a sixth of the time of sorting all of them.
        kept = fused.flatten(1).topk(n_kept, sorted=False).values
        fused = fused.where(fused >= kept.amin(1)[:, None, None], 0.0)
    flow = fused + torch.eye(fused.shape[-1]).to(fused)
    return flow / flow.sum(dim=-1, keepdim=True)
