"""Batch norms take their statistics from the new camera.

Li, Wang, Shi, Liu, Hou, "Revisiting Batch Normalization for Practical Domain Adaptation", 2016; how
the old statistics count is that of Schneider and others, "Improving robustness against common
corruptions by covariate shift adaptation", 2020: as much as a few clips would.

Letters: B clips, C channels, T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vigilia.stream import StreamClassifier
from vigilia.stream.seeing import see

__all__ = ["batch_norms", "renorm"]

OLD_CLIPS = 16
"""As many clips as the old statistics count for."""


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Those that have statistics of their own."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]


@torch.no_grad()
def renorm(model: StreamClassifier, clips: Iterable[Tensor]) -> int:
    """Takes new statistics in place; other layers are left as they are.

    Args:
        model: in evaluation mode; its backbone sees the clips without memory.
        clips: normalised, (B, C, T, H, W) each.

    Returns:
        How many clips were seen; 0 where the model has no such layers.
    """
    norms = batch_norms(model.backbone)
    if not norms:
        return 0
    old = [(_kept(one.running_mean), _kept(one.running_var)) for one in norms]
    before = [one.momentum for one in norms]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # the plain mean over all batches
        one.train()
    count = 0
    for clip in clips:
        state = model.init_state(len(clip))
        seconds = state.seconds + model.preprocessing.stride_seconds
        see(model, clip, state, (), seconds=seconds, missed=None, precision=nullcontext)
        count += len(clip)
    share = count / (count + OLD_CLIPS)
    for one, (mean, variance), momentum in zip(norms, old, before, strict=True):
        one.running_mean = torch.lerp(mean, _kept(one.running_mean), share)
        one.running_var = torch.lerp(variance, _kept(one.running_var), share)
        one.momentum = momentum
        one.eval()
    return count


def _kept(value: Tensor | None) -> Tensor:
    assert value is not None
    return value.clone()
