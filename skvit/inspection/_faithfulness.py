"""How far a map can be trusted: predictions while its patches come and go."""

import numpy as np
import torch
from sklearn.utils import Bunch, check_random_state

from skvit.inspection._grid import to_patches
from skvit.inspection._network import check_count, class_codes, open_network
from skvit.inspection._occlusion import cover, start_of


def deletion_insertion_curve(
    clf, X, maps, *, target=None, n_steps=16, n_random=3, random_state=None
):
    """Measure how faithful maps are to a fitted classifier.

    Patches are covered in the order of their value, the highest first (deletion), or
    uncovered on a covered image (insertion) [1]_. If the map is right, the class's
    probability falls soon in the first case and rises soon in the second: sooner than
    in a random order, which is measured beside.

    Parameters
    ----------
    clf : ViTClassifier
        The fitted estimator, which is left as it is.
    X : array-like
        Images in any form that the estimator accepts.
    maps : array-like of shape (n_samples, n_rows, n_columns) or \
            (n_samples, height, width)
        One map for each image: of patches, or of pixels, which are averaged by patch.
    target : label or array-like of shape (n_samples,) or None, default=None
        Class whose probability is measured, one for all images or one for each. None
        is each image's predicted class.
    n_steps : int, default=16
        Number of steps from the first patch to the last; at most the number of
        patches.
    n_random : int, default=3
        Number of random orders that the baseline averages.
    random_state : int, RandomState instance or None, default=None
        Seed of the random orders.

    Returns
    -------
    sklearn.utils.Bunch
        Dictionary-like object with

        fraction : ndarray of shape (n_steps + 1,)
            Share of the patches covered (deletion) or shown (insertion).
        deletion, insertion : ndarray of shape (n_samples, n_steps + 1)
            The class's probability.
        random : ndarray of shape (n_samples, n_steps + 1)
            The same under random orders, averaged, by the share covered. Read from
            right to left it is the baseline of the insertion.
        deletion_auc, insertion_auc, random_auc : float
            Areas under the curves, averaged over the images. A faithful map has
            `deletion_auc` below and `insertion_auc` above `random_auc`.

    Raises
    ------
    ValueError
        If `maps` have another shape or are not finite, `target` is unknown, or a
        number of steps or orders is below one.
    TypeError
        If `clf` is no estimator of this package, or a number of steps or orders no
        integer.
    NotFittedError
        If `clf` is not fitted.

    See Also
    --------
    occlusion_map : A map that is faithful one patch at a time.

    Notes
    -----
    A covered patch has the channel means of the training images, as in
    :func:`occlusion_map`. Patches of equal value go in the order of the grid.

    References
    ----------
    .. [1] V. Petsiuk, A. Das, K. Saenko, "RISE: Randomized Input Sampling for
       Explanation of Black-box Models", BMVC 2018, arXiv:1806.07421.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import deletion_insertion_curve, occlusion_map
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=5, random_state=0)
    >>> clf = clf.fit(X[:500], y[:500])
    >>> maps = occlusion_map(clf, X[-50:])
    >>> curves = deletion_insertion_curve(clf, X[-50:], maps, random_state=0)
    >>> curves.deletion_auc < curves.random_auc < curves.insertion_auc
    True
    """
    check_count("n_steps", n_steps)
    check_count("n_random", n_random)
    network = open_network(clf, X)
    config = network.config
    n_samples = len(network.data)
    values = to_patches(maps, config, n_samples)
    codes = class_codes(clf, target, n_samples)
    orders = _orders(values, n_random, check_random_state(random_state))
    n_steps = min(n_steps, config.num_patches)
    counts = np.linspace(0, config.num_patches, n_steps + 1).round().astype(int)
    # To show some patches first is to cover all but these.
    covered = [counts, config.num_patches - counts, *(counts for _ in orders[2:])]

    def compute(part):
        images, chosen, _ = start_of(network, part, codes)
        curves = [
            _follow(network, images, chosen, torch.from_numpy(ranks[part]), numbers)
            for ranks, numbers in zip(orders, covered, strict=True)
        ]
        return torch.stack(curves, dim=1)  # (B, orders, steps + 1)

    curves = network.over_batches(compute)
    fraction = counts / config.num_patches
    named = {
        "deletion": curves[:, 0],
        "insertion": curves[:, 1],
        "random": curves[:, 2:].mean(axis=1),
    }
    areas = {f"{name}_auc": area(fraction, named[name]) for name in named}
    return Bunch(fraction=fraction, **named, **areas)


def area(x, curves):
    """Return the area under curves over `x`, by trapezoids, averaged."""
    heights = (curves[:, 1:] + curves[:, :-1]) / 2
    return float((heights * np.diff(x)).sum(axis=1).mean())


def _orders(values, n_random, rng):
    """Return when each patch is covered: highest first, lowest first, at random."""
    covered_last = np.argsort(-values, axis=1, kind="stable")[:, ::-1]
    randoms = [rng.random_sample(values.shape).argsort(axis=1) for _ in range(n_random)]
    sequences = [covered_last[:, ::-1], covered_last, *randoms]
    return [np.argsort(sequence, axis=1) for sequence in sequences]


def _follow(network, images, chosen, ranks, counts):
    """Return probabilities while patches are covered rank by rank, (batch, steps)."""
    ranks = ranks.to(images.device)
    scores = [
        network.log_probabilities(
            cover(images, ranks >= int(count), network.config), chosen
        )
        for count in counts
    ]
    return torch.stack(scores, dim=1).exp()
