"""
Patches as features for other estimators
========================================

:class:`~skvit.PatchTransformer` cuts images into patches and keeps one row for each
image, so that it can stand before any estimator in a pipeline. It is undone exactly, so
that what another step did to the patches can be looked at as an image. None of this
needs PyTorch.
"""

# %%
# A photograph in patches of 8 x 8 pixels. Each patch becomes a row, and the first
# principal components of all patches are what the photograph is put together from.

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits, load_sample_image
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skvit import PatchTransformer

photograph = load_sample_image("flower.jpg")[:424] / 255
cutter = PatchTransformer(8, flatten=False)
patches = cutter.fit_transform(photograph[None])
print("images, patches, values in a patch:", patches.shape)

figure, axes = plt.subplots(1, 4, figsize=(11, 2.4), layout="constrained")
axes[0].imshow(photograph)
axes[0].set_title(f"all {patches.shape[2]} values a patch", fontsize="medium")
for ax, n_components in zip(axes[1:], (16, 4, 1), strict=True):
    pca = PCA(n_components).fit(patches[0])
    rebuilt = pca.inverse_transform(pca.transform(patches[0]))
    image = cutter.inverse_transform(rebuilt[None])[0]
    ax.imshow(image.clip(0, 1))
    plural = "s" * (n_components > 1)
    ax.set_title(f"{n_components} component{plural} a patch", fontsize="medium")
for ax in axes:
    ax.set_axis_off()
plt.show()

# %%
# In a pipeline the patches of an image lie side by side, with names that say where each
# value came from. Which columns a forest relies on can so be drawn as an image.

digits = load_digits()
X, y = digits.images, digits.target
forest = make_pipeline(PatchTransformer(4), RandomForestClassifier(random_state=0))
forest.fit(X, y)
names = forest[0].get_feature_names_out()
best = forest[-1].feature_importances_.argsort()[::-1][:3]
print("most important:", *names[best])
importance = forest[0].inverse_transform(forest[-1].feature_importances_[None])[0]

figure, ax = plt.subplots(figsize=(3.6, 3), layout="constrained")
drawn = ax.imshow(importance, cmap="viridis")
ax.set(xticks=[], yticks=[])
figure.colorbar(drawn, label="importance")
plt.show()

# %%
# With ``flatten=False`` the patches stay apart, and a step in between can make one
# feature of each, here the mean of its pixels. Patch size and step from one patch to
# the next are searched like any other parameters.


def means(patches):
    return patches.mean(axis=2)


pipeline = make_pipeline(
    PatchTransformer(flatten=False),
    FunctionTransformer(means),
    StandardScaler(),
    LogisticRegression(max_iter=1000),
)
search = GridSearchCV(
    pipeline,
    {
        "patchtransformer__patch_size": [2, 3, 4],
        "patchtransformer__stride": [None, 1],
    },
    cv=3,
).fit(X, y)
columns = {
    "param_patchtransformer__patch_size": "patch size",
    "param_patchtransformer__stride": "stride",
    "mean_test_score": "accuracy",
}
table = pd.DataFrame(search.cv_results_)[list(columns)].rename(columns=columns)
table["stride"] = table["stride"].fillna(table["patch size"]).astype(int)
print(table.to_string(index=False, float_format="{:.3f}".format))
