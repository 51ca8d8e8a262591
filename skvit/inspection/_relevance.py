"""What speaks for a class: attention weighted by the class's gradient."""

import torch

from skvit.inspection._grid import finish
from skvit.inspection._network import (
    class_codes,
    layer_names,
    open_network,
    pooling_weights,
)
from skvit.inspection._window import share_out


def attention_relevance(clf, X, target=None, *, upsample=False):
    """Return how much each patch speaks for a class, by attention and its gradient.

    A layer's relevance is the positive part of attention times gradient of the
    class's logit, averaged over the heads; it is propagated through the layers, the
    residual connections included [1]_.

    Parameters
    ----------
    clf : ViTClassifier
        The fitted estimator, which is left as it is.
    X : array-like
        Images in any form that the estimator accepts.
    target : label or array-like of shape (n_samples,) or None, default=None
        Class to speak for, one for all images or one for each. None is each image's
        predicted class.
    upsample : bool, default=False
        Whether each pixel gets its patch's value.

    Returns
    -------
    ndarray of shape (n_samples, n_rows, n_columns)
        Relevance of each patch, zero or more; comparable within an image. With
        `upsample=True` of shape (n_samples, height, width).

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
    occlusion_map : The same without looking into the network.

    Notes
    -----
    The propagation begins at what stands for the image: the class token, the patches
    in equal parts with `pool="mean"`, or the weights of `pool="map"` and "seqpool",
    which are attention themselves and are weighted by their gradient like a layer's.
    Where the patch embedding overlaps, relevance is shared out as by
    :func:`attention_rollout`.

    References
    ----------
    .. [1] H. Chefer, S. Gur, L. Wolf, "Generic Attention-model Explainability for
       Interpreting Bi-Modal and Encoder-Decoder Transformers", ICCV 2021,
       arXiv:2103.15679.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import attention_relevance
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=1).fit(X[:100], y[:100])
    >>> attention_relevance(clf, X[:5], target=3).shape
    (5, 4, 4)
    """
    network = open_network(clf, X, need_pixels=upsample)
    config = network.config
    codes = class_codes(clf, target, len(network.data))

    def compute(part):
        with torch.inference_mode(False), torch.enable_grad():
            names, attention, gradients = _differentiate(network, part, codes)
        weighted = {
            name: (a.detach() * g).clamp(min=0)
            for name, a, g in zip(names, attention, gradients, strict=True)
        }
        rows = pooling_weights(config, weighted, attention[0].detach())[:, None]
        for name in reversed(layer_names(range(config.depth))):
            rows = rows + rows @ weighted[name].mean(1)
        return share_out(rows[:, 0, config.num_prefix_tokens :], network.module)

    # The graph of a layer holds about four times what a forward pass through it does.
    relevance = network.over_batches(compute, n_graphs=4 * config.depth)
    return finish(relevance, config, upsample)


def _differentiate(network, part, codes):
    """Return names, attention and gradients of the logits asked for."""
    images = network.data.inputs(part).requires_grad_()
    logits, record = network.forward(images, "block*/attention", "pool/attention")
    chosen = logits.gather(1, network.targets(codes, part, logits)[:, None])
    # Images do not mix, so that the sum's gradient holds each image's own.
    gradients = torch.autograd.grad(chosen.sum(), list(record.values()))
    return list(record), list(record.values()), gradients
