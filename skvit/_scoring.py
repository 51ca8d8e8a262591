"""Score a network's outputs with any of scikit-learn's scorers."""

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, get_scorer


class PredictedClassifier(ClassifierMixin, BaseEstimator):
    """Stand for a classifier whose outputs for some images are known already.

    Parameters
    ----------
    attributes : dict
        What is known of the classifier by the end of an epoch, `classes_` at least.
    images : array-like of shape (n_samples, ...)
        All that it can be asked about, and only as this object.
    logits : ndarray of shape (n_samples, n_classes)
        Its outputs for them.
    """

    def __init__(self, attributes, images, logits):
        self.attributes = attributes
        self.images = images
        self.logits = logits
        self.__dict__.update(attributes)

    def fit(self, X, y):
        """Be fitted already."""
        return self

    def __sklearn_is_fitted__(self):
        """Be fitted already."""
        return True

    def predict_proba(self, X):
        """Return the probabilities of all samples."""
        return probabilities(self._outputs(X))

    def predict(self, X):
        """Return the most probable class of all samples."""
        return self.classes_[self._outputs(X).argmax(axis=1)]

    def _outputs(self, X):
        """Return the outputs, or raise where others are asked for."""
        if X is not self.images:
            raise ValueError(
                "While the network is trained, the estimator that `scoring` is called "
                "with predicts all validation images at once, but was given other "
                "images. Pass X to its methods as `scoring` gets it."
            )
        return self.logits


def probabilities(logits):
    """Return the softmax of outputs, computed in double precision."""
    return softmax(logits.astype(np.float64), axis=1)


def make_score(scoring, attributes, images, y, sample_weight):
    """Return a function from outputs for validation samples to their score.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, its name, or None for accuracy.
    attributes : dict
        The public attributes of the estimator that are known, `classes_` at least.
    images : array-like of shape (n_samples, ...)
        Validation samples.
    y : ndarray of shape (n_samples,)
        Their labels.
    sample_weight : ndarray of shape (n_samples,) or None
        Their weights.

    Returns
    -------
    callable
        Maps an ndarray of shape (n_samples, n_classes) to a float.
    """
    if scoring is None:
        classes = attributes["classes_"]
        return lambda logits: accuracy_score(
            y, classes[logits.argmax(axis=1)], sample_weight=sample_weight
        )
    scorer = get_scorer(scoring)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}

    def score(logits):
        classifier = PredictedClassifier(attributes, images, logits)
        return scorer(classifier, images, y, **weights)

    return score
