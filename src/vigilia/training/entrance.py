"""A memory made ready for what it is going to see, before it learns from kept features.

Letters: N examples, T H W token grid, D features, E pooled features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.memory.gru import GruMemory
from vigilia.relevance import TemporalRelevance
from vigilia.stream import StreamClassifier
from vigilia.training.seeing import SeenRecording, used_stages

__all__ = ["calibrate_memory", "make_readable", "standardise_entrance"]


def make_readable(model: StreamClassifier) -> None:
    """Shuts the gates inside the backbone's blocks: what was kept was seen without them.

    Raises:
        OptionError: the memory is read nowhere else, so it could not learn.
    """
    stages = list(getattr(model.memory, "stages", ()))
    if stages and all(stage.embedding_reader is None for stage in stages):
        raise OptionError(
            f"memory {model.spec.memory!r} is read inside the backbone alone, so it cannot learn "
            "from features that were kept; take fam or gru, or train on pixels"
        )
    with torch.no_grad():
        for stage in stages:
            stage.reader.gate.zero_()


@torch.no_grad()
def calibrate_memory(model: StreamClassifier, seen: Sequence[SeenRecording]) -> None:
    """Starts the norms at the memory's entrance so that each feature varies as much as any other.

    What tells an event from a quiet second is a small change on top of a large constant, in tokens
    and in the pooled embedding alike; the norms' gains and offsets take that constant away.

    Args:
        model: its memory is changed in place; one without such norms is left as it is.
        seen: what its backbone saw; a part of it is looked at.
    """
    pooled = torch.cat([one.pooled[::7] for one in seen[::3]])
    every = max(25, sum(map(len, seen[::3])) // 400)  # a clip may hold megabytes of tokens
    tokens = {
        number: torch.cat([one.features[number - 1][::every] for one in seen[::3]]).float()
        for number in used_stages(model)
    }
    standardise_entrance(model.memory, tokens, pooled)


@torch.no_grad()
def standardise_entrance(memory: nn.Module, tokens: Mapping[int, Tensor], pooled: Tensor) -> None:
    """The same, from examples of what the memory is going to see.

    Args:
        memory: changed in place.
        tokens: by number of stage, (N, T, H, W, D).
        pooled: (N, E).
    """
    if isinstance(memory, (GruMemory, TemporalRelevance)):
        _standardise(memory.norm, pooled)
    if isinstance(memory, TemporalRelevance):
        _standardise(memory.norm_frames, tokens[memory.stage_numbers[0]].mean(dim=(2, 3)))
        return
    for number, stage in zip(
        getattr(memory, "stage_numbers", ()), getattr(memory, "stages", ()), strict=True
    ):
        if getattr(stage, "writer", None) is not None:
            _standardise(stage.writer.norm, tokens[number])
        if getattr(stage, "feedback", None) is not None:
            _standardise(stage.feedback.norm_clip, tokens[number])
            _standardise(stage.feedback.norm_summary, pooled)
        if getattr(stage, "embedding_reader", None) is not None:
            _standardise(stage.embedding_reader.norm, pooled)
        if getattr(getattr(stage, "readout", None), "norm", None) is not None:
            _standardise(stage.readout.norm, pooled)


def _standardise(norm: nn.LayerNorm, x: Tensor) -> None:
    plain = F.layer_norm(x, x.shape[-1:]).flatten(0, -2)  # (N, D)
    deviation, mean = plain.std(dim=0) + 1e-3, plain.mean(dim=0)
    norm.weight.copy_(1 / deviation)
    norm.bias.copy_(-mean / deviation)
