"""Attention whose queries, keys and values are pooled over the token grid; after MViT.

"Multiscale Vision Transformers", Fan, Xiong, Mangalam, Li, Yan, Malik, Feichtenhofer, 2021, and
"MViTv2: Improved Multiscale Vision Transformers for Classification and Detection", Li, Wu, Fan,
Mangalam, Xiong, Malik, Feichtenhofer, 2022, for relative positions and the pooled residual.
Sub-modules have torchvision's names.

Letters: B streams, T H W the token grid, N tokens (one more with a class token, which comes first),
S keys, D features, h heads, d = D / h.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Extension", "MultiscaleAttention", "Size", "relative_scores", "relative_table"]

Size = tuple[int, int, int]

Extension = Callable[[Tensor, Size], tuple[Tensor, Tensor, Tensor]]
"""Queries (B, h, N, d) and their grid -> further keys and values (B, h, S, d), and what is added to
their scores, (B, h, N, S)."""


class Pool(nn.Module):
    """A depthwise strided convolution over the grid, then a norm; a class token is only normed."""

    def __init__(self, dim: int, kernel: Size, stride: Size) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.pool = nn.Conv3d(dim, dim, kernel, stride, padding, groups=dim, bias=False)
        self.norm_act = nn.Sequential(nn.LayerNorm(dim, eps=1e-6))

    def forward(self, x: Tensor, grid: Size, class_tokens: int) -> tuple[Tensor, Size]:
        """x: (B, h, N, d) -> (B, h, N', d) and the pooled grid."""
        streams, heads, _, dim = x.shape
        first, x = x[:, :, :class_tokens], x[:, :, class_tokens:]
        x = x.transpose(2, 3).reshape(streams * heads, dim, *grid)
        x = self.pool(x)
        pooled = (x.shape[2], x.shape[3], x.shape[4])
        x = x.reshape(streams, heads, dim, -1).transpose(2, 3)  # (B, h, N', d)
        return self.norm_act(torch.cat([first, x], dim=2)), pooled


class MultiscaleAttention(nn.Module):
    """Pooling attention.

    Args:
        dim_in: D of what comes in.
        dim: D of what goes out.
        heads: h; divides `dim`.
        stride_q: by which queries, and so the grid, are reduced; None for no pooling of queries.
        stride_kv: by which keys and values are reduced.
        positions: the largest distances T, H and W that the tables of relative positions cover, in
            tokens of the larger of both grids; None for no tables. Other grids interpolate.
        residual: add the pooled queries to what attention gives, but for the class token (MViTv2).
        class_tokens: 1 if the first token is a class token, else 0.
    """

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        heads: int,
        stride_q: Size | None,
        stride_kv: Size,
        positions: Size | None,
        residual: bool,
        class_tokens: int,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.residual = residual
        self.class_tokens = class_tokens
        width = dim // heads
        self.qkv = nn.Linear(dim_in, 3 * dim)
        self.project = nn.Sequential(nn.Linear(dim, dim))
        kernel = (3, 3, 3)
        self.pool_q = None if stride_q is None else Pool(width, kernel, stride_q)
        self.pool_k = Pool(width, kernel, stride_kv)
        self.pool_v = Pool(width, kernel, stride_kv)
        self.rel_pos_t = self.rel_pos_h = self.rel_pos_w = None
        if positions is not None:
            time, rows, columns = (2 * size - 1 for size in positions)
            self.rel_pos_h = nn.Parameter(torch.empty(rows, width))
            self.rel_pos_w = nn.Parameter(torch.empty(columns, width))
            self.rel_pos_t = nn.Parameter(torch.empty(time, width))
            for table in (self.rel_pos_h, self.rel_pos_w, self.rel_pos_t):
                nn.init.trunc_normal_(table, std=0.02)

    def forward(
        self, x: Tensor, grid: Size, extension: Extension | None = None
    ) -> tuple[Tensor, Size]:
        """x: (B, N, D_in) -> (B, N', D) and the grid of N'.

        Args:
            x: tokens; with a class token, that one first.
            grid: (T, H, W) of the others.
            extension: further keys and values, from elsewhere.
        """
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, N, 3, h, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, h, N, d)
        k, key_grid = self.pool_k(k, grid, self.class_tokens)
        v, _ = self.pool_v(v, grid, self.class_tokens)
        if self.pool_q is not None:
            q, grid = self.pool_q(q, grid, self.class_tokens)
        scores = self._scores(q, grid, key_grid)
        if extension is not None:
            keys, values, added = extension(q, grid)
            if scores is None:
                scores = q.new_zeros(1, 1, 1, 1).expand(*q.shape[:3], k.shape[2])
            k, v = torch.cat([k, keys], dim=2), torch.cat([v, values], dim=2)
            scores = torch.cat([scores, added], dim=3)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=scores)  # (B, h, N', d)
        if self.residual and self.class_tokens:
            kept = q.clone()
            kept[:, :, 0] = 0.0
            mixed = mixed + kept
        elif self.residual:
            mixed = mixed + q
        return self.project(mixed.transpose(1, 2).flatten(2)), grid

    def _scores(self, q: Tensor, grid: Size, key_grid: Size) -> Tensor | None:
        """What relative positions add to the scores, (B, h, N, S); nothing for a class token."""
        if self.rel_pos_t is None:
            return None
        assert self.rel_pos_h is not None
        assert self.rel_pos_w is not None
        tables = tuple(
            relative_table(table, size, key_size)
            for table, size, key_size in zip(
                (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w), grid, key_grid, strict=True
            )
        )
        scores = relative_scores(q[:, :, self.class_tokens :], grid, tables)
        return F.pad(scores, (self.class_tokens, 0, self.class_tokens, 0))


def relative_table(table: Tensor, queries: int, keys: int) -> Tensor:
    """Rows of a table of distances, for each pair of places on an axis of two resolutions.

    table: (2 L - 1, d) -> (queries, keys, d). It is interpolated if the longer side is not L.
    """
    longer = 2 * max(queries, keys) - 1
    if len(table) != longer:
        table = F.interpolate(table.t()[None], size=longer, mode="linear")[0].t()
    query = torch.arange(queries, device=table.device)[:, None] * max(keys / queries, 1.0)
    key = torch.arange(keys, device=table.device)[None, :] - (keys - 1)
    return table[(query - key * max(queries / keys, 1.0)).long()]


def relative_scores(q: Tensor, grid: Size, tables: tuple[Tensor, ...]) -> Tensor:
    """Queries times the positions relative to them, over time, height and width.

    q: (B, h, N, d), tables: (T, T', d), (H, H', d), (W, W', d) -> (B, h, N, T' H' W').
    """
    over_time, over_rows, over_columns = tables
    q = q.unflatten(2, grid)  # (B, h, T, H, W, d)
    time = torch.einsum("bnthwd,tkd->bnthwk", q, over_time)
    rows = torch.einsum("bnthwd,hkd->bnthwk", q, over_rows)
    columns = torch.einsum("bnthwd,wkd->bnthwk", q, over_columns)
    scores = time[..., :, None, None] + rows[..., None, :, None] + columns[..., None, None, :]
    return scores.flatten(5).flatten(2, 4)
