import subprocess
import sys

import numpy as np
import pytest

from skvit.inspection._plot._figure import (
    letters_across,
    make_axes,
    make_mosaic,
    panel_size,
    shorten,
    show_image,
    to_displayed,
    wrap,
)


def test_a_new_figure(pyplot):
    axes = make_axes(None, 2, 3, panel_size=(1.0, 2.0))
    assert axes.shape == (2, 3)
    np.testing.assert_allclose(axes[0, 0].figure.get_size_inches(), [3, 4])


def test_given_axes_are_used_row_by_row(pyplot):
    given = pyplot.figure().subplots(3, 2)
    axes = make_axes(given, 2, 3, panel_size=(1, 1))
    assert list(axes.flat) == list(given.flat)
    assert make_axes(given[0, 0], 1, 1, panel_size=(1, 1))[0, 0] is given[0, 0]


@pytest.mark.parametrize("with_grid", [True, False])
def test_one_axes_is_divided(pyplot, with_grid):
    figure = pyplot.figure()
    ax = figure.subplots() if with_grid else figure.add_axes((0.1, 0.2, 0.5, 0.6))
    left, bottom, right, top = ax.get_position().extents
    axes = make_axes(ax, 2, 3, panel_size=(1, 1))
    assert axes.shape == (2, 3)
    assert not ax.axison
    for panel in axes.flat:
        extents = panel.get_position().extents
        assert (extents[:2] >= np.array([left, bottom]) - 1e-9).all()
        assert (extents[2:] <= np.array([right, top]) + 1e-9).all()
    assert axes[0, 0].get_position().y0 >= axes[1, 0].get_position().y1
    assert axes[0, 0].get_position().x1 <= axes[0, 1].get_position().x0


def test_another_number_of_axes(pyplot):
    with pytest.raises(ValueError, match="`ax` has 4 axes, but 2 x 3 are drawn on"):
        make_axes(pyplot.figure().subplots(2, 2), 2, 3, panel_size=(1, 1))


def test_bytes_keep_their_scale_and_others_are_spread():
    images = np.array([51, 102], dtype=np.uint8).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(to_displayed(images), [[[0.2, 0.4]]])
    np.testing.assert_allclose(to_displayed(images.astype(float)), [[[0, 1]]])
    assert np.isfinite(to_displayed(np.ones((1, 2, 2, 1)))).all()


@pytest.mark.parametrize(("channels", "ndim"), [(1, 3), (2, 3), (3, 4), (5, 3)])
def test_three_channels_are_colours(channels, ndim):
    images = np.random.default_rng(0).random((2, 4, 5, channels))
    assert to_displayed(images).ndim == ndim


def test_two_channels_are_shown_by_their_mean():
    images = np.random.default_rng(0).random((2, 4, 5, 2))
    np.testing.assert_allclose(to_displayed(images, (0, 1)), images.mean(axis=-1))


def test_gray_images_share_a_scale(pyplot):
    artist = show_image(pyplot.figure().subplots(), np.full((2, 2), 0.5), "title")
    assert artist.get_clim() == (0, 1)
    assert artist.axes.get_title() == "title"
    assert len(artist.axes.get_xticks()) == 0


def test_titles_are_as_wide_as_their_axes(pyplot):
    ax = pyplot.figure(figsize=(2, 2), dpi=100).add_axes((0, 0, 1, 1))
    assert letters_across(ax) == 26
    assert wrap(ax, "short") == "short"
    assert wrap(ax, "first\nsecond") == "first\nsecond"
    assert wrap(ax, "a yellow dahlia in the garden") == "a yellow dahlia in the\ngarden"
    assert wrap(ax, 9 * "a yellow dahlia ").endswith("yellow …")
    assert wrap(ax, 9 * "a yellow dahlia ").count("\n") == 2
    assert shorten(ax, "x" * 26) == "x" * 26
    assert shorten(ax, "x" * 27) == "x" * 25 + "…"


def test_panels_have_the_proportions_of_the_images():
    width, height = panel_size(np.zeros((1, 30, 60, 1)), 2.0)
    assert (width, height) == (2.0, pytest.approx(1.2))
    assert panel_size(np.zeros((1, 1, 900, 1)), 2.0)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(1, 2), (3, 3), (16, 24), (80, 96)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_mosaic(size, channels):
    tiles = np.random.default_rng(0).random((2, 3, *size, *channels))
    mosaic, step = make_mosaic(tiles, fill=9.0)
    zoom = -(-8 // min(size))
    gap = step[0] - zoom * size[0]
    assert gap == {(1, 2): 1, (3, 3): 1, (16, 24): 1, (80, 96): 4}[size]
    assert mosaic.shape[:2] == (2 * step[0] - gap, 3 * step[1] - gap)
    for row, column in np.ndindex(2, 3):
        top, left = row * step[0], column * step[1]
        shown = mosaic[top : top + zoom * size[0], left : left + zoom * size[1]]
        np.testing.assert_array_equal(shown[::zoom, ::zoom], tiles[row, column])
    assert (mosaic[zoom * size[0] : step[0]] == 9).all()


def test_matplotlib_is_loaded_only_to_draw():
    code = "import sys, skvit.inspection; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
