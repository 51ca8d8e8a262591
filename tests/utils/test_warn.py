import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skvit import ImageOptions, ViTClassifier
from skvit.exceptions import TrainingWarning, UnreadableImageWarning


@pytest.fixture
def tiny():
    return ViTClassifier(embed_dim=8, depth=1, max_epochs=1, random_state=0)


@pytest.mark.parametrize("is_piped", [False, True])
def test_warnings_of_fit_point_at_its_caller(tiny, digits, is_piped):
    X, y = digits
    tiny.set_params(patch_size=4)
    clf = make_pipeline(tiny) if is_piped else tiny
    with pytest.warns(TrainingWarning, match="cut an image") as caught:
        clf.fit(X[:200], y[:200])
    assert {warning.filename for warning in caught} == {__file__}


def test_warnings_of_predictions_and_of_searches_point_at_their_caller(tiny, digits):
    X, y = digits
    tiny.fit(X[:100], y[:100])
    with pytest.warns(TrainingWarning, match="Values reach") as caught:
        tiny.score(X[:20] * 255, y[:20])
    assert {warning.filename for warning in caught} == {__file__}
    tiny.set_params(patch_size=4)
    with pytest.warns(TrainingWarning, match="cut an image") as caught:
        cross_val_score(tiny, X[:450], y[:450], cv=2)
    assert {warning.filename for warning in caught} == {__file__}


def test_warnings_of_files_point_at_the_caller_of_fit(tiny, digits, tmp_path):
    X, y = digits
    paths = [tmp_path / f"{number}.npy" for number in range(10)]
    for path, image in zip(paths[1:], X, strict=False):
        np.save(path, image)
    tiny.set_params(image_options=ImageOptions(on_error="skip"))
    with pytest.warns(UnreadableImageWarning, match="left out") as caught:
        tiny.fit(paths, y[:10])
    assert {warning.filename for warning in caught} == {__file__}
