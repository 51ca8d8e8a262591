import numpy as np
import pytest
import torch

from skvit._training._muon import Muon, orthogonal_updates, orthogonalize
from skvit._training._threads import Team

SHAPES = [(12, 4), (4, 4), (8, 4), (4, 8), (4, 12), (4, 4)]


def draw(shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]


def near_orthogonal(matrix):
    """Apply the quintic to singular values, which is what the iteration does."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return (left * values) @ right


def test_the_iteration_works_on_singular_values():
    matrices = torch.stack(draw([(4, 9)] * 3))
    expected = [near_orthogonal(matrix.numpy()) for matrix in matrices]
    np.testing.assert_allclose(orthogonalize(matrices), expected, atol=1e-10)


def test_nothing_to_orthogonalize_is_nothing():
    assert torch.equal(orthogonalize(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


def test_small_matrices_are_turned_as_large_ones_are():
    matrices = torch.stack(draw([(4, 6)]))
    torch.testing.assert_close(
        orthogonalize(1e-4 * matrices), orthogonalize(matrices), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("scale", [1, 32])  # only what takes long is shared
def test_each_matrix_is_updated_as_if_it_were_alone(n_threads, scale):
    directions = draw([(scale * rows, scale * columns) for rows, columns in SHAPES])
    with Team(n_threads) as team:
        together = orthogonal_updates(directions, team)
    for direction, update in zip(directions, together, strict=True):
        expected = (
            near_orthogonal(direction.numpy()) * 0.2 * max(direction.shape) ** 0.5
        )
        np.testing.assert_allclose(update, expected, atol=1e-10)


def run(optimizer, matrices, n_updates=4):
    for step in range(n_updates):
        for matrix, gradient in zip(
            matrices,
            draw([m.shape for m in matrices], 1 + step, matrices[0].dtype),
            strict=True,
        ):
            matrix.grad = gradient
        optimizer.step()
    return matrices


@pytest.mark.parametrize("width", [4, 128])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_updates_are_those_of_torch(width, as_tensor):
    # torch iterates in bfloat16, which is good to about two digits
    shapes = [(2 * width, width), (width, width), (width, 3 * width)]
    ours, theirs = (
        [m.requires_grad_() for m in draw(shapes, dtype=torch.float32)]
        for _ in range(2)
    )
    settings = {"weight_decay": 0.1, "momentum": 0.95}
    rate = torch.tensor(0.05) if as_tensor else 0.05
    run(Muon(ours, lr=rate, **settings, short=True), ours)
    run(
        torch.optim.Muon(theirs, lr=0.05, adjust_lr_fn="match_rms_adamw", **settings),
        theirs,
    )
    for start, one, other in zip(
        draw(shapes, dtype=torch.float32), ours, theirs, strict=True
    ):
        moved, expected = (one - start).detach(), (other - start).detach()
        assert (moved - expected).norm() < 0.03 * expected.norm()


def test_decay_shrinks_the_weights_and_not_the_update():
    start, gradient = draw([(4, 4), (4, 4)])
    matrix = start.clone()
    matrix.grad = gradient
    Muon([matrix], lr=0.5, weight_decay=0.4, momentum=0.0).step()
    update = 0.2 * 4**0.5 * near_orthogonal(gradient.numpy())
    expected = (1 - 0.5 * 0.4) * start.numpy() - 0.5 * update
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12)


def test_a_kernel_is_updated_as_the_matrix_that_it_is():
    (kernel,) = draw([(6, 2, 3, 3)])
    matrix = kernel.flatten(1).clone()
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    settings = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9}
    one, other = Muon([kernel], **settings), Muon([matrix], **settings)
    for (gradient,) in (draw([(6, 2, 3, 3)], seed) for seed in (1, 2)):
        kernel.grad, matrix.grad = gradient, gradient.flatten(1)
        one.step()
        other.step()
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=0, atol=1e-12)


def test_matrices_without_a_gradient_stay():
    moved, still = (m.requires_grad_() for m in draw([(3, 3)] * 2))
    before = still.detach().clone()
    optimizer = Muon([moved, still], lr=0.1, weight_decay=0.1, momentum=0.9)
    moved.grad = torch.ones_like(moved)
    optimizer.step()
    assert torch.equal(still, before)
    assert list(optimizer.state) == [moved]
    moved.grad = None
    optimizer.step()
