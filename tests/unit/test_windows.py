"""Windows over a token grid: partition, shift, relative positions, attention inside them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vigilia.layers.windows import (
    Size,
    fit_window,
    pad_to_multiple,
    partition_shifted,
    partition_windows,
    relative_position_bias,
    reverse_shifted,
    reverse_windows,
    shift_plan,
    window_attention,
)

CPU = torch.device("cpu")
GRIDS: list[tuple[Size, Size, Size]] = [
    ((16, 14, 21), (8, 7, 7), (4, 3, 3)),
    ((4, 6, 4), (2, 3, 4), (1, 1, 0)),
    ((8, 4, 4), (4, 4, 4), (2, 0, 0)),
    ((3, 4, 9), (3, 2, 3), (0, 1, 1)),
]


def test_a_two_by_two_grid_is_read_window_by_window() -> None:
    x = torch.arange(8).view(1, 2, 2, 2, 1)
    windows = partition_windows(x, (2, 1, 2))
    assert windows.squeeze(-1).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert torch.equal(reverse_windows(windows, (2, 1, 2), (2, 2, 2)), x)


@pytest.mark.parametrize(("grid", "window", "shift"), GRIDS)
@pytest.mark.parametrize("streams", [1, 3])
def test_reversing_a_partition_gives_the_grid_back(
    streams: int, grid: Size, window: Size, shift: Size
) -> None:
    x = torch.randn(streams, *grid, 5)
    assert torch.equal(reverse_windows(partition_windows(x, window), window, grid), x)
    plan = shift_plan(streams, grid, window, shift, CPU)
    assert torch.equal(reverse_shifted(partition_shifted(x, plan), plan, grid), x)


@pytest.mark.parametrize(("grid", "window", "shift"), GRIDS)
def test_a_shift_plan_holds_the_windows_of_the_rolled_grid(
    grid: Size, window: Size, shift: Size
) -> None:
    x = torch.randn(2, *grid, 1)
    rolled = x.roll([-offset for offset in shift], dims=(1, 2, 3))
    expected = sorted(partition_windows(rolled, window).squeeze(-1).tolist())
    plan = shift_plan(2, grid, window, shift, CPU)
    assert sorted(partition_shifted(x, plan).squeeze(-1).tolist()) == expected
    assert 1 < len(plan.groups) <= 8
    assert sum(count for count, _ in plan.groups) == len(expected)


def test_a_line_of_four_shifted_by_one_wraps_into_its_last_window() -> None:
    plan = shift_plan(2, (4, 1, 1), (2, 1, 1), (1, 0, 0), CPU)
    x = torch.arange(8).view(2, 4, 1, 1, 1)
    assert partition_shifted(x, plan).squeeze(-1).tolist() == [[1, 2], [5, 6], [3, 0], [7, 4]]
    (first, free), (second, seam) = plan.groups
    assert (first, free, second) == (2, None, 2)
    assert seam is not None
    assert seam.tolist() == [[False, True], [True, False]]


def test_a_window_shrinks_to_the_grid_and_is_not_shifted_there() -> None:
    assert fit_window((16, 7, 5), (8, 7, 7), (4, 3, 3)) == ((8, 7, 5), (4, 0, 0))
    assert fit_window((9, 8, 8), (8, 7, 7), (0, 0, 0)) == ((8, 7, 7), (0, 0, 0))


def test_padding_adds_zeros_behind_and_only_where_needed() -> None:
    x = torch.randn(2, 3, 4, 5, 6)
    padded = pad_to_multiple(x, (2, 2, 3))
    assert padded.shape == (2, 4, 4, 6, 6)
    assert torch.equal(padded[:, :3, :, :5], x)
    assert padded[:, 3:].abs().sum() == 0
    assert padded[:, :, :, 5:].abs().sum() == 0
    assert pad_to_multiple(x, (3, 4, 5)) is x


def test_the_bias_of_a_pair_is_the_row_of_its_offset() -> None:
    window = (2, 3, 2)
    table = torch.arange(3 * 5 * 3).view(-1, 1).float()
    bias = relative_position_bias(table, window, 12)[0].view(2, 3, 2, 2, 3, 2)
    assert bias[0, 0, 0, 0, 0, 0] == (1 * 5 + 2) * 3 + 1  # no offset: the middle of the table
    assert bias[1, 2, 1, 0, 0, 0] == 3 * 5 * 3 - 1  # the largest offset: the last row
    assert bias[0, 0, 0, 1, 2, 1] == 0
    assert bias[1, 0, 1, 0, 2, 0] == (2 * 5 + 0) * 3 + 2


def test_equal_offsets_share_their_bias_and_its_gradient() -> None:
    table = torch.randn(3 * 3 * 3, 4, requires_grad=True)
    bias = relative_position_bias(table, (2, 2, 2), 8)  # (h, N, N)
    assert bias.shape == (4, 8, 8)
    assert torch.equal(bias[:, 0, 1], bias[:, 6, 7])
    bias[:, 0, 1].sum().backward()
    bias = relative_position_bias(table, (2, 2, 2), 8)
    bias.sum().backward()
    assert table.grad is not None
    # One offset of 27 is "none", which all eight tokens have with themselves.
    assert table.grad[13].tolist() == [8.0] * 4
    assert table.grad.sum() == 4 * 64 + 4


def dense_attention(
    q: Tensor, k: Tensor, v: Tensor, table: Tensor, window: Size, shift: Size
) -> Tensor:
    """Shifted-window attention without windows: every pair of tokens, one by one allowed or not.

    q, k, v: (B, T, H, W, h, D/h) -> (B, T, H, W, D). A token at position p lies in cell
    floor((p - shift) / window) of each axis; two tokens attend when they share all three.
    """
    grid = q.shape[1:4]
    places = torch.stack(torch.meshgrid(*map(torch.arange, grid), indexing="ij")).flatten(1)
    size, offset = torch.tensor(window)[:, None], torch.tensor(shift)[:, None]
    cells = torch.div(places - offset, size, rounding_mode="floor")  # (3, P)
    together = (cells[:, :, None] == cells[:, None, :]).all(0)  # (P, P)
    steps = (places[:, :, None] - places[:, None, :]) + size[..., None] - 1
    t, h, w = steps.clamp(min=0).minimum(2 * size[..., None] - 2)
    rows = (t * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w  # (P, P)
    bias = table[rows].permute(2, 0, 1)  # (h, P, P)
    q, k, v = (x.flatten(1, 3).transpose(1, 2) for x in (q, k, v))  # (B, h, P, D/h)
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias
    weights = scores.masked_fill(~together, float("-inf")).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(q.shape[0], *grid, -1)


@pytest.mark.parametrize("shift", [(0, 0, 0), (2, 1, 1), (0, 1, 0)])
@pytest.mark.parametrize("with_gradient", [False, True])
def test_window_attention_is_dense_attention_between_tokens_of_a_cell(
    shift: Size, with_gradient: bool
) -> None:
    streams, heads, width, grid, window = 2, 3, 8, (8, 6, 4), (4, 3, 2)
    q, k, v = torch.randn(3, streams, *grid, heads, width)
    table = torch.randn(7 * 5 * 3, heads, requires_grad=with_gradient)
    plan = shift_plan(streams, grid, window, shift, CPU) if any(shift) else None

    def into_windows(x: Tensor) -> Tensor:
        x = x.flatten(4)
        windows = partition_windows(x, window) if plan is None else partition_shifted(x, plan)
        return windows.unflatten(-1, (heads, width)).transpose(1, 2)

    bias = relative_position_bias(table, window, 24)
    out = window_attention(into_windows(q), into_windows(k), into_windows(v), bias, plan)
    out = reverse_windows(out, window, grid) if plan is None else reverse_shifted(out, plan, grid)
    expected = dense_attention(q, k, v, table, window, shift)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    if with_gradient:
        direction = torch.randn_like(out)
        (gradient,) = torch.autograd.grad((out * direction).sum(), table)
        (reference,) = torch.autograd.grad((expected * direction).sum(), table)
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-4)


def test_constants_made_during_inference_serve_training() -> None:
    grid, window, shift = (6, 4, 2), (3, 2, 1), (1, 1, 0)
    with torch.inference_mode():
        shift_plan(1, grid, window, shift, CPU)
        relative_position_bias(torch.zeros(5 * 3 * 1, 1), window, 6)
    x = torch.randn(1, *grid, 2, requires_grad=True)
    plan = shift_plan(1, grid, window, shift, CPU)
    reverse_shifted(partition_shifted(x, plan), plan, grid).sum().backward()
    table = torch.zeros(5 * 3 * 1, 1, requires_grad=True)
    relative_position_bias(table, window, 6).sum().backward()
    assert x.grad is not None
    assert table.grad is not None
