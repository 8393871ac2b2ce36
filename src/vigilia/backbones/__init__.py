"""3. Backbones: a clip goes in, one grid of tokens per stage comes out. One file per family.

The contract, `Backbone`, is what the memory, the classifier and the trainer rely on:

- `backbone(clip, readers=None)` takes a clip (B, C, T, H, W), float, normalised, and returns a
  tuple with the tokens of every stage, stage s at index s - 1, each (B, T', H', W', D_s): the
  output of the stage's last block, before any downsampling.
- `readers` maps a stage number (from 1) to a function of that stage's tokens that returns an
  increment of the same shape. The backbone calls it once, in the stage's last block, between
  attention and MLP: `x = x + attention(norm1(x)); x = x + reader(x); x = x + mlp(norm2(x))`.
- `backbone.pool(features)` is (B, D): the clip in one vector.
- `stage_dims` and `embedding_dim` say how wide these are.

A `StreamingBackbone` is also called step by step, with the new frames alone and a state that holds
what it keeps of the earlier ones: `features, state = backbone.step(clip, state, readers)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vigilia.backbones.base import Backbone, BackboneState, Reader, StreamingBackbone
from vigilia.backbones.conv3d import Conv3D, conv3d_nano
from vigilia.backbones.families import FAMILIES, FAMILIES_NANO
from vigilia.backbones.incremental_swin import (
    IncrementalSwin3D,
    swin3d_b_incremental,
    swin3d_nano_incremental,
    swin3d_s_incremental,
    swin3d_t_incremental,
)
from vigilia.backbones.kinetics400 import (
    KINETICS400_CROP_PIXELS,
    KINETICS400_MEAN,
    KINETICS400_RESIZE_PIXELS,
    KINETICS400_STD,
    KINETICS400_WEIGHTS,
    fetch_kinetics400,
    kinetics400_classes,
)
from vigilia.backbones.space_time import SPACE_TIME, SPACE_TIME_NANO
from vigilia.backbones.state_space import state_space_b, state_space_nano
from vigilia.backbones.swin3d import (
    Swin3D,
    from_torchvision,
    swin3d_b,
    swin3d_nano,
    swin3d_s,
    swin3d_t,
)

__all__ = [
    "BACKBONES",
    "KINETICS400_CROP_PIXELS",
    "KINETICS400_MEAN",
    "KINETICS400_RESIZE_PIXELS",
    "KINETICS400_STD",
    "KINETICS400_WEIGHTS",
    "NANO",
    "Backbone",
    "BackboneState",
    "Conv3D",
    "IncrementalSwin3D",
    "Reader",
    "StreamingBackbone",
    "Swin3D",
    "conv3d_nano",
    "fetch_kinetics400",
    "from_torchvision",
    "kinetics400_classes",
    "swin3d_b",
    "swin3d_b_incremental",
    "swin3d_nano",
    "swin3d_nano_incremental",
    "swin3d_s",
    "swin3d_s_incremental",
    "swin3d_t",
    "swin3d_t_incremental",
]

BACKBONES: dict[str, Callable[..., Any]] = {
    "conv3d_nano": conv3d_nano,
    "swin3d_nano": swin3d_nano,
    "swin3d_t": swin3d_t,
    "swin3d_s": swin3d_s,
    "swin3d_b": swin3d_b,
    "swin3d_nano_incremental": swin3d_nano_incremental,
    "swin3d_t_incremental": swin3d_t_incremental,
    "swin3d_s_incremental": swin3d_s_incremental,
    "swin3d_b_incremental": swin3d_b_incremental,
    "state_space_nano": state_space_nano,
    "state_space_b": state_space_b,
    **SPACE_TIME,
    **FAMILIES,
}

NANO = (
    "conv3d_nano",
    "swin3d_nano",
    "swin3d_nano_incremental",
    "state_space_nano",
    *SPACE_TIME_NANO,
    *FAMILIES_NANO,
)
"""Backbones for small pictures: 64 by 64 pixels unless another size is asked for."""
