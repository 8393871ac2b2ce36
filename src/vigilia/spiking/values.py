"""What goes into and comes out of Neuro-SVT: its description, its state, its answers.

Letters: T steps, B streams, H W pixels, N tokens, D features, M memory tokens, O objects, P paths,
C cells, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vigilia.spiking.blocks import BlockState
from vigilia.spiking.embed import EmbedState
from vigilia.spiking.memory_token import MemoryTokenState
from vigilia.state import State

__all__ = ["SpikingOutputs", "SpikingSpec", "SpikingState"]


@dataclass(frozen=True)
class SpikingState(State):
    """Everything a stream carries from bin to bin.

    Attributes:
        embed: membranes of the patch embedding.
        blocks: membranes of each block.
        last: (B, N, D) membranes of the neurons behind the last block.
        memory: the memory token.
        seconds: (B,) float64, when each row's last bin ended.
        clips: (B,) int64, how many bins each row has seen.
        logits: (B, K) of each row; they stand until the memory is written again.
        evidence: (B, O, 2, P) float32 for each path that an object may be on, along either axis;
            (B, 0) without objects.
        position: (B, 2 O) x and y by now, from -1 (left, top) to 1; 0 before anything was seen.
        wake: (B,) bool, whether the row's last bin opened the memory's gate.
    """

    embed: EmbedState
    blocks: tuple[BlockState, ...]
    last: Tensor
    memory: MemoryTokenState
    seconds: Tensor
    clips: Tensor
    logits: Tensor
    evidence: Tensor
    position: Tensor
    wake: Tensor


@dataclass(frozen=True)
class SpikingOutputs:
    """What a sequence of bins gave, step by step.

    Attributes:
        logits: (T, B, K).
        position: (T, B, 2 O) x and y of each object.
        places: (T, B, O, 2, C) logarithms of probabilities: in which of C cells of either axis each
            object is, by what the bin shows. None without objects.
        gates: (T, B, M) in {0, 1}, with a gradient: a penalty on them teaches silence.
        drive: (T, B, M) of the gates' neurons, less their threshold: positive where they fire. What
            training needs to teach a gate when to open.
        glance: (T, B, R * D + D) what the memory takes from each bin by itself: spikes of neurons
            that pool tokens, and the share of all tokens that fired.
        activity: (T, B) share of the tokens' neurons that fired behind the last block.
    """

    logits: Tensor
    position: Tensor
    places: Tensor | None
    gates: Tensor
    drive: Tensor
    glance: Tensor
    activity: Tensor


@dataclass(frozen=True)
class SpikingSpec:
    """The arguments that build a model: what a checkpoint records beside the weights.

    Attributes:
        name: key of `vigilia.spiking.SPIKING_SIZES`.
        memory: key of `vigilia.spiking.SPIKING_MEMORIES`.
        classes: the K class names, in the order of the logits.
        height: H in pixels.
        width: W in pixels.
        bin_seconds: how long a bin lasts.
        options: other arguments of `NeuroSvt` that differ from the size's and the memory's.
    """

    name: str
    memory: str
    classes: tuple[str, ...]
    height: int = 128
    width: int = 128
    bin_seconds: float = 1 / 30
    options: dict[str, Any] = field(default_factory=dict)
