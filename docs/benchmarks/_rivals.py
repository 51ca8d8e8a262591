"""What people try on small sets of images, each as its users would set it up."""

import numpy as np
import torch
from _contest import find_device
from _networks import make_cnn
from _peers import make_skorch, require
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR

from skvit import ViTClassifier
from skvit._training import Augmentation

EPOCHS, BATCH_SIZE, RATE, DECAY = 30, 64, 1e-3, 0.05
N_SEARCHED = 2000  # images on which a grid is searched


class Searched(ClassifierMixin, BaseEstimator):
    """Flat, scaled pixels; a small grid searched on some, the best fitted on all.

    All pixels are scaled alike; whether each is then scaled for itself as well is part
    of the grid where `by_pixel`.
    """

    def __init__(self, estimator, grid, by_pixel=True):
        self.estimator = estimator
        self.grid = grid
        self.by_pixel = by_pixel

    def fit(self, X, y):
        """Search by three folds of at most 2,000 images, then fit on all images."""
        self.mean_, self.std_ = X.mean(), X.std()
        rows = self._flatten(X)
        pipeline = Pipeline([("scaler", "passthrough"), ("it", self.estimator)])
        grid = {f"it__{key}": values for key, values in self.grid.items()}
        if self.by_pixel:
            grid["scaler"] = ["passthrough", StandardScaler()]
        search = GridSearchCV(pipeline, grid, cv=3, refit=False)
        search.fit(rows[:N_SEARCHED], y[:N_SEARCHED])
        self.fitted_ = pipeline.set_params(**search.best_params_).fit(rows, y)
        return self

    def _flatten(self, X):
        return ((X - self.mean_) / self.std_).reshape(len(X), -1)

    def predict(self, X):
        """Predict with the best of the grid."""
        return self.fitted_.predict(self._flatten(X))


class Network(ClassifierMixin, BaseEstimator):
    """A network in plain skorch: AdamW, a cosine, 30 epochs of batches of 64."""

    def __init__(self, make, augment=None, seed=0):
        self.make = make
        self.augment = augment
        self.seed = seed

    def fit(self, X, y):
        """Scale each channel and train."""
        X = X.reshape(*X.shape[:3], -1)
        self.mean_, self.std_ = X.mean((0, 1, 2)), X.std((0, 1, 2))
        self.classes_, codes = np.unique(y, return_inverse=True)
        torch.manual_seed(self.seed)
        module = self.make(X.shape[1:], len(self.classes_), self.seed)
        self.net_ = make_skorch(
            Varied(module, self.augment, self.seed),
            BATCH_SIZE,
            find_device(),
            max_epochs=EPOCHS,
            lr=RATE,
            optimizer__weight_decay=DECAY,
            callbacks=[
                LRScheduler(
                    CosineAnnealingLR,
                    T_max=EPOCHS * -(-len(X) // BATCH_SIZE),
                    step_every="batch",
                )
            ],
        )
        self.net_.fit(self._scale(X), codes.astype(np.int64))
        return self

    def _scale(self, X):
        scaled = (X.reshape(*X.shape[:3], -1) - self.mean_) / self.std_
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)

    def predict(self, X):
        """Predict the class of each image."""
        return self.classes_[self.net_.predict(self._scale(X))]


class Varied(torch.nn.Module):
    """A network whose training images are varied as the estimator varies its own."""

    def __init__(self, module, augment, seed):
        super().__init__()
        self.module = module
        self.augmentation = None if augment is None else Augmentation(**augment)
        self.generator = torch.Generator(find_device()).manual_seed(seed)

    def forward(self, images):
        """Vary images in training only."""
        if self.training and self.augmentation is not None:
            images = self.augmentation.images(images, self.generator)
        return self.module(images)


def make_plain_vit(shape, num_outputs, seed=0):
    """vit-pytorch's ViT of width 128 and depth 4, with 64 patches or fewer."""
    side = shape[0]
    return require("vit_pytorch").ViT(
        image_size=side,
        patch_size=max(1, side // 8) if side > 8 else 2,
        channels=shape[2],
        num_classes=num_outputs,
        dim=128,
        depth=4,
        heads=4,
        mlp_dim=256,
        dropout=0.1,
    )


def make_rivals(augment, seed):
    """Return unfitted estimators by name, ours last.

    `augment` maps the strengths of the variations that the default estimator uses, for
    the network that is given the same.
    """
    forest = RandomForestClassifier(300, random_state=seed, n_jobs=-1)
    boosting = HistGradientBoostingClassifier(max_iter=100, random_state=seed)
    perceptron = MLPClassifier((256,), random_state=seed, early_stopping=True)
    linear = LogisticRegression(max_iter=200)
    return {
        "LogisticRegression": Searched(linear, {"C": [1e-4, 1e-3, 1e-2]}),
        "SVC": Searched(SVC(), {"C": [1, 10, 100]}),
        "random forest": Searched(forest, {"min_samples_leaf": [1, 3]}, False),
        "gradient boosting": Searched(boosting, {"max_leaf_nodes": [15, 31]}, False),
        "MLPClassifier": Searched(perceptron, {"alpha": [1e-4, 1e-1]}),
        "ViT (vit-pytorch) in skorch": Network(make_plain_vit, seed=seed),
        "CNN in skorch": Network(make_cnn, seed=seed),
        "CNN in skorch, our augmentation": Network(make_cnn, augment, seed),
        "ViTClassifier()": ViTClassifier(random_state=seed),
        'ViTClassifier(precision="float32")': ViTClassifier(
            precision="float32", random_state=seed
        ),
        'ViTClassifier(augment="photo")': ViTClassifier(
            augment="photo", random_state=seed
        ),
    }
