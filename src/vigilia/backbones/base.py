"""What a backbone is: a clip goes in, one grid of tokens per stage comes out.

There are two kinds. A plain one sees a whole clip at each call and carries nothing. A streaming one
sees only the frames that are new and carries what it needs of the earlier ones in a state.

Letters: B streams, S steps, C channels, T frames, H W pixels; T' H' W' the token grid of stage s
and D_s its width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.state import State

__all__ = ["Backbone", "BackboneState", "Reader", "StreamingBackbone", "check_call"]

Reader = Callable[[Tensor], Tensor]


class Backbone(Protocol):
    """The contract that the memory, the classifier and the trainer rely on.

    Attributes:
        stage_dims: D_s of every stage, first stage first.
        embedding_dim: D of the pooled embedding.

    A backbone with an attribute `hears = True` is called with one more argument, `audio`: (B, F, M)
    log-mel frames of the clip's own seconds, NaN where nothing was heard.
    """

    stage_dims: tuple[int, ...]
    embedding_dim: int

    def __call__(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C, T, H, W) -> per stage (B, T', H', W', D_s), before any downsampling.

        Args:
            readers: by stage number, counted from 1: a function of the tokens (B, T', H', W', D_s)
                that returns an increment of the same shape. It is called once, in the stage's last
                block, between attention and MLP.
        """
        ...

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what the call returned -> (B, D), the clip in one vector."""
        ...


@dataclass(frozen=True)
class BackboneState(State):
    """What a streaming backbone carries from step to step; a plain one carries nothing.

    Attributes:
        stages: one state for each stage, first stage first; what comes before the first stage
            belongs to it. None of a plain backbone.
    """

    stages: tuple[State, ...] = ()


class StreamingBackbone(nn.Module, ABC):
    """A backbone that sees only new frames; also a `Backbone`, on whole sequences.

    A family writes `init_state`, `run_stage` and `pool`. The stages run one after another; each
    takes S steps at once, and S steps at once equal S times one step within rounding: the first is
    how it is trained, the second how it watches.

    Attributes:
        stage_dims: D_s of every stage, first stage first.
        embedding_dim: D of the pooled embedding.
        step_frames: T, the new frames of one step; `clip_frames` and `stride_frames` of its models.
        receptive_frames: frames, the new ones among them, that can reach what a step returns.
    """

    stage_dims: tuple[int, ...]
    embedding_dim: int
    step_frames: int
    receptive_frames: int

    @abstractmethod
    def init_state(
        self, batch_size: int, *, height: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> BackboneState:
        """The state of streams that have seen nothing: all zeros, of a shape that never changes.

        Zeros must not be taken for something seen: a count of what a row has seen says so.

        Args:
            batch_size: B.
            height: H of the frames that will come.
            width: W.
            device: where it lies.
            dtype: of what is remembered of the frames.
        """

    @abstractmethod
    def run_stage(
        self,
        number: int,
        x: Tensor,
        state: State,
        *,
        starts: Tensor | None = None,
        reader: Reader | None = None,
    ) -> tuple[Tensor, State]:
        """One stage over S consecutive steps of every stream.

        Args:
            number: of the stage, from 1.
            x: the clip (B, C, S * T, H, W) for the first stage, for the others the tokens of the
                stage before, (B, S * T', H', W', D).
            state: of this stage, before the first of the steps.
            starts: (B, S) bool, true where a step is to see nothing that came before it. None
                means nowhere.
            reader: called once, in the last block, with the tokens of all S steps.

        Returns:
            The tokens (B, S * T', H', W', D_s), and the stage's state behind the last step.
        """

    def run_stages(
        self,
        x: Tensor,
        state: BackboneState,
        *,
        first: int = 1,
        last: int | None = None,
        starts: Tensor | None = None,
        readers: Mapping[int, Reader] | None = None,
    ) -> tuple[tuple[Tensor, ...], BackboneState]:
        """Stages `first` to `last` over S steps; the arguments are those of `run_stage`.

        Returns:
            The tokens of these stages, and the state, in which only these stages have moved on.
        """
        stages, features = list(state.stages), []
        for number in range(first, (last or len(self.stage_dims)) + 1):
            reader = (readers or {}).get(number)
            x, stages[number - 1] = self.run_stage(
                number, x, stages[number - 1], starts=starts, reader=reader
            )
            features.append(x)
        return tuple(features), BackboneState(tuple(stages))

    def step(
        self,
        clip: Tensor,
        state: BackboneState,
        readers: Mapping[int, Reader] | None = None,
        *,
        starts: Tensor | None = None,
    ) -> tuple[tuple[Tensor, ...], BackboneState]:
        """One step. clip: (B, C, T, H, W), the new frames -> per stage (B, T', H', W', D_s).

        Args:
            clip: T = `step_frames`.
            state: from `init_state` or the step before.
            readers: as of a plain backbone.
            starts: (B,) bool, rows that are to see nothing that came before.

        Raises:
            OptionError: a clip of another shape, or a reader's stage that does not exist.
        """
        check_call(clip, readers or {}, stages=len(self.stage_dims))
        if clip.shape[2] != self.step_frames:
            raise OptionError(
                f"a step takes the {self.step_frames} new frames, got {clip.shape[2]} "
                f"in a clip {tuple(clip.shape)}"
            )
        started = None if starts is None else starts[:, None]
        return self.run_stages(clip, state, starts=started, readers=readers)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """A whole sequence from the empty state. (B, C, S * T, H, W) -> (B, S * T', H', W', D_s).

        Raises:
            OptionError: as in `step`.
        """
        check_call(clip, readers or {}, stages=len(self.stage_dims))
        if clip.shape[2] % self.step_frames:
            raise OptionError(
                f"a sequence must be a multiple of {self.step_frames} frames, got {clip.shape[2]} "
                f"in a clip {tuple(clip.shape)}"
            )
        state = self.init_state(
            len(clip),
            height=clip.shape[3],
            width=clip.shape[4],
            device=clip.device,
            dtype=clip.dtype,
        )
        return self.run_stages(clip, state, readers=readers)[0]

    @abstractmethod
    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: tokens of every stage -> (B, D), all their steps in one vector."""


def check_call(clip: Tensor, readers: Mapping[int, Reader], *, stages: int) -> None:
    """Refuses what no backbone with that many stages can be called with.

    Raises:
        OptionError: the clip has another layout, or a reader's stage does not exist.
    """
    if clip.ndim != 5 or clip.shape[1] != 3 or 0 in clip.shape:
        hint = "; frames first?" if clip.ndim == 5 and clip.shape[2] == 3 else ""
        raise OptionError(f"clip must be (B, C=3, T, H, W), got {tuple(clip.shape)}{hint}")
    if unknown := sorted(set(readers) - set(range(1, stages + 1))):
        raise OptionError(f"readers name stages {unknown}, this backbone has 1 to {stages}")
