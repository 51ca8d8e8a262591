import numpy as np
import pytest

from skvit._images import ImageSpec
from skvit._images._datasets import SlicedReader, check_values, consecutive

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)


def test_slices_cover_the_rows():
    rows = np.array([0, 1, 2, 5, 7, 8])
    slices = [slice(0, 3), slice(5, 6), slice(7, 9)]
    assert list(consecutive(rows)) == slices


def test_arrays_are_read_by_rows():
    reader = SlicedReader(IMAGES, ImageSpec(4, 5, 3))
    rows = np.array([7, 2, 2, 3])
    np.testing.assert_array_equal(reader.read(rows), IMAGES[rows])
    assert reader.expect(rows) is None
    assert reader.unreadable() == []


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (1e200, "Scale them")],
)
def test_values_that_cannot_train(value, message):
    with pytest.raises(ValueError, match=f"^it (holds|has) .*{message}"):
        check_values(np.array([0, value]), "it")
