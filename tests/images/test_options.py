from dataclasses import FrozenInstanceError

import pytest

from skvit._images import ReadOptions


def test_images_are_left_as_they_are():
    options = ReadOptions()
    assert options.size is None
    with pytest.raises(FrozenInstanceError, match="size"):
        options.size = (2, 2)
