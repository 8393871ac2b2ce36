"""The recent tier's queue: L slots per stream, oldest first, as plain functions on tensors.

A slot is what one written clip left behind. The queue is not a list: its tensors have a fixed
shape from the first clip to the last, empty slots at the front are marked by a span of zero, and
each row of a batch is written when that row's turn comes.

Letters: B streams, L slots.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["merge_neighbours", "push"]


def push(slots: Tensor, new: Tensor, rows: Tensor | None) -> Tensor:
    """Appends one entry per written row and drops that row's oldest.

    slots: (B, L, ...), new: (B, ...), rows: (B,) bool, None for all of them -> (B, L, ...).

    Pushing 1, 2, 3, 4, 5 into three slots leaves 3, 4, 5.
    """
    moved = torch.cat([slots[:, 1:], new[:, None].to(slots.dtype)], dim=1)
    if rows is None:
        return moved
    return torch.where(rows.view(-1, *[1] * (slots.ndim - 1)), moved, slots)


def merge_neighbours(
    slots: tuple[Tensor, ...], spans: Tensor, rows: Tensor
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Makes room in full rows: two neighbouring slots become one, and the front slot is empty.

    The pair that is merged is the one whose joint span is smallest relative to its age, so that a
    slot's span grows in proportion to its age and L slots cover a time that grows exponentially
    with L, the newest in full detail. With equal spans that is the oldest pair.

    Args:
        slots: tensors (B, L, ...) to merge by span-weighted mean; the caller's keys, values, times.
        spans: (B, L) how many written clips each slot stands for; 0 for an empty slot.
        rows: (B,) bool, rows about to be written. Rows with an empty slot are left as they are.

    Returns:
        The merged tensors and spans. Nothing is dropped: the sum of the spans stays.
    """
    full = rows & (spans > 0).all(dim=1)  # (B,)
    joint = spans[:, :-1] + spans[:, 1:]  # (B, L - 1)
    age = spans.flip(1).cumsum(1).flip(1)[:, :-1]  # (B, L - 1) clips from the pair's start to now
    # Ties go to the oldest pair: argmin over exact integers' ratios, first one wins.
    pair = (joint.double() / age.double().clamp(min=1)).argmin(dim=1)  # (B,)

    length = spans.shape[1]
    place = torch.arange(length, device=spans.device)[None]  # (1, L)
    # Slot i of the result comes from slot i - 1 up to the pair, and from slot i behind it.
    moves = place <= pair[:, None] + 1  # (B, L)
    at_pair = place == pair[:, None] + 1
    weight_old = spans.gather(1, pair[:, None])
    weight_new = spans.gather(1, pair[:, None] + 1)

    def merged(tensor: Tensor) -> Tensor:
        tail = [1] * (tensor.ndim - 2)
        chosen = pair.view(-1, 1, *tail).expand(-1, 1, *tensor.shape[2:])
        old, new = tensor.gather(1, chosen), tensor.gather(1, chosen + 1)
        share = (weight_new / (weight_old + weight_new).clamp(min=1)).to(tensor.dtype)
        mean = torch.lerp(old, new, share.view(-1, 1, *tail).expand_as(old))
        before = torch.cat([tensor[:, :1], tensor[:, :-1]], dim=1)
        moved = torch.where((moves & full[:, None]).view(-1, length, *tail), before, tensor)
        return torch.where((at_pair & full[:, None]).view(-1, length, *tail), mean, moved)

    before = torch.cat([spans[:, :1], spans[:, :-1]], dim=1)
    new_spans = torch.where(at_pair, weight_old + weight_new, torch.where(moves, before, spans))
    new_spans = torch.where(place == 0, torch.zeros_like(new_spans), new_spans)
    return tuple(merged(tensor) for tensor in slots), torch.where(full[:, None], new_spans, spans)
