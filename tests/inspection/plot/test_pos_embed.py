import itertools

import numpy as np
import pytest

from skvit import ViTClassifier
from skvit.inspection import PositionSimilarityDisplay


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_similarities_are_cosines_of_the_patches_positions(
    pyplot, make_classifier, pool
):
    clf = make_classifier(pool, 2)
    display = PositionSimilarityDisplay.from_estimator(clf)
    table = clf._weights["pos_embed.table"][1 if pool == "token" else 0 :]
    assert display.similarities.shape == (3, 2, 3, 2)
    for i, j in np.ndindex(6, 6):
        lengths = np.linalg.norm(table[i]) * np.linalg.norm(table[j])
        expected = table[i] @ table[j] / lengths
        here = display.similarities[i // 2, i % 2, j // 2, j % 2]
        assert here == pytest.approx(expected)


def test_draws_a_grid_of_grids(pyplot):
    similarities = np.random.default_rng(0).uniform(-1, 1, (3, 2, 3, 2))
    display = PositionSimilarityDisplay(similarities=similarities).plot()
    shown = np.ma.filled(display.image_.get_array(), np.nan)
    assert shown.shape == (3 * 13 - 1, 2 * 9 - 1)
    np.testing.assert_array_equal(shown[13:25:4, 9:17:4], similarities[1, 1])
    assert np.isnan(shown[12]).all()
    assert display.image_.get_clim() == (-1, 1)
    labels = [tick.get_text() for tick in display.ax_.get_yticklabels()]
    assert labels == ["0", "1", "2"]
    np.testing.assert_allclose(display.ax_.get_yticks(), [5.5, 18.5, 31.5])
    assert display.colorbar_.ax.get_ylabel() == "cosine similarity"


@pytest.mark.parametrize("grid", [(4, 7), (4, 4), (5, 6), (7, 4), (1, 9)])
def test_the_scale_is_as_high_as_the_image(pyplot, grid):
    display = PositionSimilarityDisplay(similarities=np.ones(grid * 2)).plot()
    display.figure_.draw_without_rendering()
    image = display.ax_.get_window_extent()
    scale = display.colorbar_.ax.get_window_extent()
    assert (scale.y0, scale.y1) == pytest.approx((image.y0, image.y1), abs=1)
    assert scale.x0 > image.x1
    label = display.colorbar_.ax.yaxis.label.get_window_extent()
    assert label.x1 <= display.figure_.bbox.x1
    assert display.ax_.yaxis.label.get_window_extent().x0 >= 0


def test_many_positions_have_few_ticks(pyplot):
    display = PositionSimilarityDisplay(similarities=np.ones((20, 20) * 2)).plot()
    assert len(display.ax_.get_xticks()) == 10


@pytest.mark.parametrize("grid", [(12, 16), (16, 12), (30, 30), (2, 40)])
@pytest.mark.parametrize("layout", [None, "constrained"])
def test_numbers_do_not_run_into_each_other(pyplot, grid, layout):
    figure = pyplot.figure(figsize=(10, 4), layout=layout)
    ax = figure.subplots(1, 3)[0]
    display = PositionSimilarityDisplay(similarities=np.ones(grid * 2)).plot(ax=ax)
    display.figure_.draw_without_rendering()
    for labels, side in ((ax.get_xticklabels(), 0), (ax.get_yticklabels(), 1)):
        boxes = [label.get_window_extent().get_points()[:, side] for label in labels]
        assert boxes
        for one, other in itertools.pairwise(sorted(boxes, key=lambda box: box[0])):
            assert one[1] < other[0]


def test_one_row_of_patches_is_a_matrix(pyplot):
    X = np.random.default_rng(0).random((6, 5, 7))
    clf = ViTClassifier("precomputed", embed_dim=8, depth=1, num_heads=2, max_epochs=1)
    ax = pyplot.figure().subplots()
    display = PositionSimilarityDisplay.from_estimator(clf.fit(X, [0, 1] * 3), ax=ax)
    assert display.ax_ is ax
    assert display.image_.get_array().shape == (5, 5)
    np.testing.assert_allclose(np.diag(display.image_.get_array()), 1, rtol=1e-5)


@pytest.mark.parametrize("pos_embed", ["none", "rope"])
def test_nothing_to_compare(make_classifier, pos_embed):
    clf = make_classifier("token", pos_embed=pos_embed)
    with pytest.raises(ValueError, match=f"`pos_embed`='{pos_embed}' adds no pos"):
        PositionSimilarityDisplay.from_estimator(clf)
