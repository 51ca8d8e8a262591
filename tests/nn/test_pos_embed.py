from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skvit.nn import (
    Record,
    VisionTransformer,
    ViTConfig,
    resample_pos_embed,
    sincos_1d,
    sincos_2d,
)
from skvit.nn._pos_embed import grid_coordinates, rope_rotation, rotate

SMALL = ViTConfig((8, 12), (4, 4), 1, 3, 16, 2, 2)


def drawn(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=dtype)


def table_of(**changes):
    record = Record("positions")
    config = replace(SMALL, **changes)
    VisionTransformer(config)(torch.zeros(1, 1, 8, 12), record)
    return record["positions"]


def test_coordinates_run_row_by_row():
    assert grid_coordinates((2, 3)).tolist() == [
        [0, 0],
        [0, 1],
        [0, 2],
        [1, 0],
        [1, 1],
        [1, 2],
    ]


def test_coordinates_of_another_grid_lie_over_the_same_image():
    fine, coarse = grid_coordinates((4, 4), (2, 2)), grid_coordinates((2, 2))
    averaged = fine.reshape(2, 2, 2, 2, 2).mean(dim=(1, 3)).flatten(0, 1)
    torch.testing.assert_close(averaged, coarse)
    assert fine.min() == -0.25


def test_one_dimensional_sines_and_cosines_are_the_original_ones():
    positions = torch.tensor([0.0, 1.0, 7.0], dtype=torch.float64)
    table = sincos_1d(positions, 6)
    for row, position in zip(table.tolist(), positions.tolist(), strict=True):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert row[2 * i] == pytest.approx(np.sin(angle), abs=1e-12)
            assert row[2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-12)


def test_two_dimensional_convention_is_that_of_moco_and_big_vision():
    table = sincos_2d(grid_coordinates((2, 3)), 16)
    for (y, x), row in zip(np.ndindex(2, 3), table.tolist(), strict=True):
        speeds = [10000 ** (-k / 3) for k in range(4)]
        expected = [np.sin(x * w) for w in speeds] + [np.cos(x * w) for w in speeds]
        expected += [np.sin(y * w) for w in speeds] + [np.cos(y * w) for w in speeds]
        assert row == pytest.approx(expected, abs=1e-12)


def test_two_dimensional_convention_is_neither_of_the_others():
    ours = sincos_2d(grid_coordinates((4, 4)), 16)
    y, x = grid_coordinates((4, 4)).T
    mae = 10000.0 ** -(torch.arange(4, dtype=torch.float64) / 4)
    parts = [f(axis[:, None] * mae) for axis in (x, y) for f in (torch.sin, torch.cos)]
    assert (ours - torch.cat(parts, 1)).abs().max() > 0.1
    assert (ours - torch.cat(parts[2:] + parts[:2], 1)).abs().max() > 1


@pytest.mark.parametrize("kind", ["sincos", "sincos2d"])
def test_fixed_positions_are_no_parameters(kind):
    network = VisionTransformer(replace(SMALL, pos_embed=kind))
    assert "pos_embed.table" in network.state_dict()
    assert "pos_embed.table" not in dict(network.named_parameters())


def test_who_has_a_position():
    # A row is the class token's or a register's if it stands before the patches.
    learned = table_of(num_register_tokens=2)
    assert learned.shape == (9, 16)
    assert learned[0].any()
    assert not learned[1:3].any()
    assert not table_of(pos_embed_token=False, num_register_tokens=2)[:3].any()
    assert table_of(pool="mean").shape == (6, 16)
    assert torch.equal(
        table_of(pos_embed="sincos").double(),
        sincos_1d(torch.arange(7, dtype=torch.float64), 16).float().double(),
    )
    without = table_of(pos_embed="sincos", pos_embed_token=False)
    assert not without[0].any()
    torch.testing.assert_close(without[1:], sincos_1d(torch.arange(6.0), 16))
    assert not table_of(pos_embed="sincos2d")[0].any()


def test_rotation_turns_pairs_and_keeps_lengths():
    q = drawn(2, 2, 7, 8)
    rotation = rope_rotation(SMALL)
    turned = rotate(q, rotation)
    torch.testing.assert_close(turned.norm(dim=-1), q.norm(dim=-1))
    assert torch.equal(turned[:, :, :2], q[:, :, :2])  # class token and place (0, 0)
    assert rotate(q, None) is q
    assert rotate(q.bfloat16(), rotation.float()).dtype == torch.bfloat16


def test_rotated_scores_depend_on_the_distance_alone():
    config = replace(SMALL, image_size=(16, 20), pool="mean")
    q, k = drawn(2, 8)
    rotation = rope_rotation(config)
    queries, keys = (
        rotate(x.expand(1, 1, 20, 8), rotation)[0, 0].reshape(4, 5, 8) for x in (q, k)
    )
    scores = torch.einsum("abi,cdi->abcd", queries, keys)
    torch.testing.assert_close(scores[0, 0, 1, 2], scores[2, 1, 3, 3])
    torch.testing.assert_close(scores[3, 4, 1, 2], scores[2, 3, 0, 1])
    assert (scores[0, 0, 1, 2] - scores[0, 0, 2, 1]).abs() > 1e-3


def test_resampling_compares_grids_and_not_their_sizes():
    # timm before 1.0.31 left the table as it was where the counts are equal.
    table = drawn(16, 4)
    resampled = resample_pos_embed(table, (2, 8), (4, 4))
    assert resampled.shape == (16, 4)
    assert not torch.allclose(resampled, table)
    maps = table.T.reshape(1, 4, 2, 8)
    expected = F.interpolate(maps, (4, 4), mode="bicubic", antialias=True)
    # No value is rounded to single precision on the way.
    expected = expected.reshape(4, 16).T
    torch.testing.assert_close(resampled, expected, rtol=0, atol=1e-12)


def test_resampling_keeps_what_is_in_front_and_the_order_of_rows():
    table = torch.zeros(1 + 6, 1)
    table[0] = 100
    table[1:] = torch.arange(3.0).repeat(2)[:, None]  # a ramp along the columns
    resampled = resample_pos_embed(table, (2, 3), (4, 6), 1)
    assert resampled[0] == 100
    rows = resampled[1:, 0].reshape(4, 6)
    torch.testing.assert_close(rows, rows[:1].expand(4, 6))
    assert (rows.diff(dim=1) > 0).all()
    assert resample_pos_embed(table, (2, 3), (2, 3), 1) is table


def test_resampling_keeps_the_precision_it_is_given():
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        table = drawn(6, 4, dtype=dtype)
        assert resample_pos_embed(table, (2, 3), (3, 3)).dtype == dtype
