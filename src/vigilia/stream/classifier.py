"""5. The stream classifier: one step is one clip, and what it remembers is a value.

    state = model.init_state(batch_size)
    logits, state = model.step(clip, state)

Training, evaluation, `vigilia run` and every later service know only this.

Letters: B streams, C channels, T frames, H W pixels, K classes, D features, F frames of sound,
M mel bands.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from vigilia.backbones import BackboneState, StreamingBackbone
from vigilia.errors import OptionError
from vigilia.memory import Features, Memory
from vigilia.state import State, reset, where_rows
from vigilia.stream.seeing import see
from vigilia.stream.values import ModelSpec, Precision, Specified, StreamState, check_step
from vigilia.video import audio as sound

__all__ = ["StreamClassifier"]


class StreamClassifier(Specified, nn.Module):
    """Backbone, memory and head behind `init_state` and `step`.

    Args:
        backbone: obeys `vigilia.backbones.Backbone`.
        memory: obeys `vigilia.memory.base.Memory`.
        spec: what the two were built from; holds classes and preprocessing.

    Attributes:
        card: what the weights were trained on, and how well they did; written into checkpoints.
        compiled: whether a step is one graph, see `vigilia.stream.compiled`.
    """

    def __init__(self, backbone: nn.Module, memory: nn.Module, *, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.memory = memory
        self.head = nn.Linear(cast(Memory, memory).embedding_dim, len(spec.classes))
        self.spec = spec
        self.compiled = False
        self.card: dict[str, Any] = {}
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def receptive_frames(self) -> int:
        """Frames that reach the logits without memory; what memory adds is on top."""
        if isinstance(self.backbone, StreamingBackbone):
            return self.backbone.receptive_frames
        return self.preprocessing.clip_frames

    @property
    def latency_frames(self) -> int:
        """Frames from an event to the end of the first clip that can show it, at most."""
        return self.preprocessing.stride_frames

    def init_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> StreamState:
        """The state of streams that have seen nothing: all zeros.

        Args:
            batch_size: B.
            device: where it lies; by default where the model lies.
            dtype: of the remembered features; by default the model's. bfloat16 halves the bytes.
        """
        if batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, got {batch_size}")
        like = self.head.weight
        where = torch.device(device) if device is not None else like.device
        kind = dtype or like.dtype
        carried = BackboneState()
        if isinstance(self.backbone, StreamingBackbone):
            carried = self.backbone.init_state(
                batch_size,
                height=self.preprocessing.height,
                width=self.preprocessing.width,
                device=where,
                dtype=dtype or self.backbone_dtype,
            )
        return StreamState(
            memory=cast(Memory, self.memory).init_state(batch_size, device=where, dtype=kind),
            backbone=carried,
            seconds=torch.zeros(batch_size, device=where, dtype=torch.float64),
            clips=torch.zeros(batch_size, device=where, dtype=torch.int64),
            logits=torch.zeros(batch_size, len(self.classes), device=where, dtype=like.dtype),
        )

    def step(
        self,
        clip: Tensor,
        state: StreamState,
        *,
        active: Tensor | None = None,
        seconds: Tensor | None = None,
        audio: Tensor | None = None,
        precision: Precision = nullcontext,
    ) -> tuple[Tensor, StreamState]:
        """Classifies one clip of each stream and remembers it.

        clip: (B, C, T, H, W) -> logits (B, K).

        Args:
            clip: normalised frames, see `Preprocessing.to_clip`; for a streaming backbone the new
                ones alone.
            state: from `init_state` or the step before.
            active: (B,) bool; rows that are false are left as they were, bit for bit, and show
                their last logits again. None means all rows.
            seconds: (B,) float64, when each clip ended. None lets the nominal stride pass. Where
                more than a step's frames are missing, a streaming backbone starts anew; memory,
                which counts in seconds, does not.
            audio: (B, F, M) what was heard during the clip, for a model that `hears`; see
                `vigilia.video.audio`. NaN where nothing was heard; None if nothing was at all.
            precision: makes the context in which the backbone, nearly all of the work, runs, such
                as autocast. Memory and head cost little, and what is rounded there adds up over
                hours: they keep the precision of their weights.

        Raises:
            InputError: a shape that does not fit.
        """
        check_step(
            clip, state, active, seconds, audio, clip_frames=self.clip_frames, hears=self.hears
        )
        missed = None
        if seconds is None:
            seconds = state.seconds + self.preprocessing.stride_seconds
        elif self.streams:
            missed = self._missed(seconds, state.seconds)
        features, pooled, carried = see(
            self, clip, state, (), seconds=seconds, missed=missed, audio=audio, precision=precision
        )
        state_seen = replace(state, backbone=carried)
        _, new = self.step_features(features, pooled, state_seen, seconds=seconds)
        if active is not None:
            new = where_rows(active, new, state)
        return new.logits, new

    def steps(
        self,
        clips: Tensor,
        state: StreamState,
        *,
        starts: Tensor,
        seconds: Tensor,
        precision: Precision = nullcontext,
    ) -> tuple[list[Tensor], StreamState]:
        """S steps of a streaming backbone: how it is trained. S calls of `step` give the same.

        The stages before the first that reads memory run over all steps in parallel; memory is
        recurrent, so the others follow step by step.

        clips: (B, S, C, T, H, W) -> S times logits (B, K).

        Args:
            clips: of consecutive steps.
            state: before the first.
            starts: (B, S) bool, where a row's whole state is to be empty before the step.
            seconds: (B, S) float64, when each clip ended.
            precision: as in `step`.
        """
        assert isinstance(self.backbone, StreamingBackbone)
        count = clips.shape[1]
        before = torch.cat([state.seconds[:, None], seconds[:, :-1]], dim=1)
        missed = self._missed(seconds, before)
        readers = cast(Memory, self.memory).readers(
            state.memory, seconds=seconds[:, 0], clips=state.clips
        )
        alone = min(readers, default=len(self.backbone.stage_dims) + 1) - 1
        with precision():
            ahead, behind = self.backbone.run_stages(
                clips.transpose(1, 2).flatten(2, 3),  # (B, C, S * T, H, W)
                state.backbone,
                last=alone,
                starts=starts | missed,
            )
        by_step = [tokens.unflatten(1, (count, -1)).unbind(1) for tokens in ahead]
        logits = []
        for index in range(count):
            if starts[:, index].any():  # a state is large, and a reset is a copy of it
                state = reset(state, starts[:, index])
            features, pooled, carried = see(
                self,
                clips[:, index],
                state,
                tuple(tokens[index] for tokens in by_step),
                seconds=seconds[:, index],
                missed=missed[:, index],
                precision=precision,
            )
            shown, state = self.step_features(
                features, pooled, replace(state, backbone=carried), seconds=seconds[:, index]
            )
            logits.append(shown)
        parts = (*behind.stages[:alone], *state.backbone.stages[alone:])
        return logits, replace(state, backbone=BackboneState(parts))

    @property
    def backbone_dtype(self) -> torch.dtype:
        """The precision of the backbone's weights, which may be lower than that of the rest."""
        return next(self.backbone.parameters(), self.head.weight).dtype

    @property
    def streams(self) -> bool:
        """Whether the backbone is a streaming one."""
        return isinstance(self.backbone, StreamingBackbone)

    @property
    def hears(self) -> bool:
        """Whether the backbone takes sound beside the clip."""
        return bool(getattr(self.backbone, "hears", False))

    def unheard(self, rows: int) -> Tensor:
        """(B, F, M), all NaN: the sound of a clip during which nothing was heard."""
        frames = round(self.clip_frames / self.preprocessing.fps * sound.FRAMES_PER_SECOND)
        return self.head.weight.new_full((rows, max(frames, 1), sound.MEL_BANDS), math.nan)

    def _missed(self, seconds: Tensor, before: Tensor) -> Tensor:
        """Where a hole of more than one stride lies between a clip and the one before.

        Args:
            seconds: float64, when each clip ended.
            before: likewise, the clip before it.
        """
        return seconds - before > 2 * self.preprocessing.stride_seconds

    def step_features(
        self, features: Features, pooled: Tensor, state: StreamState, *, seconds: Tensor
    ) -> tuple[Tensor, StreamState]:
        """The second half of `step`: what comes after the backbone, whose state is left alone.

        Args:
            features: tokens of every stage; those that the memory does not write may be empty.
            pooled: (B, D) the backbone's summary of the clip.
            state: before the clip.
            seconds: (B,) float64, when each clip ended.
        """
        embedding, remembered = self.remember(features, pooled, state, seconds=seconds)
        logits = self.head(embedding)
        return logits, StreamState(
            memory=remembered,
            backbone=state.backbone,
            seconds=seconds,
            clips=state.clips + 1,
            logits=logits,
        )

    def remember(
        self, features: Features, pooled: Tensor, state: StreamState, *, seconds: Tensor
    ) -> tuple[Tensor, State]:
        """What the head classifies, (B, E), and the memory behind the clip; as `step_features`."""
        return cast(Memory, self.memory).update(
            features, pooled, state.memory, seconds=seconds, clips=state.clips
        )
