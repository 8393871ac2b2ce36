"""Causal transformers by the name of their scheme.

Letters: D features, h heads, W token times in sight of one attention.
"""

from __future__ import annotations

from vigilia.backbones.pyramid import PyramidAttention
from vigilia.backbones.space_time.block import Activation
from vigilia.backbones.space_time.causal import CausalTransformer, StepMaker
from vigilia.backbones.space_time.causal_attention import CausalAttention, View, causal_views
from vigilia.backbones.space_time.time_step import TimeStep
from vigilia.layers.windows import Size

__all__ = ["causal_space_time"]


def causal_space_time(
    *,
    attention: str = "divided",
    dim: int = 768,
    depth: int = 12,
    temporal_depth: int = 4,
    heads: int = 12,
    tubelet: Size = (2, 16, 16),
    step_frames: int = 8,
    reach: int = 8,
    block_frames: int = 2,
    span: int = 2,
    levels: int = 3,
    height: int = 224,
    width: int = 224,
    stages: int = 4,
    mlp_ratio: float = 4.0,
    activation: Activation = "exact",
    drop_path: float = 0.0,
    checkpoint_activations: bool = False,
) -> CausalTransformer:
    """A causal transformer that streams: its steps reuse cached keys and values.

    Args:
        attention: one of `CAUSAL`; "factorised_encoder", ViViT's model 2 pooled by means; or
            "pyramid", temporal pyramid attention and then the frame.
        dim: D.
        depth: blocks; of "factorised_encoder" the spatial ones.
        temporal_depth: temporal blocks of "factorised_encoder".
        heads: h.
        tubelet: frames, rows and columns of pixels in one token.
        step_frames: new frames of a step.
        reach: W, token times that a temporal attention sees; the blocks' reaches add up.
        block_frames: k of "strided".
        span: of "pyramid", keys of each level.
        levels: of "pyramid".
        height: that positions are learned for.
        width: likewise.
        stages: as of `CausalTransformer`.
        mlp_ratio: hidden width of the MLP over D.
        activation: of the MLP.
        drop_path: stochastic depth of the last block.
        checkpoint_activations: trade time for memory in training.

    Raises:
        OptionError: the scheme has no causal form, or values that do not go together.
    """

    def attend(views: tuple[View, ...]) -> TimeStep:
        return CausalAttention(dim, heads, views)

    temporal: StepMaker | None = None
    if attention == "pyramid":

        def make_steps() -> list[TimeStep]:
            mixer = PyramidAttention(dim, heads, span=span, levels=levels)
            return [mixer, attend((View(("whole", "whole")),))]

    else:
        factorised = attention == "factorised_encoder"
        name = "space" if factorised else attention
        views_of_steps = causal_views(name, reach=reach, block_frames=block_frames)

        def make_steps() -> list[TimeStep]:
            return [attend(views) for views in views_of_steps]

        if factorised:

            def temporal() -> list[TimeStep]:
                return [attend((View((1, 1), reach),))]

    return CausalTransformer(
        make_steps,
        depth=depth,
        dim=dim,
        tubelet=tubelet,
        step_frames=step_frames,
        height=height,
        width=width,
        stages=stages,
        temporal=temporal,
        temporal_depth=temporal_depth,
        between=attention in ("divided", "local_global", "axial"),
        mlp_ratio=mlp_ratio,
        activation=activation,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )
