"""What attention costs: multiply-adds of one block's attention, as formulas.

T times, N = H W places, D features, P class or global tokens, "between" the linear layer between
steps. A step that lets groups of n tokens attend costs 4 T N D**2 for its projections and
2 T N n D for its products (n + P with class tokens), so:

    joint            4 T N D^2  + 2 T N (T N) D
    space            4 T N D^2  + 2 T N (N) D
    divided          9 T N D^2  + 2 T N (T + N) D
    local_global     9 T N D^2  + 2 T N (T N / 4 + T N / 8) D
    axial           14 T N D^2  + 2 T N (T + H + W) D
    factorised_self  8 T N D^2  + 2 T N (T + N) D
    factorised_dot   4 T N D^2  + T N (T + N) D
    strided          8 T N D^2  + 2 T N (k N + T / k) D         blocks of k frames
    block_local      4 T N D^2  + 2 T N (k N) D                 and P tokens that see all
    linformer        4 T N D^2  + 4 T N R D                     R places
    performer        4 T N D^2  + 4 T N M D + T N M h           M features, h heads

with extents that are even, or multiples of k. The MLP adds 8 T N D^2. In O(.): joint and the
quadrants grow with (T N)^2, divided with T N^2 + T^2 N, linformer and performer with T N.
"""

from __future__ import annotations

import math

from vigilia.backbones.space_time.schemes import Step, find_scheme
from vigilia.layers.grouping import Grouping
from vigilia.layers.windows import Size

__all__ = ["attention_macs"]


def attention_macs(
    attention: str,
    grid: Size,
    dim: int,
    *,
    heads: int = 1,
    class_tokens: int = 0,
    class_rows: int = 1,
    block_frames: int = 4,
    places: int = 256,
    features: int = 256,
) -> int:
    """Multiply-adds of the attention steps of one block, for one clip.

    Args:
        attention: the scheme.
        grid: (T, H, W).
        dim: D.
        heads: h; matters to "performer" alone.
        class_tokens: P.
        class_rows: how often there are P of them: once, or once a frame.
        block_frames: k.
        places: R.
        features: M.
    """
    scheme = find_scheme(attention, block_frames=block_frames)
    tokens, total = math.prod(grid), 0
    for number, step in enumerate(scheme.steps):
        beside = 0 if step.class_rule == "left out" else class_tokens
        rows = tokens + beside * class_rows
        total += 4 * rows * dim**2
        if scheme.between and number < len(scheme.steps) - 1:
            total += rows * dim**2
        width = dim // len(step.groupings)
        for grouping in step.groupings:
            total += _products(step, grouping, grid, width, heads, beside, places, features)
    return total


def _products(
    step: Step,
    grouping: Grouping,
    grid: Size,
    width: int,
    heads: int,
    beside: int,
    places: int,
    features: int,
) -> int:
    """What the queries, keys and values cost once they are projected."""
    tokens = math.prod(grid)
    if step.mixer == "linformer":
        all_tokens, all_places = tokens + beside, places + beside
        return 4 * all_tokens * all_places * width
    if step.mixer == "performer":
        return (tokens + beside) * features * (4 * width + heads)
    box = grouping.fit(grid)
    boxes = math.prod(-(-size // extent) for size, extent in zip(grid, box, strict=True))
    inside = math.prod(box)
    groups, each = (inside, boxes) if grouping.across else (boxes, inside)
    if step.class_rule == "global":
        seen = groups * each * (each + beside) + beside * (tokens + beside)
    else:
        seen = groups * (each + beside) ** 2
    return 2 * seen * width
