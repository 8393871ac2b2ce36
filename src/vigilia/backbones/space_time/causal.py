"""The causal space-time transformer: a step computes the new frames and nothing twice.

Letters: B streams, S steps, C channels, T frames, H W pixels, F new token times, H' W' the token
grid, D features, h heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vigilia.backbones.base import BackboneState, Reader, StreamingBackbone
from vigilia.backbones.space_time.block import (
    NORM_EPSILON,
    Activation,
    drop_path_rates,
    make_mlp,
)
from vigilia.backbones.space_time.embedding import Positions, Tubelets
from vigilia.backbones.space_time.stack import check_depth, draw_weights
from vigilia.backbones.space_time.time_step import TimeStep
from vigilia.errors import OptionError
from vigilia.layers.drop import DropPath
from vigilia.layers.windows import Size
from vigilia.state import State

__all__ = ["UNBOUNDED_FRAMES", "CausalTransformer", "StepMaker"]

UNBOUNDED_FRAMES = 2**31 - 1
"""`receptive_frames` of what forgets gradually and never has a last frame."""

StepMaker = Callable[[], list[TimeStep]]
"""Makes the steps of one block."""


@dataclass(frozen=True)
class StageState(State):
    """What a stage carries.

    Attributes:
        seen: (B,) int64, token times since the stream started.
        steps: the state of every step of every block.
    """

    seen: Tensor
    steps: tuple[State, ...]


class CausalStep(nn.Module):
    """Norm, mixer and, between two steps, a further linear layer; without the residual."""

    def __init__(self, dim: int, mixer: TimeStep, *, between: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.attention = mixer
        self.between = nn.Linear(dim, dim) if between else None

    def forward(self, x: Tensor, state: State, before: Tensor) -> tuple[Tensor, State]:
        """See `TimeStep`."""
        x, state = self.attention(self.norm(x), state, before)
        return (x if self.between is None else self.between(x)), state


class CausalBlock(nn.Module):
    """Steps, reading, MLP, each a residual."""

    def __init__(
        self,
        mixers: list[TimeStep],
        *,
        dim: int,
        between: bool,
        mlp_ratio: float,
        activation: Activation,
        drop_path: float,
        checkpoint_activations: bool,
    ) -> None:
        super().__init__()
        last = len(mixers) - 1
        self.steps = nn.ModuleList(
            CausalStep(dim, mixer, between=between and index < last)
            for index, mixer in enumerate(mixers)
        )
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.mlp = make_mlp(dim, mlp_ratio, activation)
        self.drop_path = DropPath(drop_path)
        self.checkpoint_activations = checkpoint_activations

    def forward(
        self, x: Tensor, states: tuple[State, ...], before: Tensor, reader: Reader | None = None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """x: (B, F, H', W', D), one state for each step -> the same."""
        # The reader stays outside what is recomputed, so that it runs once even then.
        again = self.checkpoint_activations and self.training and torch.is_grad_enabled()
        if again:
            x, states = checkpoint(self._attend, x, states, before, use_reentrant=False)
        else:
            x, states = self._attend(x, states, before)
        if reader is not None:
            x = x + reader(x)
        if again:
            return checkpoint(self._transform, x, use_reentrant=False), states
        return self._transform(x), states

    def _attend(
        self, x: Tensor, states: tuple[State, ...], before: Tensor
    ) -> tuple[Tensor, tuple[State, ...]]:
        carried = []
        for step, state in zip(self.steps, states, strict=True):
            added, state = step(x, state, before)
            x = x + self.drop_path(added)
            carried.append(state)
        return x, tuple(carried)

    def _transform(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mlp(self.norm(x)))


class CausalTransformer(StreamingBackbone):
    """Blocks whose steps see no later time; see `StreamingBackbone`.

    Every output depends on its own and earlier token times alone, so the frames of a step may come
    in portions of any size. The stages have equal depth and one grid. With `temporal`, the last
    stage sees one token a time, the mean over places, as ViViT's factorised encoder does.

    Args:
        make_steps: the steps of a block.
        depth: blocks, those of `temporal` not among them.
        dim: D.
        tubelet: frames, rows and columns of pixels in one token.
        step_frames: T, new frames of a step; a multiple of the tubelet's.
        height: H that positions are learned for; other sizes resize them.
        width: W, likewise.
        stages: divides depth, or with `temporal` one more than divides it.
        temporal: the steps of a block of the last stage.
        temporal_depth: its blocks.
        between: a linear layer follows every step of a block but the last.
        mlp_ratio: hidden width of the MLP over D.
        activation: of the MLP.
        drop_path: stochastic depth of the last block; it rises linearly from zero at the first.
        checkpoint_activations: while training, keep block inputs only and recompute the rest.

    Raises:
        OptionError: values that do not go together.
    """

    def __init__(
        self,
        make_steps: StepMaker,
        *,
        depth: int,
        dim: int,
        tubelet: Size,
        step_frames: int,
        height: int,
        width: int,
        stages: int = 4,
        temporal: StepMaker | None = None,
        temporal_depth: int = 4,
        between: bool = False,
        mlp_ratio: float = 4.0,
        activation: Activation = "exact",
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        spatial_stages = stages - (temporal is not None)
        check_depth(depth, spatial_stages)
        if step_frames < 1 or step_frames % tubelet[0]:
            raise OptionError(
                f"step_frames must be a multiple of the tubelet's {tubelet[0]}, got {step_frames}"
            )
        makers = [make_steps] * depth + [temporal] * (temporal_depth if temporal else 0)
        rates = drop_path_rates(drop_path, len(makers))
        blocks = [
            CausalBlock(
                cast(StepMaker, maker)(),
                dim=dim,
                between=between,
                mlp_ratio=mlp_ratio,
                activation=activation,
                drop_path=rate,
                checkpoint_activations=checkpoint_activations,
            )
            for maker, rate in zip(makers, rates, strict=True)
        ]
        each = depth // spatial_stages
        starts = [*range(0, depth, each), *([depth] if temporal else [])]
        self.stage_dims = (dim,) * stages
        self.embedding_dim = dim
        self.step_frames = step_frames
        self.receptive_frames = _receptive_frames(blocks, step_frames, tubelet[0])
        self.tubelets = Tubelets(tubelet, dim)
        grid = self.tubelets.grid(step_frames, height, width)
        self.positions = Positions(grid, dim, time=False)
        self.stages = nn.ModuleList(
            nn.ModuleList(blocks[start:end])
            for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True)
        )
        self.frame_norm = nn.LayerNorm(dim, eps=NORM_EPSILON) if temporal else None
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        draw_weights(self)
        for module in self.modules():
            if isinstance(module, TimeStep):
                module.reset_parameters()

    def init_state(
        self, batch_size: int, *, height: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> BackboneState:
        """See `StreamingBackbone`."""
        _, rows, columns = self.tubelets.grid(self.step_frames, height, width)
        states = []
        for number, stage in enumerate(self.stages, start=1):
            grid = (1, 1) if self._is_temporal(number) else (rows, columns)
            steps = tuple(
                cast(CausalStep, step).attention.init_state(
                    batch_size, grid, device=device, dtype=dtype
                )
                for block in cast(nn.ModuleList, stage)
                for step in cast(CausalBlock, block).steps
            )
            seen = torch.zeros(batch_size, dtype=torch.int64, device=device)
            states.append(StageState(seen, steps))
        return BackboneState(tuple(states))

    def run_stage(
        self,
        number: int,
        x: Tensor,
        state: State,
        *,
        starts: Tensor | None = None,
        reader: Reader | None = None,
    ) -> tuple[Tensor, State]:
        """See `StreamingBackbone`."""
        stage = cast(StageState, state)
        if number == 1:
            x = self.positions(self.tubelets(x))
        if self._is_temporal(number) and self.frame_norm is not None:
            x = self.frame_norm(x).mean(dim=(2, 3), keepdim=True)  # (B, F, 1, 1, D)
        before = _times_before(stage.seen, x.shape[1], starts)
        carried: list[State] = []
        blocks = [cast(CausalBlock, one) for one in cast(nn.ModuleList, self.stages[number - 1])]
        for index, block in enumerate(blocks):
            mine = stage.steps[len(carried) : len(carried) + len(block.steps)]
            x, new = block(x, mine, before, reader if index == len(blocks) - 1 else None)
            carried.extend(new)
        return x, StageState(before[:, -1] + 1, tuple(carried))

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: tokens of every stage -> (B, D): norm and mean of the last stage's."""
        return self.norm(features[-1]).mean(dim=(1, 2, 3))

    def _is_temporal(self, number: int) -> bool:
        return self.frame_norm is not None and number == len(self.stages)


def _times_before(seen: Tensor, count: int, starts: Tensor | None) -> Tensor:
    """seen: (B,), starts: (B, S) -> (B, F = count), how many times each of the new ones may see."""
    times = torch.arange(count, device=seen.device)
    before = seen[:, None] + times
    if starts is None:
        return before
    per_step = count // starts.shape[1]
    firsts = torch.zeros(len(seen), count, dtype=torch.bool, device=seen.device)
    firsts[:, ::per_step] = starts
    begun = torch.where(firsts, times, -1).cummax(dim=1).values  # the last start so far, or -1
    return torch.where(begun >= 0, times - begun, before)


def _receptive_frames(blocks: list[CausalBlock], step_frames: int, tubelet_frames: int) -> int:
    steps = [cast(CausalStep, step) for block in blocks for step in block.steps]
    lags = [step.attention.lags for step in steps]
    if any(lag is None for lag in lags):
        return UNBOUNDED_FRAMES
    return step_frames + tubelet_frames * sum(cast(list[int], lags))
