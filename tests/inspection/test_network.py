import pickle
from threading import Thread

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skvit import ViTClassifier
from skvit._training import _threads
from skvit.inspection import (
    attention_maps,
    attention_relevance,
    attention_rollout,
    occlusion_map,
)

FUNCTIONS = [attention_maps, attention_relevance, attention_rollout, occlusion_map]
each_function = pytest.mark.parametrize("function", FUNCTIONS)


@each_function
def test_another_object_is_refused(function, images, make_classifier):
    pipe = make_pipeline(FunctionTransformer(), make_classifier("token"))
    with pytest.raises(TypeError, match=r"got Pipeline.*`pipe\[-1\]`"):
        function(pipe, images)


@each_function
def test_not_fitted(function, images):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        function(ViTClassifier(), images)


@each_function
def test_other_images_are_refused(function, images, make_classifier):
    with pytest.raises(ValueError, match="7 x 8 pixels"):
        function(make_classifier("token"), images[:, :6])


@each_function
def test_the_estimator_is_left_as_it_was(function, images, make_classifier):
    clf = make_classifier("seqpool")
    probabilities = clf.predict_proba(images)
    before = pickle.dumps(clf)
    function(clf, images)
    assert pickle.dumps(clf) == before
    np.testing.assert_array_equal(clf.predict_proba(images), probabilities)


@each_function
def test_reduced_precision_and_foreign_autocast_change_nothing(function, small_digits):
    clf, X, _ = small_digits
    expected = function(clf, X[:4])
    reduced = pickle.loads(pickle.dumps(clf)).set_params(precision="bfloat16")
    with torch.autocast("cpu", torch.bfloat16):
        result = function(reduced, X[:4])
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


@each_function
def test_the_cores_are_held(function, images, make_classifier):
    clf = make_classifier("token")
    done = []
    worker = Thread(target=lambda: done.append(function(clf, images)))
    with _threads.all_cores(torch.device("cpu")):
        worker.start()
        worker.join(timeout=0.3)
        assert not done
    worker.join()
    assert len(done) == 1


@each_function
def test_patches_cut_before(function):
    X = np.random.default_rng(0).random((6, 5, 7))
    clf = ViTClassifier("precomputed", embed_dim=8, depth=2, num_heads=2, max_epochs=1)
    clf.set_params(random_state=0).fit(X, [0, 1] * 3)
    assert function(clf, X).shape[-1] == 5
    with pytest.raises(ValueError, match="patches were cut before"):
        function(clf, X, upsample=True)


@each_function
def test_tables(function):
    X = np.random.default_rng(0).random((6, 10))
    clf = ViTClassifier((1, 4), embed_dim=8, depth=1, num_heads=2, max_epochs=1)
    clf.fit(X, [0, 1] * 3)
    assert function(clf, X, upsample=True).shape[-2:] == (1, 10)


@pytest.mark.gpu
@each_function
@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_maps_of_an_accelerator_are_those_of_the_cpu(
    function, small_digits, device, precision, monkeypatch
):
    # PyTorch rounds what convolutions multiply on some accelerators, if it is let.
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee")
    clf, X, _ = small_digits
    copies = [
        pickle.loads(pickle.dumps(clf)).set_params(device=place, precision=precision)
        for place in ("cpu", device)
    ]
    here, there = (function(copy, X[:8]) for copy in copies)
    assert copies[1].device_.type == device
    np.testing.assert_allclose(there, here, atol=1e-5)
