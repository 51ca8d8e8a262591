"""
Which variations fit the images
===============================

Augmentation varies the training images anew in each epoch: shifts, turns, changes of
size, erased rectangles, mixed pairs. Such images are harder to learn by heart, and take
longer to learn. Which variations help depends on the images, the network and the time;
how much of which is a choice like any other, and can be searched.
"""

# %%
# Few handwritten digits to learn from, and many to be tested with.

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import Augment, ViTClassifier

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, train_size=300, stratify=digits.target, random_state=0
)

# %%
# ``augment`` takes the name of a mixture, strengths of one's own, or None. Mirroring is
# here as a variation that does not fit: a mirrored digit is another sign.

choices = {
    "None": None,
    "light": "light",
    "mixed pairs": Augment(shift=0.1, rotate=10, scale=0.1, mixup=0.2),
    "mirrored": Augment(shift=0.1, rotate=10, scale=0.1, flip=True),
}
options = {"max_epochs": 30, "random_state": 0}
rows = {}
for name, augment in choices.items():
    clf = ViTClassifier(augment=augment, **options).fit(X_train, y_train)
    rows[name] = {
        "seen in training": clf.score(X_train, y_train),
        "never seen": clf.score(X_test, y_test),
    }
table = pd.DataFrame(rows).T
print(table.to_string(float_format="{:.3f}".format))

# %%
# The distance between the two is what does not carry over to other images.

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
places = range(len(table))
ax.hlines(places, *table.T.to_numpy(), color="0.7", linewidth=3, zorder=0)
for (name, values), color, marker in zip(
    table.items(), ("#E69F00", "#0072B2"), "so", strict=True
):
    ax.scatter(values, places, color=color, marker=marker, label=name, s=50)
ax.set_yticks(places, table.index)
ax.invert_yaxis()
ax.set(xlabel="accuracy")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
# Strengths are parameters, so a search can choose them, as in
# ``GridSearchCV(ViTClassifier(augment=Augment()), {"augment__shift": [0, 0.1, 0.2]})``.
