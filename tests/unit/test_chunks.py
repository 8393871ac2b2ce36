"""Windows of a chunk and of the one before: parts that never meet, computed or masked alike."""

from __future__ import annotations

import pytest
import torch

from vigilia.layers import chunks
from vigilia.layers.chunks import (
    ChunkPlan,
    chunk_attention,
    chunk_biases,
    chunk_plan,
    from_windows,
    to_windows,
)
from vigilia.layers.flops import count_flops
from vigilia.layers.windows import Size

GRID, WINDOW, TABLE_WINDOW = (2, 6, 6), (2, 3, 3), (4, 3, 3)
ROWS, HEADS, WIDTH = 2, 2, 8


def plan_of(shift: Size) -> ChunkPlan:
    device = torch.device("cpu")
    return chunk_plan(GRID, WINDOW, shift, table_window=TABLE_WINDOW, device=device)


def test_a_window_at_the_seam_falls_into_parts_that_lie_side_by_side() -> None:
    plan = plan_of((0, 1, 0))
    assert [(kind.count, kind.parts) for kind in plan.kinds] == [
        (2, ((0, 18),)),
        (2, ((0, 12), (12, 18))),  # rows 4 and 5, then row 0
    ]
    rows = (plan.order.view(4, 18) % 36 // 6).tolist()
    assert [sorted(set(part)) for part in (rows[2][:12], rows[2][12:])] == [[4, 5], [0]]
    assert [kind.forbidden is None for kind in plan.kinds] == [True, False]
    assert [len(kind.parts) for kind in plan_of((0, 1, 1)).kinds] == [1, 2, 2, 4]


@pytest.mark.parametrize("shift", [(0, 0, 0), (0, 1, 0), (0, 1, 1)])
def test_windows_go_back_to_the_grid(shift: Size) -> None:
    plan, x = plan_of(shift), torch.randn(ROWS, *GRID, 5)
    assert plan.windows == 4
    assert torch.equal(from_windows(to_windows(x, plan), plan, GRID), x)


@pytest.mark.parametrize("shift", [(0, 1, 0), (0, 1, 1)])
@pytest.mark.parametrize("empty", [None, torch.tensor([False, True])])
@pytest.mark.parametrize("learns", [False, True])
def test_parts_and_a_mask_give_the_same_for_less_work(
    shift: Size, empty: torch.Tensor | None, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(shift)
    torch.manual_seed(0)
    table = torch.randn(7 * 5 * 5, HEADS, requires_grad=learns)
    q, *others = torch.randn(5, ROWS, plan.windows, HEADS, 18, WIDTH).unbind(0)
    keys, values = (others[0], others[1]), (others[2], others[3])
    results, counts = [], []
    for in_parts in (True, False):
        monkeypatch.setattr(chunks, "_parts_pay", lambda _, chosen=in_parts: chosen)

        def attention() -> torch.Tensor:
            return chunk_attention(q, keys, values, chunk_biases(table, plan), plan, empty)

        results.append(attention())
        counts.append(count_flops(attention))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)
    assert counts[0] < 0.9 * counts[1]
    if learns:
        gradients = [torch.autograd.grad(result.square().sum(), table)[0] for result in results]
        torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-4)
