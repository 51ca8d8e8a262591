"""Score a network's outputs with any of scikit-learn's scorers."""

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, get_scorer


class PredictedClassifier(ClassifierMixin, BaseEstimator):
    """Stand for a classifier whose outputs are known already.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Class labels.
    logits : ndarray of shape (n_samples, n_classes)
        Outputs for the samples that it will be asked about.
    """

    def __init__(self, classes, logits):
        self.classes = classes
        self.logits = logits

    @property
    def classes_(self):
        """Class labels."""
        return self.classes

    def fit(self, X, y):
        """Be fitted already."""
        return self

    def __sklearn_is_fitted__(self):
        """Be fitted already."""
        return True

    def predict_proba(self, X):
        """Return the probabilities of all samples."""
        return probabilities(self.logits)

    def predict(self, X):
        """Return the most probable class of all samples."""
        return self.classes[self.logits.argmax(axis=1)]


def probabilities(logits):
    """Return the softmax of outputs, computed in double precision."""
    return softmax(logits.astype(np.float64), axis=1)


def make_score(scoring, classes, y, sample_weight):
    """Return a function from outputs for validation samples to their score.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, its name, or None for accuracy.
    classes : ndarray of shape (n_classes,)
        Class labels.
    y : ndarray of shape (n_samples,)
        Labels of the validation samples.
    sample_weight : ndarray of shape (n_samples,) or None
        Their weights.

    Returns
    -------
    callable
        Maps an ndarray of shape (n_samples, n_classes) to a float.
    """
    if scoring is None:
        return lambda logits: accuracy_score(
            y, classes[logits.argmax(axis=1)], sample_weight=sample_weight
        )
    scorer = get_scorer(scoring)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}

    def score(logits):
        return scorer(PredictedClassifier(classes, logits), None, y, **weights)

    return score
