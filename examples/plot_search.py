"""
Searching patch size and depth, in one estimator or in a pipeline
=================================================================

Patch size and depth are parameters like any other. They can be searched on the
classifier, or patches can be cut by :class:`~skvit.PatchTransformer` as a step of its
own, with ``patch_size="precomputed"`` telling the classifier that X already is the
sequence of patches. Successive halving spends few epochs on candidates that lag behind.
"""

# %%
# A third of scikit-learn's handwritten digits, to keep the example short.

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import Pipeline

from skvit import PatchTransformer, ViTClassifier

digits = load_digits()
X, y = digits.images[::3], digits.target[::3]
small = {"embed_dim": 32, "max_epochs": 12, "random_state": 0}

# %%
# The classifier cuts the patches itself.

flat = GridSearchCV(
    ViTClassifier(**small), {"patch_size": [2, 3], "depth": [1, 2]}, cv=2
).fit(X, y)
print(flat.best_params_)

# %%
# A step of the pipeline cuts them. Other steps may stand in between.

pipeline = Pipeline(
    [
        ("patches", PatchTransformer(flatten=False)),
        ("vit", ViTClassifier(patch_size="precomputed", **small)),
    ]
)
piped = GridSearchCV(
    pipeline, {"patches__patch_size": [2, 3], "vit__depth": [1, 2]}, cv=2
).fit(X, y)
print(piped.best_params_)

# %%
# Halving: all candidates train for three epochs, the better half for six, the best for
# twelve.

halving = HalvingGridSearchCV(
    ViTClassifier(embed_dim=32, random_state=0),
    {"patch_size": [2, 3], "depth": [1, 2]},
    resource="max_epochs",
    min_resources=3,
    max_resources=12,
    factor=2,
    cv=2,
).fit(X, y)
print(halving.best_params_)

# %%
# All three side by side. Images allow what a sequence of patches cannot have: "auto"
# embeds images by two convolutions, lets heads first look at neighbours, and varies the
# images in training.

names = ["in the classifier", "in a pipeline", "by halving"]
best = [search.best_score_ for search in (flat, piped, halving)]
table = pd.DataFrame({"search": names, "best accuracy": best})
print(table.to_string(index=False, float_format="{:.3f}".format))

figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
ax.barh(names, best, color="#0072B2")
ax.set(xlabel="best accuracy in two folds", xlim=(0, 1))
ax.invert_yaxis()
plt.show()
