"""Selective state spaces over time: what is remembered, and for how long, depends on the content.

Each place has a state that decays and is driven at a rate that the token itself sets. A sequence is
scanned in parallel; a step is the recurrence itself, on a state of fixed size; both are the same
function, `vigilia.layers.selective_scan.scan`.

"Mamba: Linear-Time Sequence Modeling with Selective State Spaces", Gu, Dao, 2023; over the times of
a video, with attention inside frames, after "VideoMamba: State Space Model for Efficient Video
Understanding", Li, Li, Wang, He, Wang, Wang, Qiao, 2024 (which scans space, too).

Letters: B streams, F new times, H W the token grid, D features, E inner features, N states of each,
K taps of the convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.space_time.causal import CausalTransformer
from vigilia.backbones.space_time.causal_attention import CausalAttention, View
from vigilia.backbones.space_time.time_step import TimeStep
from vigilia.layers.selective_scan import scan
from vigilia.layers.windows import Size
from vigilia.state import State

__all__ = ["ScanState", "SelectiveScan", "state_space", "state_space_b", "state_space_nano"]


@dataclass(frozen=True)
class ScanState(State):
    """What a scan carries.

    Attributes:
        tail: (B, K - 1, H, W, E), the last inputs of the convolution, the oldest first.
        hidden: (B, H, W, E, N) float32, the state.
    """

    tail: Tensor
    hidden: Tensor


class SelectiveScan(TimeStep):
    """Mamba's mixer over the times of every place.

    3 F P D E + F P (K + R + 2 N) E + F P R E + F P N E multiply-adds for P places and rank R, and
    the scan, which has no matrix products: 2 F P E N, times log2 F when it runs in parallel.

    Args:
        dim: D.
        states: N.
        taps: K.
        expand: E over D.
    """

    lags = None

    def __init__(self, dim: int, *, states: int = 16, taps: int = 4, expand: int = 2) -> None:
        super().__init__()
        inner, self.rank, self.states = expand * dim, math.ceil(dim / 16), states
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.taps = nn.Parameter(torch.empty(inner, taps))
        self.taps_bias = nn.Parameter(torch.empty(inner))
        self.x_proj = nn.Linear(inner, self.rank + 2 * states, bias=False)
        self.rate = nn.Linear(self.rank, inner)
        self.log_decay = nn.Parameter(torch.empty(inner, states))
        self.skip = nn.Parameter(torch.empty(inner))
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As published: decays 1 to N, rates log-uniform in 0.001 to 0.1."""
        with torch.no_grad():
            for layer in (self.in_proj, self.x_proj, self.out_proj):
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5))
            nn.init.uniform_(self.rate.weight, -(self.rank**-0.5), self.rank**-0.5)
            low, high = math.log(0.001), math.log(0.1)
            rates = torch.empty_like(self.rate.bias).uniform_(low, high).exp()
            self.rate.bias.copy_(rates + torch.log(-torch.expm1(-rates)))  # softplus gives `rates`
            decays = torch.arange(1, self.states + 1, device=self.log_decay.device).log()
            self.log_decay.copy_(decays.expand_as(self.log_decay))
            nn.init.ones_(self.skip)
            bound = self.taps.shape[1] ** -0.5
            nn.init.uniform_(self.taps, -bound, bound)
            nn.init.uniform_(self.taps_bias, -bound, bound)

    def init_state(
        self, batch_size: int, grid: tuple[int, int], *, device: torch.device, dtype: torch.dtype
    ) -> ScanState:
        """Zeros. The state adds up small things over long times, so it is float32 in any model."""
        inner, taps = self.taps.shape
        return ScanState(
            tail=torch.zeros(batch_size, taps - 1, *grid, inner, device=device, dtype=dtype),
            hidden=torch.zeros(batch_size, *grid, inner, self.states, device=device),
        )

    def forward(self, x: Tensor, state: State, before: Tensor) -> tuple[Tensor, State]:
        """See `TimeStep`."""
        carried = cast(ScanState, state)
        inputs, gate = self.in_proj(x).chunk(2, dim=-1)  # (B, F, H, W, E)
        inputs = torch.cat([carried.tail.to(inputs.dtype), inputs], dim=1)
        tail = inputs[:, inputs.shape[1] - carried.tail.shape[1] :].to(carried.tail.dtype)
        u = F.silu(self._convolve(inputs, before))
        rank, drive_to, read_from = self.x_proj(u).split(
            [self.rank, self.states, self.states], dim=-1
        )
        rate = F.softplus(self.rate(rank)).float()
        decay = torch.exp(-rate[..., None] * self.log_decay.float().exp())  # (B, F, H, W, E, N)
        # Where a stream starts nothing is left of what was before.
        decay = decay * (before > 0).to(decay.dtype)[:, :, None, None, None, None]
        drive = (rate * u.float())[..., None] * drive_to.float()[..., None, :]
        hidden = scan(decay, drive, carried.hidden)
        read = (hidden @ read_from.float()[..., None])[..., 0].to(u.dtype)  # (B, F, H, W, E)
        out = self.out_proj((read + self.skip * u) * F.silu(gate))
        return out, ScanState(tail, hidden[:, -1])

    def _convolve(self, inputs: Tensor, before: Tensor) -> Tensor:
        """inputs: (B, K - 1 + F, H, W, E), before: (B, F) -> (B, F, H, W, E), each by itself."""
        taps, times = self.taps.shape[1], before.shape[1]
        out: Tensor = self.taps_bias
        for lag in range(taps):
            first = taps - 1 - lag
            shown = (before >= lag).to(inputs.dtype)[:, :, None, None, None]
            out = out + shown * inputs[:, first : first + times] * self.taps[:, first]
        return out


def state_space(
    *,
    dim: int,
    depth: int,
    heads: int,
    tubelet: Size,
    step_frames: int = 8,
    states: int = 16,
    taps: int = 4,
    expand: int = 2,
    height: int = 224,
    width: int = 224,
    mlp_ratio: float = 4.0,
    drop_path: float = 0.0,
    checkpoint_activations: bool = False,
) -> CausalTransformer:
    """Blocks of a selective scan over time, attention inside the frame, and an MLP.

    Its past has no last frame: `receptive_frames` is `UNBOUNDED_FRAMES`.

    Args:
        dim: D.
        depth: blocks, a multiple of 4.
        heads: of the attention.
        tubelet: frames, rows and columns of pixels in one token.
        step_frames: new frames of a step.
        states: N.
        taps: K.
        expand: E over D.
        height: H that positions are learned for.
        width: W, likewise.
        mlp_ratio: hidden width of the MLP over D.
        drop_path: stochastic depth of the last block.
        checkpoint_activations: trade time for memory in training.
    """

    def make_steps() -> list[TimeStep]:
        mixer = SelectiveScan(dim, states=states, taps=taps, expand=expand)
        return [mixer, CausalAttention(dim, heads, (View(("whole", "whole")),))]

    return CausalTransformer(
        make_steps,
        depth=depth,
        dim=dim,
        tubelet=tubelet,
        step_frames=step_frames,
        height=height,
        width=width,
        mlp_ratio=mlp_ratio,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def state_space_nano(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> CausalTransformer:
    """Four blocks for 64 x 64 pixels."""
    return state_space(
        dim=96,
        depth=4,
        heads=4,
        tubelet=(2, 8, 8),
        states=8,
        expand=1,
        height=64,
        width=64,
        mlp_ratio=2.0,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def state_space_b(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> CausalTransformer:
    """Twelve blocks of 768 features for 224 x 224 pixels."""
    return state_space(
        dim=768,
        depth=12,
        heads=12,
        tubelet=(2, 16, 16),
        expand=1,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )
