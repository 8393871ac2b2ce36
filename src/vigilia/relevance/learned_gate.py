"""The gate as a learned module: which clips a model has to see, learned from what it said of all.

Every clip brings an increment of evidence that the last result no longer holds; increments add up,
and where they reach one half the clip is stepped and the evidence starts anew. That is Skip RNN
(Campos et al., "Skip RNN: learning to skip state updates in recurrent neural networks", ICLR 2018)
on pictures in place of a recurrent state.

It is trained by distillation from ungated steps: of recordings on which every clip was stepped, the
gate is to keep the results as they are (Kullback and Leibler's divergence) within a budget of
steps. A step is 0 or 1 going forward and its evidence going back (the straight-through estimator
of Bengio, Leonard and Courville, 2013), so gradient reaches the predictor; and a skipped clip is
really not computed, where a product with zero would save nothing.

Where the gate was not trained, or sees a change unlike any that it was trained on, the sensor-noise
gate of `gate.py` decides. Distillation does not see what a skipped clip would have written into
memory: measure on whole recordings before relying on it.

Letters: B recordings, S clips, K classes, E features of `change.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.errors import InputError, OptionError
from vigilia.relevance.change import FEATURES, ChangeState, change_features, end_clip
from vigilia.relevance.gate import GateOptions, decide

__all__ = ["LearnedGate", "decide_learned", "gated", "step_now", "train_gate"]

MARGIN = 0.25
"""Features may leave the range of training by so much of that range."""


class LearnedGate(nn.Module):
    """Increment of evidence from what a clip changed. (..., E) -> (...), never negative.

    Args:
        hidden: units of the hidden layer.

    Attributes:
        low: (E,) least features seen in training; above `high` while there was none.
        high: (E,) greatest.
    """

    low: Tensor
    high: Tensor

    def __init__(self, *, hidden: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, hidden), nn.GELU(), nn.Linear(hidden, 1))
        self.register_buffer("low", torch.ones(FEATURES))
        self.register_buffer("high", torch.zeros(FEATURES))

    def forward(self, features: Tensor) -> Tensor:
        """features: (..., E) -> (...)."""
        # Not a sigmoid: where it is sure it lets no gradient through, and could not be taught to
        # let an event pass when the budget is small.
        return F.softplus(self.layers(features)[..., 0] - 1)

    def knows(self, features: Tensor) -> bool:
        """Whether features (E,) lie within what it was trained on, give or take `MARGIN`."""
        width = self.high - self.low
        if bool((width < 0).any()):
            return False
        beyond = MARGIN * width + 1e-3
        return bool(((features >= self.low - beyond) & (features <= self.high + beyond)).all())


def step_now(increment: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
    """Adds an increment and steps at one half.

    increment: (B,), evidence: (B,) -> steps (B,) in {0, 1}, evidence (B,) that is left.

    Increments of 0.2 step every third clip: 0.2, 0.4, 0.6. Gradient flows through the evidence.
    """
    total = evidence + increment
    hard = (total >= 0.5).to(total.dtype)
    step = hard + total - total.detach()
    return step, (1 - step) * total


def gated(increments: Tensor, results: Tensor) -> tuple[Tensor, Tensor]:
    """What would have been shown, had only the chosen clips been stepped.

    increments: (B, S), results: (B, S, K) -> steps (B, S) in {0, 1}, shown (B, S, K).

    The first clip is always stepped. Gradient reaches the increments through both.

    Raises:
        InputError: shapes that do not fit.
    """
    if increments.shape != results.shape[:2]:
        raise InputError(
            f"increments must be (B, S) = {tuple(results.shape[:2])}, got {tuple(increments.shape)}"
        )
    steps = [torch.ones_like(increments[:, 0])]
    shown = [results[:, 0]]
    evidence = torch.zeros_like(increments[:, 0])
    for clip in range(1, increments.shape[1]):
        step, evidence = step_now(increments[:, clip], evidence)
        steps.append(step)
        shown.append(step[:, None] * results[:, clip] + (1 - step)[:, None] * shown[-1])
    return torch.stack(steps, dim=1), torch.stack(shown, dim=1)


def train_gate(
    gate: LearnedGate,
    features: Tensor,
    results: Tensor,
    *,
    budget: float,
    pressure: float = 200.0,
    updates: int = 300,
    learning_rate: float = 1e-2,
    seed: int = 0,
    on_update: Callable[[int, float, float], None] | None = None,
) -> None:
    """Trains a gate in place, from recordings on which every clip was stepped.

    Args:
        gate: to be trained.
        features: (B, S, E) from `change_features`.
        results: (B, S, K) probabilities that the model gave, ungated.
        budget: share of clips that may be stepped, above 0, up to 1.
        pressure: weight of the squared share of steps beyond the budget.
        updates: over all recordings at once.
        learning_rate: Adam's.
        seed: of the noise on features, 5 % of their spread.
        on_update: called with update, divergence in nats and share of steps.

    Raises:
        OptionError: a budget that cannot work.
        InputError: shapes that do not fit.
    """
    if not 0 < budget <= 1:
        raise OptionError(f"budget must lie above 0, up to 1, got {budget}")
    if features.shape != (*results.shape[:2], FEATURES):
        raise InputError(
            f"features must be (B, S, {FEATURES}) = {(*results.shape[:2], FEATURES)}, "
            f"got {tuple(features.shape)}"
        )
    flat = features.flatten(0, 1)
    gate.low.copy_(flat.amin(dim=0))
    gate.high.copy_(flat.amax(dim=0))
    spread = flat.std(dim=0)
    random = torch.Generator(device=features.device).manual_seed(seed)
    optimiser = torch.optim.Adam(gate.parameters(), lr=learning_rate)
    teacher = results.clamp(min=1e-6)
    for update in range(updates):
        noise = torch.randn(features.shape, generator=random, device=features.device)
        steps, shown = gated(gate(features + 0.05 * spread * noise), teacher)
        divergence = (teacher * (teacher.log() - shown.clamp(min=1e-6).log())).sum(dim=2).mean()
        share = steps.mean()
        loss = divergence + pressure * (share - budget).clamp(min=0).square()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if on_update is not None:
            on_update(update + 1, float(divergence.detach()), float(share.detach()))


@torch.no_grad()
def decide_learned(
    state: ChangeState,
    gate: LearnedGate | None,
    *,
    clip_frames: int,
    end_seconds: float,
    options: GateOptions,
) -> tuple[ChangeState, bool]:
    """Whether the clip that ends now is to be stepped; `options.refresh_seconds` holds as always.

    Args:
        state: after `watch_change` of the clip's last frame.
        gate: trained; None, or one that does not know such a change, leaves it to the noise gate.
        clip_frames: T of a clip.
        end_seconds: when the clip ends.
        options: of the noise gate.

    Returns:
        The state of the next clip, and true for a step.
    """
    features = torch.from_numpy(change_features(state))
    following, by_noise = decide(
        state.gate, clip_frames=clip_frames, end_seconds=end_seconds, options=options
    )
    first = state.gate.stepped_seconds == -math.inf
    if gate is None or not gate.knows(features) or first:
        evidence = 0.0 if by_noise else state.evidence
        return end_clip(replace(state, gate=following, evidence=evidence)), by_noise
    step, left = step_now(gate(features)[None], torch.tensor([state.evidence]))
    due = end_seconds - state.gate.stepped_seconds > options.refresh_seconds
    if not (bool(step) or due):
        return end_clip(replace(state, evidence=float(left))), False
    stepped = replace(
        following,
        stepped_seconds=end_seconds,
        settled_steps=max(following.settled_steps, state.gate.settled_steps),
    )
    return end_clip(replace(state, gate=stepped, evidence=0.0)), True
