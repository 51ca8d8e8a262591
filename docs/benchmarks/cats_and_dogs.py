"""Tell cats from dogs in gray images of 16 x 16 pixels, cut into 4 x 4 patches.

The worked example of docs/explained.rst on real images, those of CIFAR-10:

    python docs/benchmarks/cats_and_dogs.py PATH
"""

import argparse

import numpy as np
from _cifar10 import HELP, NAMES, load_cifar10, split

from skvit import Architecture, ViTClassifier

# How bright red, green and blue look: ITU-R Recommendation BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
N_TEST = 10_000  # CIFAR-10's own test images

CLASSIFIERS = {
    "the example's network": ViTClassifier(
        patch_size=4,
        embed_dim=8,
        num_heads=1,
        pool="token",
        architecture=Architecture(
            patch_embed="linear",
            pos_bias="none",
            head_hidden=4,
            head_activation="relu",
            # Drawn as small as by the default scheme, four ReLUs often all die.
            init="jax",
        ),
        # Chosen on a fifth of the training images held out.
        max_epochs=60,
        learning_rate=2e-3,
        augment=None,
        random_state=0,
    ),
    "the default network": ViTClassifier(patch_size=4, random_state=0),
}


def to_small_gray(images):
    """Halve (n, height, width, 3) by averaging 2 x 2 pixels, and drop the colour."""
    n, height, width, _ = images.shape
    gray = images @ _LUMA
    return gray.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def keep_cats_and_dogs(X, y):
    """Return small gray images of cats and dogs, and their names."""
    chosen = np.isin(NAMES[y], ["cat", "dog"])
    return to_small_gray(X[chosen]), NAMES[y[chosen]]


def describe(clf, image, label):
    """Say in a line what a classifier makes of one image."""
    chances = zip(clf.classes_, clf.predict_proba(image[None])[0], strict=True)
    text = ", ".join(f"{chance:.0%} {name}" for name, chance in chances)
    return f"  a {label}: {text}"


def report(name, clf, X_test, y_test):
    """Return lines on a fitted classifier: accuracy, and one image of each class."""
    firsts = [int(np.flatnonzero(y_test == label)[0]) for label in clf.classes_]
    return [
        f"{name}: accuracy {clf.score(X_test, y_test):.3f} on {len(y_test)} images",
        *(describe(clf, X_test[i], y_test[i]) for i in firsts),
    ]


def main(arguments=None):
    """Train, and print what the classifiers say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help=HELP)
    X, y = load_cifar10(parser.parse_args(arguments).data)
    X_train, y_train, X_test, y_test = split(X, y, len(X) - N_TEST, N_TEST)
    X_train, y_train = keep_cats_and_dogs(X_train, y_train)
    X_test, y_test = keep_cats_and_dogs(X_test, y_test)
    for name, clf in CLASSIFIERS.items():
        clf.fit(X_train, y_train)
        print(*report(name, clf, X_test, y_test), sep="\n")


if __name__ == "__main__":
    main()
