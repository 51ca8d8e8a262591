import numpy as np
import pytest
import torch

from skvit._training._averaging import WeightAverage


def walk(n):
    """Return n successive values of two weights."""
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(3, 2)), rng.normal(size=5)) for _ in range(n)]


def follow(steps, decay):
    """Average the steps; return the average and the weights."""
    weights = [torch.zeros(3, 2, dtype=torch.float64), torch.zeros(5).double()]
    weights = [weight.requires_grad_() for weight in weights]
    average = WeightAverage(weights, decay)
    for step in steps:
        with torch.no_grad():
            for weight, value in zip(weights, step, strict=True):
                weight.copy_(torch.from_numpy(value))
        average.update()
    return average, weights


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_average_is_the_loop(decay):
    steps = walk(30)
    average, _ = follow(steps, decay)
    expected = list(steps[0])
    for n, step in enumerate(steps[1:], start=2):
        keep = min(decay, 1 - 1 / n)
        expected = [
            keep * e + (1 - keep) * s for e, s in zip(expected, step, strict=True)
        ]
    for value, reference in zip(average.values, expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-13)
        assert not value.requires_grad


def test_average_is_the_plain_mean_until_it_forgets():
    steps = walk(10)
    average, _ = follow(steps, 0.95)
    for i, value in enumerate(average.values):
        np.testing.assert_allclose(value, np.mean([s[i] for s in steps], axis=0))


def test_swapping_twice_is_nothing():
    average, weights = follow(walk(4), 0.5)
    both = [tensor.detach().clone() for tensor in (*weights, *average.values)]
    average.swap()
    swapped = (*average.values, *weights)
    assert all(torch.equal(a, b) for a, b in zip(swapped, both, strict=True))
    average.swap()
    again = (*weights, *average.values)
    assert all(torch.equal(a, b) for a, b in zip(again, both, strict=True))


def test_average_stands_in_for_the_while_even_when_it_ends_in_an_error():
    average, weights = follow(walk(4), 0.5)
    kept = [weight.detach().clone() for weight in weights]

    def fail():
        with average.applied():
            assert not torch.equal(weights[0], kept[0])
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert all(torch.equal(a, b) for a, b in zip(weights, kept, strict=True))


@pytest.mark.parametrize(("decay", "n_steps"), [(None, 3), (0.9, 0)])
def test_without_an_average_the_weights_stay(decay, n_steps):
    average, weights = follow(walk(n_steps), decay)
    kept = [weight.detach().clone() for weight in weights]
    with average.applied():
        assert all(torch.equal(a, b) for a, b in zip(weights, kept, strict=True))
    assert average.values == []
