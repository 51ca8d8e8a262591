import itertools

import numpy as np
import pytest
from sklearn.decomposition import PCA

from skvit.inspection import TokenEmbeddingDisplay
from skvit.inspection._plot._token_embedding import pooled_features, project


def test_features_are_what_the_head_reads(make_classifier, images):
    clf = make_classifier("mean")
    features = pooled_features(clf, images)
    weights = clf._weights
    logits = features @ weights["head.output.weight"].T + weights["head.output.bias"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(
        e / e.sum(1, keepdims=True), clf.predict_proba(images), atol=1e-10
    )


def test_projection_is_pca():
    features = np.random.default_rng(0).random((30, 5))
    embedding, ratio = project(features)
    pca = PCA(2).fit(features)
    np.testing.assert_allclose(np.abs(embedding), np.abs(pca.transform(features)))
    np.testing.assert_allclose(ratio, pca.explained_variance_ratio_)


@pytest.mark.parametrize("shape", [(1, 5), (4, 1)])
def test_projection_of_too_little(shape):
    embedding, ratio = project(np.random.default_rng(0).random(shape))
    assert embedding.shape == (shape[0], 2)
    assert np.isfinite(ratio).all()
    np.testing.assert_allclose(embedding[:, 1], 0, atol=1e-12)


def test_draws_a_point_for_each_image(pyplot, small_digits):
    clf, X, y = small_digits
    display = TokenEmbeddingDisplay.from_estimator(clf, X, y)
    assert sorted(display.points_) == list(range(10))
    for label, points in display.points_.items():
        np.testing.assert_allclose(points.get_offsets(), display.embedding[y == label])
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [*map(str, range(10))]
    looks = {
        (tuple(p.get_facecolor()[0]), p.get_paths()[0].vertices.tobytes())
        for p in display.points_.values()
    }
    assert len(looks) == 10
    share = display.explained_variance_ratio[0]
    assert f"({share:.0%})" in display.ax_.get_xlabel()


# What is seen of light (linear RGB) without one kind of cone: G. Machado, M. Oliveira,
# L. Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 15 (2009), severity 1.0.
KINDS_OF_VISION = {
    "trichromacy": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def to_lab(color, vision):
    """CIE L*a*b* of a colour as it is seen, white being that of the screen."""
    light = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(vision) @ light, 0, 1)
    ratio = TO_XYZ @ seen / TO_XYZ.sum(1)
    x, y, z = np.where(
        ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", KINDS_OF_VISION.values(), ids=KINDS_OF_VISION)
def test_ten_classes_have_ten_colours(pyplot, vision):
    """Any two at least 15 apart, where two or three are just noticed side by side."""
    display = TokenEmbeddingDisplay(
        embedding=np.zeros((10, 2)),
        labels=np.arange(10),
        explained_variance_ratio=np.array([0.5, 0.5]),
    ).plot()
    colors = [points.get_facecolor()[0, :3] for points in display.points_.values()]
    for one, other in itertools.combinations(colors, 2):
        assert np.linalg.norm(to_lab(one, vision) - to_lab(other, vision)) > 15


def test_many_classes_have_looks_of_their_own(pyplot):
    display = TokenEmbeddingDisplay(
        embedding=np.zeros((90, 2)),
        labels=np.arange(90),
        explained_variance_ratio=np.array([0.5, 0.5]),
    ).plot()
    looks = {
        (tuple(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes())
        for points in display.points_.values()
    }
    assert len(looks) == 90


def test_classes_are_the_predicted_ones_by_default(pyplot, small_digits):
    clf, X, _ = small_digits
    display = TokenEmbeddingDisplay.from_estimator(clf, X.reshape(60, -1))
    np.testing.assert_array_equal(display.labels, clf.predict(X))


def test_labels_of_another_length(small_digits):
    clf, X, y = small_digits
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TokenEmbeddingDisplay.from_estimator(clf, X, y[:5])
