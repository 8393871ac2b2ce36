"""Video Swin: attention inside three-dimensional windows that shift from block to block.

"Video Swin Transformer", Ze Liu, Jia Ning, Yue Cao, Yixuan Wei, Zheng Zhang, Stephen Lin, Han Hu,
2022. Kinetics-400 weights come from torchvision (BSD-3-Clause) through `from_torchvision`.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' the token grid, D features, h heads,
N tokens of one window, G windows, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.swin3d_layers import PatchEmbed, ShiftedWindowAttention, Stage
from vigilia.errors import CheckpointError, OptionError
from vigilia.layers.windows import Size

__all__ = ["Swin3D", "from_torchvision", "swin3d_b", "swin3d_nano", "swin3d_s", "swin3d_t"]


class Swin3D(nn.Module):
    """Video Swin on whole clips, a backbone in the sense of `vigilia.backbones.base.Backbone`.

    Args:
        patch_size: frames, rows and columns of pixels in one patch.
        embed_dim: D of the first stage; every further stage has twice the one before.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window_size: the attention window in tokens (T', H', W').
        mlp_ratio: hidden width of the MLP over D.
        drop_path: stochastic depth of the last block; it rises linearly from zero at the first.
        pools_stages: `pool` looks at every stage instead of the last alone; see there.
        checkpoint_activations: while training, keep block inputs only and recompute the rest.

    Raises:
        OptionError: depths and num_heads differ in length, or a width does not divide by its heads.
    """

    def __init__(
        self,
        *,
        patch_size: Size = (2, 4, 4),
        embed_dim: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        num_heads: tuple[int, ...] = (3, 6, 12, 24),
        window_size: Size = (8, 7, 7),
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        pools_stages: bool = False,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if not depths or len(depths) != len(num_heads) or min(depths) < 1:
            raise OptionError(
                f"depths and num_heads must name the same stages, each with a block or more, "
                f"got {depths} and {num_heads}"
            )
        self.patch_size, self.window_size, self.num_heads = patch_size, window_size, num_heads
        self.stage_dims = tuple(embed_dim * 2**index for index in range(len(depths)))
        self.embedding_dim = sum(self.stage_dims) if pools_stages else self.stage_dims[-1]
        self.pools_stages = pools_stages
        for dim, heads in zip(self.stage_dims, num_heads, strict=True):
            if dim % heads:
                raise OptionError(f"stage width {dim} does not divide by its {heads} heads")
        rates = iter(torch.linspace(0.0, drop_path, sum(depths), device="cpu").tolist())
        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        self.stages = nn.ModuleList(
            Stage(
                dim=dim,
                merges=index > 0,
                num_heads=heads,
                window_size=window_size,
                mlp_ratio=mlp_ratio,
                drop_paths=[next(rates) for _ in range(depth)],
                checkpoint_activations=checkpoint_activations,
            )
            for index, (dim, depth, heads) in enumerate(
                zip(self.stage_dims, depths, num_heads, strict=True)
            )
        )
        self.norm = (
            nn.ModuleList(nn.LayerNorm(dim) for dim in self.stage_dims)
            if pools_stages
            else nn.LayerNorm(self.embedding_dim)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights, from torch's default generator, as the published training does."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                if ".mlp." in name:
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.normal_(module.bias, std=1e-6)
                    continue
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, ShiftedWindowAttention):
                nn.init.trunc_normal_(module.bias_table, std=0.02)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s), before merging.

        T' H' W' are T H W over the patch size, then H' and W' halve from stage to stage; all of
        them round up.

        Args:
            readers: by stage number, counted from 1; see `Backbone`.

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stages))
        x = self.patch_embed(clip)
        features = []
        for number, stage in enumerate(self.stages, start=1):
            x = stage(x, readers.get(number))
            features.append(x)
        return tuple(features)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D), the clip in one vector.

        As published: the final norm and the mean over tokens, D = D_s of the last stage. With
        `pools_stages`: each stage's norm and greatest value over tokens, side by side, D = sum of
        D_s. A twitch that fills one patch for half a second is one token in a thousand; the mean
        of the last stage shows it only after long training, the greatest value at once.
        """
        if isinstance(self.norm, nn.ModuleList):
            pairs = zip(self.norm, features, strict=True)
            return torch.cat([norm(x).amax(dim=(1, 2, 3)) for norm, x in pairs], dim=1)
        return self.norm(features[-1]).mean(dim=(1, 2, 3))


# Depths, heads and widths as published.
SWIN_T: dict[str, Any] = {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)}
SWIN_S: dict[str, Any] = {"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)}
SWIN_B: dict[str, Any] = {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)}
# Patches of 8 pixels: a quarter of the tokens, and four times as fast, as patches of 4.
SWIN_NANO: dict[str, Any] = {
    "patch_size": (2, 8, 8),
    "embed_dim": 24,
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 2, 4, 8),
    "window_size": (8, 4, 4),
    "pools_stages": True,
}


def swin3d_t(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Swin3D:
    """Swin-T: 28.16 M parameters with a 400-class head, 87.8 GMAC at 32 x 224 x 224."""
    return Swin3D(**SWIN_T, drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def swin3d_s(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Swin3D:
    """Swin-S: 49.82 M parameters with a 400-class head."""
    return Swin3D(**SWIN_S, drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def swin3d_b(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Swin3D:
    """Swin-B: 88.05 M parameters with a 400-class head."""
    return Swin3D(**SWIN_B, drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def swin3d_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Swin3D:
    """0.8 M parameters, ours: for small pictures (about 64 x 64) and machines without a GPU."""
    model = Swin3D(**SWIN_NANO, drop_path=drop_path, checkpoint_activations=checkpoint_activations)
    show_movement(model)
    return model


def show_movement(model: Swin3D) -> None:
    """Starts half of the first filters as differences between the two frames of a patch.

    For a model that is trained from scratch on little data: what moves stands out from the texture
    from the first update.
    """
    filters = model.patch_embed.proj.weight  # (D, C, 2, H, W)
    with torch.no_grad():
        moving = filters[::2, :, 1].clone()
        # Frames a quarter of a second apart differ by far less than their pixels among themselves.
        filters[::2, :, 0], filters[::2, :, 1] = -4 * moving, 4 * moving


def from_torchvision(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's swin3d_t, _s or _b under our names, for the whole classifier.

    Args:
        state_dict: from torchvision; the number of classes is free.

    Returns:
        The same tensors: the backbone's under `backbone.`, the classifier's as `head.weight` (K, D)
        and `head.bias` (K,).

    Raises:
        CheckpointError: a key is unknown or missing, or a tensor has another shape.
    """
    renamed = {}
    for name, tensor in state_dict.items():
        if not name.endswith(".attn.relative_position_index"):  # a constant we compute
            renamed[_our_name(name)] = (name, tensor)
    expected = _expected_shapes({name: tensor for name, (_, tensor) in renamed.items()})
    if missing := sorted(expected.keys() - renamed.keys()):
        raise CheckpointError(
            f"not the weights of a torchvision swin3d model: {len(missing)} are missing, "
            f"the first would become {missing[0]}"
        )
    for name, (theirs, tensor) in renamed.items():
        if name not in expected:
            raise CheckpointError(
                f"not the weights of a torchvision swin3d model: unknown {theirs}"
            )
        if tuple(tensor.shape) != expected[name]:
            raise CheckpointError(
                f"{theirs} must be {expected[name]}, got {tuple(tensor.shape)}; "
                f"not the weights of a torchvision swin3d model"
            )
    return {name: tensor for name, (_, tensor) in renamed.items()}


def _our_name(name: str) -> str:
    """torchvision numbers stages and mergings in one sequence: features.0, 2, 4, 6 and 1, 3, 5."""
    if name.startswith("head."):
        return name
    place = re.fullmatch(r"features\.(\d)\.(.+)", name)
    if place is None:
        return f"backbone.{name}"
    number, rest = int(place[1]), place[2]
    if number % 2:
        return f"backbone.stages.{number // 2 + 1}.merge.{rest}"
    rest = rest.replace(".attn.relative_position_bias_table", ".attention.bias_table")
    rest = rest.replace(".attn.", ".attention.").replace(".mlp.3.", ".mlp.2.")
    return f"backbone.stages.{number // 2}.blocks.{rest}"


def _expected_shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variant that these weights resemble most, and of its head."""
    embed = weights.get("backbone.patch_embed.proj.weight")
    build = swin3d_t
    if embed is not None and embed.shape[:1] == (128,):
        build = swin3d_b
    elif "backbone.stages.2.blocks.6.norm1.weight" in weights:
        build = swin3d_s
    with torch.device("meta"):
        model = build()
    shapes = {f"backbone.{name}": tuple(p.shape) for name, p in model.named_parameters()}
    head = weights.get("head.weight")
    classes = head.shape[0] if head is not None and head.ndim == 2 else 400
    return shapes | {"head.weight": (classes, model.embedding_dim), "head.bias": (classes,)}
