import io

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch

from skvit._images._forms import check_unmasked, find_items, is_image

IMAGES = [np.zeros((2, 3)), np.ones((4, 5))]


def objects(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        pd.Series,
        objects,
        lambda items: objects(items)[:, None],
        lambda items: pd.DataFrame({"image": items}),
        lambda items: pl.Series(items, dtype=pl.Object),
        lambda items: pl.DataFrame({"image": pl.Series(items, dtype=pl.Object)}),
    ],
)
def test_items_of_a_plain_sequence(container):
    items = find_items(container(IMAGES))
    assert all(item is image for item, image in zip(items, IMAGES, strict=True))


@pytest.mark.parametrize(
    "X",
    [
        [],
        [[1, 2], [3, 4]],
        [np.zeros(3), np.zeros(3)],
        np.zeros((2, 3, 4)),
        np.zeros((2, 1), object),
        torch.zeros(2, 1),
        scipy.sparse.csr_array(np.eye(3)[:, :1]),
        pd.DataFrame({"a": [1.0, 2.0]}),
        pd.DataFrame({"a": IMAGES, "b": IMAGES}),
        3,
    ],
)
def test_everything_else_is_none(X):
    assert find_items(X) is None


def test_masked_values_are_counted():
    values = np.ma.masked_greater(np.arange(6).reshape(2, 3), 3)
    with pytest.raises(ValueError, match=r"^it has masked values, 2 of 6; .* filled"):
        check_unmasked(values, "it")
    with pytest.raises(ValueError, match="X has masked values, 1 of"):
        find_items(np.ma.array(["a.png", "b.png"], mask=[False, True]))
    for whole in (values[:1], values.filled(0), [1, 2], None):
        assert check_unmasked(whole, "it") is whole


def test_what_is_an_image():
    assert not is_image(io.BytesIO())  # which can be detached, as a tensor can
    assert is_image(torch.zeros(2, 2))
    assert is_image(np.zeros((2, 2, 3)))
    assert not is_image(np.zeros(4))
