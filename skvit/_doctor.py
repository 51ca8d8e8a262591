"""Say what is wrong with a training or a prediction that looks sound but is not."""

import numpy as np

from skvit._images import LazyImages
from skvit._utils._warn import warn
from skvit.exceptions import TrainingWarning

_MIN_UPDATES = 100  # before that, a loss at chance is nothing unusual
_AT_CHANCE = 0.99  # of the loss of the best constant prediction
_GREW = 1.2  # final loss over the first epoch's and the best constant prediction's
_SCALE = 200  # times larger or smaller than at fit: bytes against fractions
_LOOKED_AT = 1_000  # images whose values are compared
_BYTES_LOOKED_AT = 2**24  # of images that have to be read for it
_MIN_IMAGES_TO_BE_DARK = 10  # fewer may all be dark by chance
_MIN_TOKENS = 9  # with fewer there is little for attention to compare
_MIN_IMAGES_FOR_TOKENS = 200


def chance_loss(target, weight, n_classes, label_smoothing):
    """Return the cross-entropy of the best prediction that ignores the images.

    Parameters
    ----------
    target : ndarray of shape (n_samples,)
        Class indices.
    weight : ndarray of shape (n_samples,) or None
        Weights.
    n_classes : int
        Number of classes.
    label_smoothing : float
        Probability mass given to all classes.

    Returns
    -------
    float
        Entropy of the smoothed frequencies of the classes, in nats.
    """
    counts = np.bincount(target, weight, minlength=n_classes)
    smooth = (1 - label_smoothing) * counts / counts.sum() + label_smoothing / n_classes
    present = smooth[smooth > 0]
    return float(-(present * np.log(present)).sum())


def check_training(losses, chance, n_updates, learning_rate):
    """Warn where a training has learned nothing; return whether it did so.

    Parameters
    ----------
    losses : list of float
        Mean loss of each epoch.
    chance : float
        Result of `chance_loss`.
    n_updates : int
        Updates made.
    learning_rate : float
        Highest learning rate.

    Returns
    -------
    bool
        Whether there was a warning.

    Warns
    -----
    TrainingWarning
        If the loss grew, beyond that of a constant prediction, or is still there
        after 100 updates.
    """
    if chance == 0:
        return False
    advice = f"Use a smaller `learning_rate` than {learning_rate:g}"
    first, loss = losses[0], losses[-1]
    if loss > _GREW * max(first, chance):
        _warn(
            f"The loss diverged: it ended at {loss:.3g}, above the {chance:.3g} of a "
            f"prediction that ignores the images. {advice}."
        )
        return True
    if n_updates >= _MIN_UPDATES and loss > _AT_CHANCE * chance:
        _warn(
            f"Nothing was learned in {n_updates} updates: the loss ended at "
            f"{loss:.3g}, and a prediction that ignores the images has {chance:.3g}. "
            f"{advice}, a smaller `patch_size`, or more `max_epochs`; and see that y "
            "belongs to X."
        )
        return True
    return False


def check_collapse(predicted, target, n_updates):
    """Warn where all of several classes are predicted as one.

    Parameters
    ----------
    predicted, target : ndarray of shape (n_samples,)
        Class indices of some training images.
    n_updates : int
        Updates made.

    Warns
    -----
    TrainingWarning
        If there is one predicted class, but no true one holds 90 % of the images.
    """
    if n_updates < _MIN_UPDATES or np.ptp(predicted) > 0:
        return
    if np.bincount(target).max() < 0.9 * len(target):
        _warn(
            "Predictions collapsed to one class for all training images looked at. "
            "Use a smaller `learning_rate`, or class_weight='balanced' where one class "
            "is far more frequent than the others."
        )


def check_tokens(patch_size, n_tokens, n_samples):
    """Warn where the patches that were asked for are too large for their images.

    Parameters
    ----------
    patch_size : tuple of int
        Patch height and width that the user chose.
    n_tokens : int
        Patches of an image.
    n_samples : int
        Training images.

    Warns
    -----
    TrainingWarning
        If 200 images or more are cut into fewer than 9 patches.
    """
    if n_tokens < _MIN_TOKENS and n_samples >= _MIN_IMAGES_FOR_TOKENS:
        height, width = patch_size
        _warn(
            f"Patches of {height} x {width} pixels cut an image into {n_tokens} only; "
            f"a Vision Transformer learns from comparing many, at least {_MIN_TOKENS}. "
            "Use a smaller `patch_size`, or 'auto'."
        )


def value_scale(images):
    """Return the largest magnitude in some of the images."""
    some = _first_of(images)
    return max(abs(float(some.max())), abs(float(some.min())))


def _first_of(images):
    """Return images enough to tell their scale; few where they have to be read."""
    if not isinstance(images, LazyImages):
        return images[:_LOOKED_AT]
    fitting = _BYTES_LOOKED_AT * len(images) // images.nbytes
    n_images = max(1, min(len(images), _LOOKED_AT, fitting))
    return images[np.arange(n_images)]  # after a slice the next one would be read


def check_scale(images, fitted):
    """Warn where values lie in another range than they did at fit.

    Parameters
    ----------
    images : ndarray of shape (n_samples, ...)
        Images to predict.
    fitted : float
        The `value_scale` of the training images.

    Warns
    -----
    TrainingWarning
        If it is hundreds of times larger or smaller now.
    """
    scale = value_scale(images)
    dark = scale * _SCALE < fitted and len(images) >= _MIN_IMAGES_TO_BE_DARK
    if fitted > 0 and scale > 0 and (dark or scale > _SCALE * fitted):
        _warn(
            f"Values reach {scale:.3g}, but reached {fitted:.3g} at fit. Give images "
            "in the same range to both, for example 0..255 or 0..1."
        )


def _warn(message):
    """Warn of a training or a prediction."""
    warn(message, TrainingWarning)
