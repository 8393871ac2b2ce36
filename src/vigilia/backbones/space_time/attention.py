"""One attention step: project, group, attend, put back, project.

Letters: B streams, T H W the token grid, D features, h heads, G groups, N tokens of a group,
R P tokens beside the grid: R rows of P, R is 1, or T where every frame has its own.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from vigilia.backbones.space_time.schemes import Step
from vigilia.errors import OptionError
from vigilia.layers.attention import attend
from vigilia.layers.grouping import Grouping, group, grouping_mask, ungroup
from vigilia.layers.linear_attention import (
    draw_projections,
    linformer_attention,
    performer_attention,
)
from vigilia.layers.positions import resize_positions
from vigilia.layers.windows import Size

__all__ = ["StepAttention"]


class StepAttention(nn.Module):
    """Multi-head self-attention of one step of a scheme.

    Args:
        dim: D.
        heads: h; divides D, and the step's groupings divide h.
        step: which tokens see each other, and how.
        grid: (T, H, W) that Linformer's places are learned on; on another they are resized.
        places: R of Linformer.
        features: M of Performer.
        seed: of Performer's random features, which are never trained.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        step: Step,
        *,
        grid: Size,
        places: int = 256,
        features: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if dim % heads or heads % len(step.groupings):
            raise OptionError(
                f"heads must divide dim {dim} and divide into {len(step.groupings)}, got {heads}"
            )
        self.heads = heads
        self.step = step
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        if step.mixer == "linformer":
            self.key_places = nn.Parameter(torch.empty(places, *grid))
            self.value_places = nn.Parameter(torch.empty(places, *grid))
        elif step.mixer == "performer":
            generator = torch.Generator(device="cpu").manual_seed(seed)
            drawn = draw_projections(features, dim // heads, generator)
            self.register_buffer("projections", drawn.to(self.proj.weight.device))

    def forward(self, x: Tensor, beside: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x: (B, T, H, W, D), beside: (B, R, P, D) -> the same shapes, without the residual.

        What is beside the grid comes back as None when the step leaves it out.
        """
        rule = self.step.class_rule
        if beside is not None and rule == "left out":
            beside = None
        parts = len(self.step.groupings)
        grids = _parts(self.qkv(x), parts)
        besides = [None] * parts if beside is None else _parts(self.qkv(beside), parts)
        mixed: list[Tensor] = []
        mixed_beside: list[Tensor] = []
        for grouping, qkv, beside_qkv in zip(self.step.groupings, grids, besides, strict=True):
            is_global = beside_qkv is not None and rule == "global"
            attend_to = self._attend_with_global if is_global else self._attend_with_copies
            outs = attend_to(qkv, beside_qkv, grouping)
            mixed.append(outs[0])
            mixed_beside.extend(one for one in outs[1:] if one is not None)
        projected = self.proj(torch.cat(mixed, dim=-1))
        return projected, self.proj(torch.cat(mixed_beside, dim=-1)) if mixed_beside else None

    def _attend_with_copies(
        self, qkv: list[Tensor], beside: list[Tensor] | None, grouping: Grouping
    ) -> tuple[Tensor, Tensor | None]:
        """A copy of the tokens beside the grid joins every group; the copies are averaged."""
        grid = _grid(qkv[0])
        q, k, v = (group(one, grouping) for one in qkv)  # each (B, G, N, D)
        groups, extra = q.shape[1], 0
        if beside is not None:
            extra = beside[0].shape[2]
            copies = [one.expand(-1, groups, -1, -1) for one in beside]  # (B, G, P, D)
            q, k, v = (torch.cat([c, one], 2) for c, one in zip(copies, (q, k, v), strict=True))
        real = grouping_mask(grouping, grid, q.device)  # (G, N)
        if real is not None:
            always = torch.ones(groups, extra, dtype=torch.bool, device=q.device)
            real = torch.cat([always, real], dim=1)
        mixed = self._mix(q, k, v, real, extra, grid)
        out = ungroup(mixed[:, :, extra:], grouping, grid)
        if beside is None:
            return out, None
        out_beside = mixed[:, :, :extra]  # (B, G, P, D)
        return out, out_beside.mean(1, keepdim=True) if beside[0].shape[1] == 1 else out_beside

    def _attend_with_global(
        self, qkv: list[Tensor], beside: list[Tensor] | None, grouping: Grouping
    ) -> tuple[Tensor, Tensor | None]:
        """Groups also see the tokens beside the grid; these see everything."""
        assert beside is not None
        grid = _grid(qkv[0])
        q, k, v = (group(one, grouping) for one in qkv)
        copies = [one.expand(-1, q.shape[1], -1, -1) for one in beside[1:]]
        keys, values = (torch.cat([c, one], 2) for c, one in zip(copies, (k, v), strict=True))
        real, extra = grouping_mask(grouping, grid, q.device), beside[0].shape[2]
        if real is not None:
            always = torch.ones(len(real), extra, dtype=torch.bool, device=q.device)
            real = torch.cat([always, real], dim=1)
        out = ungroup(self._mix(q, keys, values, real, extra, grid), grouping, grid)
        all_keys, all_values = (
            torch.cat([own[:, 0], one.flatten(1, 3)], dim=1)  # (B, P + T H W, D)
            for own, one in zip(beside[1:], qkv[1:], strict=True)
        )
        heads = self._heads()
        return out, attend(beside[0][:, 0], all_keys, all_values, heads=heads)[:, None]

    def _mix(
        self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None, extra: int, grid: Size
    ) -> Tensor:
        """q: (B, G, N, D), k, v: (B, G, S, D) -> (B, G, N, D).

        Args:
            q: queries.
            k: keys, the first `extra` of them from beside the grid.
            v: values.
            real: (G, S) bool, false for padding; None when there is none.
            extra: P.
            grid: (T, H, W).
        """
        shape = q.shape
        q, k, v = (one.flatten(0, 1) for one in (q, k, v))  # (B * G, N or S, D)
        if self.step.mixer == "performer":
            projections = cast(Tensor, self.projections).to(q.dtype)
            mixed = performer_attention(q, k, v, projections, heads=self._heads())
        elif self.step.mixer == "linformer":
            key_places, value_places = (
                self._places(places, extra, grid) for places in (self.key_places, self.value_places)
            )
            mixed = linformer_attention(q, k, v, key_places, value_places, heads=self._heads())
        elif real is None:
            mixed = attend(q, k, v, heads=self._heads())
        else:
            mask = real.repeat(shape[0], 1)[:, None, None]  # (B * G, 1, 1, S)
            mixed = attend(q, k, v, heads=self._heads(), bias=mask)
        return mixed.view(shape)

    def _places(self, places: Tensor, extra: int, grid: Size) -> Tensor:
        """places: (R, T0, H0, W0) -> (P + R, P + T H W). Tokens beside the grid stay by themselves.

        A place sums over tokens, so on a grid with more of them each weighs less.
        """
        learned = places[0].numel()
        flat = resize_positions(places.permute(1, 2, 3, 0), grid).flatten(0, 2).t()  # (R, T H W)
        flat = flat * (learned / flat.shape[1])
        return torch.block_diag(torch.eye(extra, device=flat.device, dtype=flat.dtype), flat)

    def _heads(self) -> int:
        """Heads of one grouping."""
        return self.heads // len(self.step.groupings)


def _parts(qkv: Tensor, parts: int) -> list[list[Tensor]]:
    """qkv: (..., 3D) -> for every grouping its queries, keys and values, each (..., D / parts)."""
    split = [one.chunk(parts, dim=-1) for one in qkv.chunk(3, dim=-1)]
    return [[one[part] for one in split] for part in range(parts)]


def _grid(x: Tensor) -> Size:
    return x.shape[1], x.shape[2], x.shape[3]
