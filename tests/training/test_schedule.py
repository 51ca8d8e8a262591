import math

import numpy as np
import pytest
import torch

from skvit._training._schedule import constant_factor, cosine_factor


def test_warm_up_rises_to_one_in_equal_steps():
    factors = [cosine_factor(step, 100, 8, 0.0) for step in range(8)]
    np.testing.assert_allclose(factors, np.arange(1, 9) / 8)
    np.testing.assert_allclose(
        [constant_factor(step, 8) for step in range(12)],
        np.minimum(np.arange(1, 13) / 8, 1),
    )


@pytest.mark.parametrize("warmup", [0, 10])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_decay_is_torchs_cosine(warmup, final):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40, final)
    for step in range(40):
        optimizer.step()
        reference.step()
        factor = cosine_factor(warmup + step, warmup + 40, warmup, final)
        assert factor == pytest.approx(reference.get_last_lr()[0], abs=1e-12)


@pytest.mark.parametrize("final", [0.0, 0.3])
def test_last_update_has_the_final_rate_and_later_ones_keep_it(final):
    for step in (99, 100, 250):
        assert cosine_factor(step, 100, 5, final) == pytest.approx(final)


@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (1, 1), (1, 5), (3, 3), (0, 0)])
def test_runs_of_few_updates_are_scheduled_too(total, warmup):
    factors = [cosine_factor(step, total, warmup, 0.0) for step in range(6)]
    assert all(math.isfinite(factor) and 0 <= factor <= 1 for factor in factors)


def test_no_warm_up_is_constant():
    assert {constant_factor(step, 0) for step in range(5)} == {1.0}
