import numpy as np
import pytest
import torch

from skvit._training import over_batches
from skvit.inspection import _network, attention_relevance

CASES = [("token", 0), ("token", 2), ("mean", 1), ("seqpool", 0), ("map", 1)]


def differences(network, image, code, key, attention, eps=1e-5):
    """Gradient of a logit by each attention weight, by central differences."""
    gradient = np.empty_like(attention)
    for index in np.ndindex(attention.shape):
        step = np.zeros_like(attention)
        step[index] = eps
        up, down = (
            network.forward(image, {key: sign * step})[0][code] for sign in (1, -1)
        )
        gradient[index] = (up - down) / (2 * eps)
    return gradient


def numpy_relevance(network, image, code=None):
    """Relevance of each patch, with the whole matrix propagated layer by layer."""
    logits, seen, pooling = network.forward(image)
    code = int(logits.argmax()) if code is None else code
    matrix = np.eye(network.config.num_tokens)
    for key, attention in enumerate(seen):
        gradient = differences(network, image, code, key, attention)
        matrix = matrix + np.maximum(attention * gradient, 0).mean(0) @ matrix
    if pooling is not None:
        gradient = differences(network, image, code, "pool", pooling)
        pooling = np.maximum(pooling * gradient, 0)
    row = network.reading(pooling) @ matrix
    return row[network.config.num_prefix_tokens :].reshape(network.config.grid)


@pytest.mark.parametrize(("pool", "registers"), CASES)
def test_relevance_is_that_of_the_formulas(
    make_classifier, numpy_network, images, pool, registers
):
    clf = make_classifier(pool, registers)
    network = numpy_network(clf)
    relevance = attention_relevance(clf, images[:2])
    of_class = attention_relevance(clf, images[:2], target=["b", "c"])
    for n, image in enumerate(images[:2]):
        expected = numpy_relevance(network, image)
        np.testing.assert_allclose(relevance[n], expected, atol=1e-6)
        expected = numpy_relevance(network, image, code=n + 1)
        np.testing.assert_allclose(of_class[n], expected, atol=1e-6)


def test_predicted_class_is_the_default(make_classifier, images):
    clf = make_classifier("token")
    np.testing.assert_array_equal(
        attention_relevance(clf, images),
        attention_relevance(clf, images, target=clf.predict(images)),
    )


def test_one_label_is_for_all(make_classifier, images):
    clf = make_classifier("seqpool")
    np.testing.assert_array_equal(
        attention_relevance(clf, images, target="b"),
        attention_relevance(clf, images, target=["b"] * 5),
    )


def test_batches_change_nothing(make_classifier, images):
    clf = make_classifier("map", 1)
    one_by_one = [attention_relevance(clf, image[None])[0] for image in images]
    np.testing.assert_allclose(attention_relevance(clf, images), one_by_one, atol=1e-12)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_nothing_is_left_behind(make_classifier, images, mode):
    clf = make_classifier("token")
    expected = attention_relevance(clf, images)
    state = set(vars(clf))
    with mode():
        relevance = attention_relevance(clf, images)
    np.testing.assert_array_equal(relevance, expected)
    assert set(vars(clf)) == state
    network = clf._runtime_on_device()[2]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training


def test_frozen_parameters_are_no_obstacle(make_classifier, images):
    clf = make_classifier("mean")
    expected = attention_relevance(clf, images)
    for parameter in clf._runtime_on_device()[2].parameters():
        parameter.requires_grad_(False)
    np.testing.assert_array_equal(attention_relevance(clf, images), expected)


def test_pixels(make_classifier, images):
    clf = make_classifier("token")
    pixels = attention_relevance(clf, images, upsample=True)
    assert pixels.shape == (5, 7, 8)
    np.testing.assert_array_equal(pixels[:, ::3, ::4], attention_relevance(clf, images))


def test_graphs_of_deeper_networks_take_smaller_batches(
    make_classifier, images, monkeypatch
):
    sizes = []

    def count(compute, data, size):
        sizes.append(size)
        return over_batches(compute, data, size)

    monkeypatch.setattr(_network, "batch_size_for", lambda *_: 90)
    monkeypatch.setattr(_network, "over_batches", count)
    for depth in (2, 8):
        attention_relevance(make_classifier("token", depth=depth), images)
    # The graph of a layer holds several times what a pass through it does.
    assert 90 / (3 * 2) > sizes[0] > 3 * sizes[1] > 0


def test_every_form_of_input(small_digits):
    clf, X, _ = small_digits
    X = X[:3].copy()
    for other in (X[..., None], X.reshape(3, -1), X.tolist(), torch.from_numpy(X)):
        np.testing.assert_array_equal(
            attention_relevance(clf, other), attention_relevance(clf, X)
        )


def test_unknown_targets(make_classifier, images):
    clf = make_classifier("token")
    with pytest.raises(ValueError, match="`target` has labels that are not among"):
        attention_relevance(clf, images, target="z")
    with pytest.raises(ValueError, match=r"not among the classes.*: \[1\]; known are"):
        attention_relevance(clf, images, target=1)
    with pytest.raises(ValueError, match="`target` must be one label, one label for"):
        attention_relevance(clf, images, target=["a", "b"])
