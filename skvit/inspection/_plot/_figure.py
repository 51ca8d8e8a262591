"""Axes to draw on, and images as matplotlib shows them."""

import textwrap

import numpy as np

from skvit._utils._optional import require_pyplot

# The widest gap of a mosaic: one part in so many of a tile, and of all tiles together.
_GAP_SHARE, _GAP_SHARE_OF_ALL = 8, 40
_LETTERS_PER_INCH = 13  # of titles; with room for wide ones
_TITLE_LINES = 3
GAP_COLOR = (0.34, 0.71, 0.91)  # neither a gray nor likely in a photograph


def panel_size(images, width):
    """Return the size of a panel, in inches, that has the images' proportions."""
    height, columns = images.shape[1:3]
    return width, width * min(2.0, max(0.4, height / columns)) + 0.2


def make_axes(ax, n_rows, n_columns, *, panel_size):
    """Return a grid of axes, made where none are given.

    Parameters
    ----------
    ax : Axes, array of Axes or None
        None makes a figure. One Axes gives its place to a grid of new ones; of a
        1 x 1 grid it is the one. An array must have n_rows * n_columns axes.
    n_rows, n_columns : int
        Size of the grid.
    panel_size : tuple of float
        Width and height of one panel in a new figure, in inches.

    Returns
    -------
    ndarray of Axes of shape (n_rows, n_columns)
        The axes.

    Raises
    ------
    ValueError
        If an array has another number of axes.
    """
    if ax is None:
        width, height = panel_size
        size = (n_columns * width, n_rows * height)
        # The layout moves the edges; until it is made titles need to know widths.
        edges = {"left": 0.0, "right": 1.0}
        _, axes = require_pyplot().subplots(
            n_rows,
            n_columns,
            figsize=size,
            squeeze=False,
            layout="constrained",
            gridspec_kw=edges,
        )
        return axes
    given = np.atleast_1d(np.asarray(ax, dtype=object))
    if given.size == n_rows * n_columns:
        return given.reshape(n_rows, n_columns)
    if given.size == 1:
        return _divide(given.flat[0], n_rows, n_columns)
    raise ValueError(
        f"`ax` has {given.size} axes, but {n_rows} x {n_columns} are drawn on; pass as "
        "many, or one to be divided, or None for a new figure."
    )


def lay_out(figure):
    """Give axes the sizes that they will be drawn with, where a layout decides."""
    whole = figure.figure  # of which a subfigure is a part
    engine = whole.get_layout_engine()
    if engine is not None:
        engine.execute(whole)


def _divide(ax, n_rows, n_columns):
    """Return a grid of new axes in the place of one."""
    spec = ax.get_subplotspec()
    ax.set_axis_off()
    if spec is None:
        bounds = ax.get_position().bounds
        return _place(ax.figure, bounds, n_rows, n_columns)
    grid = spec.subgridspec(n_rows, n_columns)
    return grid.subplots(squeeze=False)


def _place(figure, bounds, n_rows, n_columns):
    """Return a grid of new axes within bounds, as fractions of the figure."""
    left, bottom, width, height = bounds
    cell_width, cell_height = width / n_columns, height / n_rows
    return np.array(
        [
            [
                figure.add_axes(
                    (
                        left + column * cell_width,
                        bottom + height - (row + 1) * cell_height,
                        0.9 * cell_width,
                        0.8 * cell_height,
                    )
                )
                for column in range(n_columns)
            ]
            for row in range(n_rows)
        ],
        dtype=object,
    )


def find_scale(images):
    """Return the values shown as black and as white: of bytes, or the extremes."""
    if images.dtype == np.uint8:
        return 0.0, 255.0
    return float(images.min()), float(images.max())


def to_displayed(images, scale=None):
    """Scale images to what matplotlib shows: gray values or colours, from 0 to 1.

    Three channels are taken for red, green and blue; of any other number the mean is
    shown. The scale is the same for all the images.
    """
    low, high = find_scale(images) if scale is None else scale
    extent = max(high - low, np.finfo(float).tiny)
    values = np.clip((np.asarray(images, dtype=float) - low) / extent, 0, 1)
    return values if values.shape[-1] == 3 else values.mean(axis=-1)


def show_image(ax, image, title="", **kwargs):
    """Draw one image without ticks; return the artist."""
    if "cmap" not in kwargs and image.ndim == 2:
        kwargs |= {"cmap": "gray", "vmin": 0, "vmax": 1}
    # Tables are one pixel high: let them fill their panel.
    aspect = "auto" if min(image.shape[:2]) == 1 else "equal"
    artist = ax.imshow(image, interpolation="nearest", aspect=aspect, **kwargs)
    ax.set(xticks=[], yticks=[])
    ax.set_title(wrap(ax, title), fontsize="medium")
    return artist


def letters_across(ax):
    """Return about how many letters of a title are as wide as the axes."""
    inches = ax.get_window_extent().width / ax.figure.dpi
    return max(6, int(_LETTERS_PER_INCH * inches))


def wrap(ax, title):
    """Break lines that are wider than the axes; of very long ones leave the end."""
    width = letters_across(ax)
    return "\n".join(
        textwrap.fill(line, width, max_lines=_TITLE_LINES, placeholder=" …")
        for line in title.split("\n")
    )


def shorten(ax, name):
    """Leave the end of a name that is wider than the axes."""
    length = letters_across(ax)
    return name if len(name) <= length else f"{name[: length - 1]}…"


def make_mosaic(tiles, fill=np.nan):
    """Put tiles side by side, with narrow gaps: an eighth of a tile at most.

    Parameters
    ----------
    tiles : ndarray of shape (n_rows, n_columns, height, width, ...)
        Small images; their pixels are repeated until gaps can be narrow.
    fill : float or array-like, default=nan
        Value, or colour, of the gaps.

    Returns
    -------
    mosaic : ndarray of shape (mosaic height, mosaic width, ...)
        One image.
    step : tuple of int
        Rows and columns from one tile to the next.
    """
    n_rows, n_columns, height, width, *channels = tiles.shape
    zoom = -(-_GAP_SHARE // min(height, width))
    tiles = tiles.repeat(zoom, axis=2).repeat(zoom, axis=3)
    height, width = zoom * height, zoom * width
    widest = min(n_rows * height, n_columns * width) // _GAP_SHARE_OF_ALL
    gap = max(1, min(min(height, width) // _GAP_SHARE, widest))
    step = height + gap, width + gap
    spaced = np.empty((n_rows, n_columns, *step, *channels))
    spaced[:] = fill
    spaced[:, :, :height, :width] = tiles
    mosaic = np.moveaxis(spaced, 2, 1).reshape(
        n_rows * step[0], n_columns * step[1], *channels
    )
    return mosaic[: mosaic.shape[0] - gap, : mosaic.shape[1] - gap], step
