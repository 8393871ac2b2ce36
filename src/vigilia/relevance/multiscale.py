"""Multi-scale temporal relevance: which moments matter, within the clip, lately, and in all.

Three poolings, each a softmax over time of learned scores, so that its weights can be shown:

- *frames*: the time positions of the current clip, of one stage's tokens;
- *clips*: the last R clips, with a bias by their age in seconds;
- *sequence*: all clips since the stream began. Every head keeps one running weighted mean and the
  logarithm of its total weight (the running softmax of Milakov and Gimelshein, "Online normalizer
  calculation for softmax", 2018), and older weight halves with a half-life of the head's own, as in
  retention (Sun et al., "Retentive network", 2023). What remains is bounded, and exact.

A last softmax says how much each scale counts. The scales are pooled each over its own moments and
only then fused, so their lengths need not agree. What was found goes to the pooled embedding
through a gate that starts at zero: a fresh module changes nothing.

It obeys `vigilia.memory.base.Memory`, so it stands wherever a memory can, behind any backbone. The
weights of the last clip lie in the state, beside what is remembered.

Letters: B streams, T H W token grid, D features, F frames weighed, R recent clips, V features of a
value, h heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.memory.base import Features, Readers
from vigilia.memory.reading import AGE_KNOTS, slot_bias
from vigilia.memory.slots import push
from vigilia.relevance.predictive import PredictionState, TokenPredictor, attention_prior
from vigilia.state import State

__all__ = ["RelevanceState", "TemporalRelevance", "multiscale"]

SCALES = ("frames", "clips", "sequence")
HALF_LIVES = (8.0, 4096.0)
"""Seconds; of the first head and of the last, those between on a logarithmic scale."""


@dataclass(frozen=True)
class RelevanceState(State):
    """What is remembered, and how the last clip was weighed.

    Attributes:
        recent: (B, R, V) values of the last clips, oldest first.
        recent_scores: (B, R, h) their scores.
        recent_seconds: (B, R) float64, when they ended.
        held: (B, V) the running weighted mean of all clips; each head has its part of V.
        held_weight: (B, h) logarithm of the total weight.
        frame_weights: (B, F) of the last clip's moments; they sum to 1.
        clip_weights: (B, R) of the recent clips, the last is the current; they sum to 1.
        sequence_shares: (B, h) how much of what is held came with the last clip.
        scale_weights: (B, 3) of frames, clips and sequence; they sum to 1.
        prediction: what is expected of the next clip; empty without `surprise`.
    """

    recent: Tensor
    recent_scores: Tensor
    recent_seconds: Tensor
    held: Tensor
    held_weight: Tensor
    frame_weights: Tensor
    clip_weights: Tensor
    sequence_shares: Tensor
    scale_weights: Tensor
    prediction: State = field(default_factory=State)


class TemporalRelevance(nn.Module):
    """Relevance at three scales; a memory of fixed size whose weights can be read.

    Args:
        embedding_dim: D of the backbone's pooled summary.
        stage_dim: D of the stage whose tokens are weighed frame by frame.
        stage: its number, from 1.
        frames: F; clips with more time positions are averaged, with fewer repeated.
        recent_clips: R.
        heads: h.
        value_dim: V; h divides it.
        surprise: what surprises draws weight.

    Raises:
        OptionError: a value that cannot work.
    """

    def __init__(
        self,
        *,
        embedding_dim: int,
        stage_dim: int,
        stage: int,
        frames: int = 8,
        recent_clips: int = 16,
        heads: int = 8,
        value_dim: int = 128,
        surprise: bool = False,
    ) -> None:
        super().__init__()
        if min(frames, recent_clips, heads, value_dim) < 1 or value_dim % heads:
            raise OptionError(
                "frames, recent_clips, heads and value_dim must be at least 1, and heads divide "
                f"value_dim, got {frames}, {recent_clips}, {heads} and {value_dim}"
            )
        self.embedding_dim = embedding_dim
        self.stage_numbers = (stage,)
        self.frames, self.recent_clips = frames, recent_clips
        self.heads, self.value_dim = heads, value_dim
        self.norm_frames = nn.LayerNorm(stage_dim)
        self.frame_score = nn.Linear(stage_dim, 1)
        self.norm = nn.LayerNorm(embedding_dim)
        self.hear = nn.Linear(embedding_dim, value_dim)
        self.hear_frames = nn.Linear(stage_dim, value_dim)
        self.mix = nn.Linear(value_dim, 2 * value_dim)
        self.score = nn.Linear(2 * value_dim, 2 * heads)
        self.value = nn.Linear(2 * value_dim, value_dim)
        self.scale = nn.Linear(2 * value_dim, len(SCALES))
        self.age_bias = nn.Parameter(torch.zeros(heads, AGE_KNOTS))
        first, last = (math.log2(seconds) for seconds in HALF_LIVES)
        self.log_half_life = nn.Parameter(torch.linspace(first, last, heads))
        self.hold = nn.Linear(len(SCALES) * value_dim, 2 * value_dim)
        self.output = nn.Linear(2 * value_dim + len(SCALES) * value_dim, embedding_dim)
        self.gate = nn.Parameter(torch.zeros(embedding_dim))
        # It expects each clip to be as the one before, and has nothing to learn.
        self.predictor = (
            TokenPredictor(embedding_dim, hidden=1).requires_grad_(False) if surprise else None
        )
        self.strength = nn.Parameter(torch.ones(2 * heads)) if surprise else None
        for layer in (self.frame_score, self.scale):
            nn.init.zeros_(layer.weight)  # all moments and all scales alike
            nn.init.zeros_(layer.bias)

    def init_state(
        self, batch_size: int, *, device: torch.device, dtype: torch.dtype
    ) -> RelevanceState:
        """Nothing was seen: all zeros."""

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(batch_size, *shape, device=device, dtype=dtype)

        return RelevanceState(
            recent=zeros(self.recent_clips, self.value_dim, dtype=dtype),
            recent_scores=zeros(self.recent_clips, self.heads),
            recent_seconds=zeros(self.recent_clips, dtype=torch.float64),
            # In float32 whatever is asked for: small shares of a long stream must still count.
            held=zeros(self.value_dim),
            held_weight=zeros(self.heads),
            frame_weights=zeros(self.frames),
            clip_weights=zeros(self.recent_clips),
            sequence_shares=zeros(self.heads),
            scale_weights=zeros(len(SCALES)),
            prediction=State()
            if self.predictor is None
            else self.predictor.init_state(batch_size, 1, device=device),
        )

    def readers(self, state: RelevanceState, *, seconds: Tensor, clips: Tensor) -> Readers:
        """None: the backbone runs as it would without memory."""
        return {}

    def update(
        self,
        features: Features,
        pooled: Tensor,
        state: RelevanceState,
        *,
        seconds: Tensor,
        clips: Tensor,
    ) -> tuple[Tensor, RelevanceState]:
        """Weighs a clip; see `vigilia.memory.base.Memory.update`.

        pooled: (B, D) -> embedding (B, D).
        """
        kind = pooled.dtype
        frame_weights, frames = self._weigh_frames(features[self.stage_numbers[0] - 1])
        mixed = self.mix(self.hear(self.norm(pooled)) + frames)  # (B, 2 V)
        clip = F.gelu(mixed)
        scores, prediction = self._prior(self.score(clip), pooled, state, seconds)
        lately, overall = scores.chunk(2, dim=1)  # (B, h) each
        value = self.value(clip)  # (B, V)
        recent = push(state.recent, value, None)
        recent_scores = push(state.recent_scores, lately, None)
        times = push(state.recent_seconds, seconds, None)
        clip_weights, remembered = self._weigh_clips(recent.to(kind), recent_scores, times, clips)
        passed = (seconds - state.recent_seconds[:, -1]).clamp(min=0).float()
        weight, shares = self._share(overall, state.held_weight, passed, first=clips == 0)
        held = self._move(state.held, value, shares)
        scale_weights = self.scale(clip).softmax(dim=1)  # (B, 3)
        found = torch.stack([frames, remembered.to(kind), held.to(kind)], dim=1)  # (B, 3, V)
        scaled = (len(SCALES) * scale_weights[..., None] * found).flatten(1)
        both = torch.cat([F.gelu(self.hold(scaled) + mixed), scaled], dim=1)
        after = RelevanceState(
            recent=recent,
            recent_scores=recent_scores,
            recent_seconds=times,
            held=held,
            held_weight=weight,
            frame_weights=frame_weights.float(),
            clip_weights=clip_weights.float(),
            sequence_shares=shares,
            scale_weights=scale_weights.float(),
            prediction=prediction,
        )
        return pooled + self.gate * self.output(both), after

    def _prior(
        self, scores: Tensor, pooled: Tensor, state: RelevanceState, seconds: Tensor
    ) -> tuple[Tensor, State]:
        """scores: (B, 2 h), pooled: (B, D) -> scores that surprise has raised or lowered."""
        if self.predictor is None or self.strength is None:
            return scores, state.prediction
        expected = cast(PredictionState, state.prediction)
        seen, prediction = self.predictor(pooled[:, None].float(), expected, seconds=seconds)
        prior = attention_prior(seen.places)[:, 0, 0]  # (B, 1)
        return scores + (self.strength * prior).to(scores.dtype), prediction

    def _weigh_frames(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens: (B, T, H, W, D) -> weights (B, F), what the weighted frames hold (B, V)."""
        by_time = tokens.mean(dim=(2, 3)).transpose(1, 2)  # (B, D, T)
        moments = F.adaptive_avg_pool1d(by_time, self.frames).transpose(1, 2)  # (B, F, D)
        moments = self.norm_frames(moments)
        weights = self.frame_score(moments)[..., 0].softmax(dim=1)
        return weights, self.hear_frames((weights[..., None] * moments).sum(dim=1))

    def _weigh_clips(
        self, values: Tensor, scores: Tensor, times: Tensor, clips: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weights of the recent clips, averaged over heads (B, R), and what they hold (B, V)."""
        place = torch.arange(self.recent_clips, device=clips.device)
        filled = place >= self.recent_clips - 1 - clips[:, None]  # (B, R)
        bias = slot_bias(self.age_bias, times[:, -1:] - times, filled, 1)[:, :, 0]  # (B, h, R)
        weights = (scores.transpose(1, 2) + bias).softmax(dim=2)
        split = values.unflatten(2, (self.heads, -1))  # (B, R, h, V / h)
        remembered = torch.einsum("bhr,brhv->bhv", weights.to(split.dtype), split).flatten(1)
        return weights.mean(dim=1), remembered

    def _share(
        self, scores: Tensor, weight: Tensor, passed: Tensor, *, first: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The total weight behind this clip, and this clip's share of it; (B, h) each."""
        faded = weight - math.log(2) * passed[:, None] / torch.exp2(self.log_half_life)
        scores = scores.float()
        # Logarithms throughout: nothing overflows, and nothing has to be made small now and then.
        total = torch.where(first[:, None], scores, torch.logaddexp(faded, scores))
        return total, torch.exp(scores - total)

    def _move(self, held: Tensor, value: Tensor, shares: Tensor) -> Tensor:
        """The running mean, moved towards a clip's value by its share. (B, V)."""
        each = shares.repeat_interleave(self.value_dim // self.heads, dim=1)
        return torch.lerp(held, value.float(), each)


def multiscale(
    backbone: nn.Module,
    *,
    stage: int | None = None,
    frames: int = 8,
    recent_clips: int = 16,
    heads: int = 8,
    value_dim: int = 128,
    surprise: bool = False,
) -> TemporalRelevance:
    """Temporal relevance for any backbone; the last stage's frames by default.

    The options are those of `TemporalRelevance`; the signature is that of an entry of
    `vigilia.memory.MEMORIES`.

    Raises:
        OptionError: no such stage, or another value that cannot work.
    """
    dims: tuple[int, ...] = backbone.stage_dims  # type: ignore[assignment]
    number = len(dims) if stage is None else stage
    if not 1 <= number <= len(dims):
        raise OptionError(f"stage must lie in 1..{len(dims)}, got {stage}")
    return TemporalRelevance(
        embedding_dim=backbone.embedding_dim,  # type: ignore[arg-type]
        stage_dim=dims[number - 1],
        stage=number,
        frames=frames,
        recent_clips=recent_clips,
        heads=heads,
        value_dim=value_dim,
        surprise=surprise,
    )
