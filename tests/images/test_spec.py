import json
import pickle
from dataclasses import FrozenInstanceError, asdict

import pytest

from skvit._images import ImageSpec

SPEC = ImageSpec(28, 32, 3)


def test_sizes():
    assert SPEC.shape == (28, 32, 3)
    assert SPEC.n_features == 28 * 32 * 3


def test_equal_whatever_form_the_images_came_in():
    assert ImageSpec(28, 32, 3, ndim=2, channels_first=True) == SPEC
    assert hash(ImageSpec(28, 32, 3, ndim=2)) == hash(SPEC)
    assert ImageSpec(28, 32, 3, kind="table") != SPEC


def test_round_trips():
    assert ImageSpec(**json.loads(json.dumps(asdict(SPEC)))) == SPEC
    assert pickle.loads(pickle.dumps(SPEC)) == SPEC


def test_frozen():
    with pytest.raises(FrozenInstanceError, match="height"):
        SPEC.height = 1


@pytest.mark.parametrize(
    ("channels", "words"), [(1, "1 channel"), (3, "3 channels")], ids=["gray", "colour"]
)
def test_in_words(channels, words):
    assert str(ImageSpec(8, 9, channels)) == f"8 x 9 pixels with {words}"
