"""What a network misses: patches covered, one by one."""

import torch

from skvit._training import batch_size_for
from skvit.inspection._grid import finish
from skvit.inspection._network import class_codes, open_network


def cover(images, shown, config):
    """Cover patches with the training images' mean, which is zero here.

    Parameters
    ----------
    images : Tensor of shape (batch, channels, height, width) or \
            (batch, num_patches, patch_dim)
        Normalised images or sequences of patches.
    shown : Tensor of shape (batch, num_patches)
        False where a patch is covered.
    config : ViTConfig
        How the patches lie.

    Returns
    -------
    Tensor
        Of the shape of `images`.
    """
    if config.patch_embed == "sequence":
        return images * shown[:, :, None]
    height, width = config.image_size
    rows, columns = config.patch_size
    pixels = shown.unflatten(1, config.grid).repeat_interleave(rows, 1)
    pixels = pixels.repeat_interleave(columns, 2)[:, None, :height, :width]
    return images * pixels


def occlusion_map(clf, X, target=None, *, upsample=False):
    """Return how much a class loses when a patch is covered.

    Needs nothing but predictions, so that it is the reference for maps that are read
    from the network's inside.

    Parameters
    ----------
    clf : ViTClassifier
        The fitted estimator, which is left as it is.
    X : array-like
        Images in any form that the estimator accepts.
    target : label or array-like of shape (n_samples,) or None, default=None
        Class that loses, one for all images or one for each. None is each image's
        predicted class.
    upsample : bool, default=False
        Whether each pixel gets its patch's value.

    Returns
    -------
    ndarray of shape (n_samples, n_rows, n_columns)
        Fall of the class's log-probability; below zero where covering a patch helps
        the class. With `upsample=True` of shape (n_samples, height, width).

    Raises
    ------
    ValueError
        If `target` is not known from training, or pixels are asked for where the
        patches were cut before.
    TypeError
        If `clf` is no estimator of this package.
    NotFittedError
        If `clf` is not fitted.

    See Also
    --------
    attention_relevance : A map by one backward pass instead of many predictions.

    Notes
    -----
    A covered patch has the channel means of the training images; with
    `ImageOptions(normalize=False)` it has zeros. One prediction for each patch is
    needed, of each image.

    References
    ----------
    .. [1] M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional
       Networks", ECCV 2014, arXiv:1311.2901.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import occlusion_map
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=1).fit(X[:100], y[:100])
    >>> occlusion_map(clf, X[:5]).shape
    (5, 4, 4)
    """
    network = open_network(clf, X, need_pixels=upsample)
    config = network.config
    codes = class_codes(clf, target, len(network.data))
    size = batch_size_for(network.module, network.data.device)

    def compute(part):
        images, chosen, whole = start_of(network, part, codes)
        shown = ~torch.eye(config.num_patches, dtype=torch.bool, device=images.device)
        falls = [
            whole[:, None] - _scores(network, images, chosen, some)
            for some in shown.split(max(1, size // len(images)))
        ]
        return torch.cat(falls, dim=1)  # (B, num_patches)

    return finish(network.over_batches(compute), config, upsample)


def start_of(network, part, codes):
    """Return images, their classes and the log-probabilities of these."""
    with torch.inference_mode():
        images = network.data.inputs(part)
        logits, _ = network.forward(images)
        chosen = network.targets(codes, part, logits)
        scores = logits.log_softmax(1).gather(1, chosen[:, None])[:, 0]
    return images, chosen, scores


def _scores(network, images, chosen, shown):
    """Return log-probabilities of each image under each cover, (batch, covers)."""
    n_covers = len(shown)
    covered = cover(
        images.repeat_interleave(n_covers, 0),
        shown.repeat(len(images), 1),
        network.config,
    )
    scores = network.log_probabilities(covered, chosen.repeat_interleave(n_covers))
    return scores.unflatten(0, (len(images), n_covers))
