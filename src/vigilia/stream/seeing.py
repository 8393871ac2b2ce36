"""The first half of a step: the backbone runs, with memory read in its blocks.

Letters: B streams, C channels, T frames, H W pixels, D features, F frames of sound, M mel bands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from vigilia.backbones import Backbone, BackboneState, Reader, StreamingBackbone
from vigilia.memory import Features, Memory
from vigilia.stream.values import Precision, StreamState

if TYPE_CHECKING:
    from vigilia.stream.classifier import StreamClassifier

__all__ = ["see"]


def see(
    model: StreamClassifier,
    clip: Tensor,
    state: StreamState,
    begun: Features,
    *,
    seconds: Tensor,
    missed: Tensor | None,
    precision: Precision,
    audio: Tensor | None = None,
) -> tuple[Features, Tensor, BackboneState]:
    """What the backbone makes of a clip.

    Args:
        model: whose backbone and memory.
        clip: (B, C, T, H, W).
        state: before the clip.
        begun: tokens of the backbone's first stages, where they have run already.
        seconds: (B,) float64, when each clip ended.
        missed: (B,) bool, rows of which the frames just before the clip were never seen.
        precision: makes the context in which the backbone runs.
        audio: (B, F, M) for a backbone that hears; None if nothing was heard.

    Returns:
        Tokens of every stage, the pooled ones (B, D), and the backbone's state behind the clip.
    """
    backbone, carried = model.backbone, state.backbone
    readers = cast(Memory, model.memory).readers(state.memory, seconds=seconds, clips=state.clips)
    if model.backbone_dtype != model.head.weight.dtype:
        clip = clip.to(model.backbone_dtype)
        readers = {number: _at_precision(reader) for number, reader in readers.items()}
    with precision():
        if model.hears:
            heard = model.unheard(len(clip)) if audio is None else audio
            features = backbone(clip, readers, audio=heard.to(clip))
        elif not isinstance(backbone, StreamingBackbone):
            features = backbone(clip, readers)
        elif begun:
            rest, carried = backbone.run_stages(
                begun[-1],
                carried,
                first=len(begun) + 1,
                starts=None if missed is None else missed[:, None],
                readers=readers,
            )
            features = (*begun, *rest)
        else:
            features, carried = backbone.step(clip, carried, readers, starts=missed)
        pooled = cast(Backbone, backbone).pool(features)
    kept = model.head.weight.dtype
    return tuple(tokens.to(kept) for tokens in features), pooled.to(kept), carried


def _at_precision(reader: Reader) -> Reader:
    """Memory's reading of a backbone whose weights are of lower precision than its own."""

    def read(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=x.dtype):
            return reader(x).to(x.dtype)

    return read
