"""What all displays have in common: `from_estimator`, `plot`, `ax_` and `figure_`."""

import numpy as np
import pytest

import skvit.inspection
from skvit.inspection import (
    AttentionMapDisplay,
    MisclassifiedDisplay,
    PatchEmbeddingDisplay,
    PatchGridDisplay,
    PositionSimilarityDisplay,
    TokenEmbeddingDisplay,
    TrainingCurveDisplay,
)

MAKERS = {
    AttentionMapDisplay: lambda clf, X, y, **options: (
        AttentionMapDisplay.from_estimator(clf, X[:3], **options)
    ),
    MisclassifiedDisplay: lambda clf, X, y, **options: (
        MisclassifiedDisplay.from_estimator(clf, X, y, n_images=2, **options)
    ),
    PatchEmbeddingDisplay: lambda clf, X, y, **options: (
        PatchEmbeddingDisplay.from_estimator(clf, **options)
    ),
    PatchGridDisplay: lambda clf, X, y, **options: PatchGridDisplay.from_estimator(
        clf, X[:3], **options
    ),
    PositionSimilarityDisplay: lambda clf, X, y, **options: (
        PositionSimilarityDisplay.from_estimator(clf, **options)
    ),
    TokenEmbeddingDisplay: lambda clf, X, y, **options: (
        TokenEmbeddingDisplay.from_estimator(clf, X, y, **options)
    ),
    TrainingCurveDisplay: lambda clf, X, y, **options: (
        TrainingCurveDisplay.from_estimator(clf, **options)
    ),
}
each_display = pytest.mark.parametrize(
    "make", MAKERS.values(), ids=[display.__name__ for display in MAKERS]
)


def panels(display):
    return list(np.atleast_1d(np.asarray(display.ax_, dtype=object)).flat)


def data(display):
    """Data of all images, lines, points and bars, panel by panel."""
    return [
        [
            *(np.ma.filled(image.get_array(), np.nan) for image in panel.get_images()),
            *(line.get_xydata() for line in panel.get_lines()),
            *(points.get_offsets() for points in panel.collections),
            *(np.array([bar.get_width(), bar.get_y()]) for bar in panel.patches),
        ]
        for panel in panels(display)
    ]


def words(display):
    """Titles, labels and other texts, panel by panel."""
    return [
        [text.get_text() for text in (panel.title, *panel.texts)]
        + [panel.get_xlabel(), panel.get_ylabel()]
        for panel in panels(display)
    ]


def assert_same_data(display, other):
    for mine, its in zip(data(display), data(other), strict=True):
        for value, expected in zip(mine, its, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_every_display_is_here():
    names = {name for name in skvit.inspection.__all__ if name.endswith("Display")}
    assert {display.__name__ for display in MAKERS} == names


@each_display
def test_a_figure_is_made_and_nothing_else(pyplot, small_digits, make):
    display = make(*small_digits)
    assert pyplot.get_fignums() == [display.figure_.number]
    for panel in panels(display):
        assert panel.figure is display.figure_
    assert all(data(display))


@each_display
def test_plot_draws_the_same_again(pyplot, small_digits, make):
    display = make(*small_digits)
    again = make(*small_digits)
    first_figure = again.figure_
    assert again.plot() is again
    assert again.figure_ is not first_figure
    assert_same_data(again, display)
    assert words(again) == words(display)


@each_display
@pytest.mark.parametrize("by_plot", [False, True])
def test_one_axes_is_drawn_on(pyplot, small_digits, make, by_plot):
    expected = make(*small_digits)
    figure, (ax, other) = pyplot.subplots(1, 2)
    n_figures = len(pyplot.get_fignums())
    if by_plot:
        display = make(*small_digits, ax=pyplot.figure().subplots()).plot(ax=ax)
    else:
        display = make(*small_digits, ax=ax)
    assert display.figure_ is figure
    assert len(pyplot.get_fignums()) == n_figures + by_plot
    assert np.shape(display.ax_) == np.shape(expected.ax_)
    assert_same_data(display, expected)
    assert not other.has_data()


@each_display
@pytest.mark.parametrize("layout", [None, "constrained"])
def test_a_part_of_a_figure_is_drawn_on(pyplot, small_digits, make, layout):
    figure = pyplot.figure(figsize=(8, 4), layout=layout)
    left, right = figure.subfigures(1, 2)
    display = make(*small_digits, ax=right.subplots())
    assert display.figure_ is right
    figure.draw_without_rendering()
    assert all(data(display))
    assert not left.axes


@each_display
def test_as_many_axes_as_are_needed(pyplot, small_digits, make):
    shape = np.shape(make(*small_digits).ax_) or (1, 1)
    axes = pyplot.figure().subplots(*shape, squeeze=False)
    assert panels(make(*small_digits, ax=axes)) == list(axes.flat)


@each_display
def test_another_number_of_axes_is_refused(pyplot, small_digits, make):
    axes = pyplot.figure().subplots(1, 5)
    with pytest.raises(ValueError, match="`ax` has 5 axes, but"):
        make(*small_digits, ax=axes)


@each_display
def test_nothing_reaches_out_of_the_figure(pyplot, small_digits, make):
    figure = make(*small_digits).figure_
    figure.draw_without_rendering()
    inner = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert inner.x0 >= -0.01
    assert inner.y0 >= -0.01
    assert inner.x1 <= width + 0.01
    assert inner.y1 <= height + 0.01
