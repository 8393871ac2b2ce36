"""Convolutional, hierarchical and hybrid backbones by name; `BACKBONES` takes them from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vigilia.backbones import (
    audio_visual,
    bottleneck3d,
    c3d,
    conv3d,
    hybrid,
    i3d,
    memvit,
    mvit,
    resnet3d,
    s3d,
    slowfast,
    slowfast_transformer,
    two_branch,
)

__all__ = ["FAMILIES", "FAMILIES_NANO"]

FAMILIES: dict[str, Callable[..., Any]] = {
    "conv3d_nano_incremental": conv3d.conv3d_nano_incremental,
    "c3d": c3d.c3d,
    "c3d_nano": c3d.c3d_nano,
    "c3d_nano_incremental": c3d.c3d_nano_incremental,
    "i3d": i3d.i3d,
    "i3d_nano": i3d.i3d_nano,
    "s3d": s3d.s3d,
    "s3d_nano": s3d.s3d_nano,
    "r3d_18": resnet3d.r3d_18,
    "r3d_18_incremental": resnet3d.r3d_18_incremental,
    "r3d_nano": resnet3d.r3d_nano,
    "r3d_nano_incremental": resnet3d.r3d_nano_incremental,
    "mc3_18": resnet3d.mc3_18,
    "r2plus1d_18": resnet3d.r2plus1d_18,
    "r2plus1d_18_incremental": resnet3d.r2plus1d_18_incremental,
    "r2plus1d_nano": resnet3d.r2plus1d_nano,
    "r2plus1d_nano_incremental": resnet3d.r2plus1d_nano_incremental,
    "c2d_r50": bottleneck3d.c2d_r50,
    "slow_r50": bottleneck3d.slow_r50,
    "slow_nano": bottleneck3d.slow_nano,
    "i3d_r50": bottleneck3d.i3d_r50,
    "slowfast_r50": slowfast.slowfast_r50,
    "slowfast_r101": slowfast.slowfast_r101,
    "slowfast_r101_50_50": slowfast.slowfast_r101_50_50,
    "slowfast_nano": slowfast.slowfast_nano,
    "mvit_v1_b": mvit.mvit_v1_b,
    "mvit_v1_nano": mvit.mvit_v1_nano,
    "mvit_v2_s": mvit.mvit_v2_s,
    "mvit_v2_nano": mvit.mvit_v2_nano,
    "memvit_s": memvit.memvit_s,
    "memvit_nano": memvit.memvit_nano,
    "slowfast_transformer_s": slowfast_transformer.slowfast_transformer_s,
    "slowfast_transformer_nano": slowfast_transformer.slowfast_transformer_nano,
    "cnn_transformer_r18": hybrid.cnn_transformer_r18,
    "cnn_transformer_nano": hybrid.cnn_transformer_nano,
    "pcsa_mobilenet": hybrid.pcsa_mobilenet,
    "pcsa_nano": hybrid.pcsa_nano,
    "two_branch_s": two_branch.two_branch_s,
    "two_branch_nano": two_branch.two_branch_nano,
    "audio_visual_swin_t": audio_visual.audio_visual_swin_t,
    "audio_visual_nano": audio_visual.audio_visual_nano,
}

FAMILIES_NANO = tuple(
    name for name in FAMILIES if name.removesuffix("_incremental").endswith("_nano")
)
"""Those for small pictures."""
