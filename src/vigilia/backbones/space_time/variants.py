"""The published models, and small ones of every scheme that train on a CPU.

Parameters and multiply-adds are those of the published head of 400 classes and of one clip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from vigilia.backbones.space_time.causal import CausalTransformer
from vigilia.backbones.space_time.causal_variants import causal_space_time
from vigilia.backbones.space_time.factorised_encoder import FactorisedEncoder
from vigilia.backbones.space_time.model import SpaceTime

__all__ = ["SPACE_TIME", "SPACE_TIME_NANO"]

_NANO: dict[str, Any] = {
    "dim": 96,
    "heads": 4,
    "tubelet": (2, 8, 8),
    "frames": 32,
    "height": 64,
    "width": 64,
    "mlp_ratio": 2.0,
}


def timesformer_b(
    attention: str, *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> SpaceTime:
    """TimeSformer's base size, 8 frames of 224 x 224 in patches of 16 x 16.

    space 86.11 M and 140.5 GMAC, joint 86.11 M and 179.6, divided 121.57 M and 195.6, local_global
    121.56 M and 206.6, axial 157.02 M and 246.1. The paper's 196 of divided projects the copies of
    the class token one by one, which gives the same.
    """
    return SpaceTime(
        attention=attention,
        class_token=attention not in ("local_global", "axial"),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def vivit_b(
    attention: str, *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> SpaceTime:
    """ViViT-B/16x2, 32 frames of 224 x 224 in tubelets of 2 x 16 x 16.

    joint (model 1) 88.95 M and 451.5 GMAC, factorised_self (model 3) 117.32 M and 371.1,
    factorised_dot (model 4) 88.95 M and 276.2.
    """
    return SpaceTime(
        attention=attention,
        tubelet=(2, 16, 16),
        frames=32,
        class_token=attention == "joint",
        joint_positions=True,
        activation="tanh",
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def vivit_factorised_encoder_b(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> FactorisedEncoder:
    """ViViT-B/16x2's model 2: 115.06 M and 283.3 GMAC."""
    return FactorisedEncoder(
        class_token=True, drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def vivit_factorised_encoder_nano(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> FactorisedEncoder:
    """Three spatial blocks and a temporal one, pooled by means, for 64 x 64 pixels."""
    return FactorisedEncoder(
        **_NANO,
        depth=3,
        temporal_depth=1,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def space_time_b(
    attention: str, *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> SpaceTime:
    """The base size of a scheme that was not published for video: 32 frames of 224 x 224."""
    return SpaceTime(
        attention=attention,
        tubelet=(2, 16, 16),
        frames=32,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def space_time_nano(
    attention: str,
    *,
    keep: float = 1.0,
    drop_path: float = 0.0,
    checkpoint_activations: bool = False,
) -> SpaceTime:
    """Four blocks, 0.3 to 0.9 M parameters, pooled by the mean, for 64 x 64 pixels."""
    return SpaceTime(
        attention=attention,
        **_NANO,
        depth=4,
        places=64,
        features=64,
        keep=keep,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def causal_b(
    attention: str, *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> CausalTransformer:
    """The base size of a causal scheme: 8 new frames a step, 8 token times in sight of a block."""
    return causal_space_time(
        attention=attention, drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def causal_nano(
    attention: str, *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> CausalTransformer:
    """Four blocks (three and one of the factorised encoder) of a causal scheme."""
    return causal_space_time(
        attention=attention,
        **{name: value for name, value in _NANO.items() if name != "frames"},
        depth=3 if attention == "factorised_encoder" else 4,
        temporal_depth=1,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def _named(build: Callable[..., Any], names: dict[str, str]) -> dict[str, Callable[..., Any]]:
    return {name: partial(build, attention) for name, attention in names.items()}


_TIMESFORMER = ("divided", "joint", "space", "local_global", "axial")
_VIVIT = ("joint", "factorised_self", "factorised_dot")
_OTHERS = ("strided", "block_local", "linformer", "performer")
_CAUSAL = {
    "timesformer_divided_causal": "divided",
    "vivit_factorised_encoder_causal": "factorised_encoder",
    "space_time_joint_causal": "joint",
    "space_time_pyramid_causal": "pyramid",
}

SPACE_TIME_NANO: dict[str, Callable[..., Any]] = {
    **_named(space_time_nano, {f"timesformer_{name}_nano": name for name in _TIMESFORMER}),
    **_named(space_time_nano, {f"vivit_{name}_nano": name for name in _VIVIT[1:]}),
    "vivit_factorised_encoder_nano": vivit_factorised_encoder_nano,
    **_named(space_time_nano, {f"space_time_{name}_nano": name for name in _OTHERS}),
    **_named(causal_nano, {f"{name}_nano": scheme for name, scheme in _CAUSAL.items()}),
}
"""Small models by name. ViViT's model 1 would be TimeSformer's joint scheme here."""

SPACE_TIME: dict[str, Callable[..., Any]] = {
    **SPACE_TIME_NANO,
    **_named(timesformer_b, {f"timesformer_{name}_b": name for name in _TIMESFORMER}),
    **_named(vivit_b, {f"vivit_{name}_b": name for name in _VIVIT}),
    "vivit_factorised_encoder_b": vivit_factorised_encoder_b,
    **_named(space_time_b, {f"space_time_{name}_b": name for name in _OTHERS}),
    **_named(causal_b, {f"{name}_b": scheme for name, scheme in _CAUSAL.items()}),
}
"""All space-time transformers by name."""
