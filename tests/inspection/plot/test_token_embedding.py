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


def test_classes_are_the_predicted_ones_by_default(pyplot, small_digits):
    clf, X, _ = small_digits
    display = TokenEmbeddingDisplay.from_estimator(clf, X.reshape(60, -1))
    np.testing.assert_array_equal(display.labels, clf.predict(X))


def test_labels_of_another_length(small_digits):
    clf, X, y = small_digits
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TokenEmbeddingDisplay.from_estimator(clf, X, y[:5])
