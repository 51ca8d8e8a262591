import numpy as np

from skvit.inspection import PatchGridDisplay
from skvit.inspection._plot._figure import GAP_COLOR


def test_patches_are_those_of_the_network(make_classifier, images):
    clf = make_classifier("token")
    display = PatchGridDisplay.from_estimator(clf, images)
    assert display.patches.shape == (5, 3, 2, 3, 4, 3)
    normalized = (display.patches - clf.channel_mean_) / clf.channel_std_
    with np.errstate(all="raise"):
        import torch

        from skvit.nn import Record

        record = Record("patches")
        x = torch.from_numpy((images - clf.channel_mean_) / clf.channel_std_)
        clf.module_(x.permute(0, 3, 1, 2), record)
    np.testing.assert_allclose(normalized.reshape(5, 6, -1), record["patches"])


def test_draws_images_patches_and_numbers(pyplot, small_digits):
    clf, X, _ = small_digits
    display = PatchGridDisplay.from_estimator(clf, X[:2])
    assert display.ax_.shape == (2, 2)
    np.testing.assert_allclose(
        display.images_[0].get_array(), (X[0] - X[:2].min()) / np.ptp(X[:2])
    )
    mosaic = display.patches_[1].get_array()
    assert mosaic.shape == (4 * 9 - 1, 4 * 9 - 1, 3)
    np.testing.assert_allclose(mosaic[8], np.tile(GAP_COLOR, (35, 1)))
    pixels = np.delete(np.delete(mosaic, [8, 17, 26], 0), [8, 17, 26], 1)[::4, ::4, 0]
    np.testing.assert_allclose(pixels, (X[1] - X[:2].min()) / np.ptp(X[:2]))
    assert [text.get_text() for text in display.numbers_] == [*map(str, range(16))]
    places = [text.get_position() for text in display.numbers_]
    assert places[5] == (9 - 0.3, 9 - 0.3)


def test_many_patches_are_not_numbered(pyplot):
    display = PatchGridDisplay(
        images=np.zeros((1, 9, 9, 3)), patches=np.zeros((1, 9, 9, 1, 1, 3))
    ).plot()
    assert display.numbers_ == []
