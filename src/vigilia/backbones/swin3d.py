"""Video Swin: attention inside three-dimensional windows that shift from block to block.

"Video Swin Transformer", Ze Liu, Jia Ning, Yue Cao, Yixuan Wei, Zheng Zhang, Stephen Lin, Han Hu,
2022. Kinetics-400 weights come from torchvision (BSD-3-Clause) through `from_torchvision`.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' the token grid, D features, h heads,
N tokens of one window, G windows, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vigilia.backbones.base import Reader, check_call
from vigilia.errors import CheckpointError, OptionError
from vigilia.layers.drop import DropPath
from vigilia.layers.windows import (
    Size,
    fit_window,
    pad_to_multiple,
    partition_windows,
    relative_position_bias,
    reverse_windows,
    shift_plan,
    window_attention,
)

__all__ = ["Swin3D", "from_torchvision", "swin3d_b", "swin3d_nano", "swin3d_s", "swin3d_t"]


class PatchEmbed(nn.Module):
    """Cuts a clip into patches and projects each to a token."""

    def __init__(self, patch_size: Size, dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv3d(3, dim, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, clip: Tensor) -> Tensor:
        """clip: (B, C, T, H, W) -> (B, T', H', W', D). Zeros fill up the last patches."""
        missing = [-size % p for size, p in zip(clip.shape[2:], self.patch_size, strict=True)]
        if any(missing):
            clip = F.pad(clip, (0, missing[2], 0, missing[1], 0, missing[0]))
        return self.norm(self.proj(clip).permute(0, 2, 3, 4, 1))


class PatchMerging(nn.Module):
    """Halves height and width: four neighbours become one token of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T', H', W', D) -> (B, T', ceil(H'/2), ceil(W'/2), 2D)."""
        x = pad_to_multiple(x, (1, 2, 2))
        # The published order of the four neighbours: down before right.
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, T', H'/2, 2, W'/2, 2, D)
        x = x.permute(0, 1, 2, 4, 5, 3, 6).flatten(4)  # (B, T', H'/2, W'/2, 4D)
        return self.reduction(self.norm(x))


class ShiftedWindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias for each relative offset."""

    def __init__(self, dim: int, num_heads: int, window_size: Size, shift_size: Size) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.shift_size = shift_size
        t, h, w = window_size
        self.bias_table = nn.Parameter(
            torch.empty((2 * t - 1) * (2 * h - 1) * (2 * w - 1), num_heads)
        )
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T', H', W', D) -> (B, T', H', W', D)."""
        frames, height, width = x.shape[1:4]
        window, shift = fit_window((frames, height, width), self.window_size, self.shift_size)
        x = pad_to_multiple(x, window)
        grid = (x.shape[1], x.shape[2], x.shape[3])
        if any(shift):
            plan = shift_plan(x.shape[0], grid, window, shift, x.device)
            windows = plan.partition(x)
        else:
            plan = None
            windows = partition_windows(x, window)
        qkv = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1))  # (B * G, N, 3, h, D/h)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B * G, h, N, D/h)
        bias = relative_position_bias(self.bias_table, self.window_size, windows.shape[1])
        windows = self.proj(window_attention(q, k, v, bias, plan))  # (B * G, N, D)
        if plan is not None:
            x = plan.reverse(windows, grid)
        else:
            x = reverse_windows(windows, window, grid)
        return x[:, :frames, :height, :width]


class Block(nn.Module):
    """x + attention, then (in a stage's last block, when asked) + reader, then + MLP."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Size,
        shift_size: Size,
        mlp_ratio: float,
        drop_path: float,
        checkpoint_activations: bool,
    ) -> None:
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        self.norm1 = nn.LayerNorm(dim)
        self.attention = ShiftedWindowAttention(dim, num_heads, window_size, shift_size)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, reader: Reader | None = None) -> Tensor:
        """x: (B, T', H', W', D) -> (B, T', H', W', D)."""
        # The reader stays outside what is recomputed, so that it runs once even then.
        if self.checkpoint_activations and self.training and torch.is_grad_enabled():
            x = checkpoint(self._attend, x, use_reentrant=False)
            if reader is not None:
                x = x + reader(x)
            return checkpoint(self._transform, x, use_reentrant=False)
        x = self._attend(x)
        if reader is not None:
            x = x + reader(x)
        return self._transform(x)

    def _attend(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.attention(self.norm1(x)))

    def _transform(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Stage(nn.Module):
    """Merging (in all but the first stage), then blocks; every second one is shifted."""

    def __init__(
        self,
        dim: int,
        merges: bool,
        num_heads: int,
        window_size: Size,
        mlp_ratio: float,
        drop_paths: list[float],
        checkpoint_activations: bool,
    ) -> None:
        super().__init__()
        self.merge = PatchMerging(dim // 2) if merges else None
        half = (window_size[0] // 2, window_size[1] // 2, window_size[2] // 2)
        self.blocks = nn.ModuleList(
            Block(
                dim=dim,
                num_heads=num_heads,
                window_size=window_size,
                shift_size=half if index % 2 else (0, 0, 0),
                mlp_ratio=mlp_ratio,
                drop_path=drop_path,
                checkpoint_activations=checkpoint_activations,
            )
            for index, drop_path in enumerate(drop_paths)
        )

    def forward(self, x: Tensor, reader: Reader | None = None) -> Tensor:
        """x: the previous stage's tokens -> (B, T', H', W', D)."""
        if self.merge is not None:
            x = self.merge(x)
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            x = block(x, reader if index == last else None)
        return x


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


def swin3d_t(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Swin3D:
    """Swin-T: 28.16 M parameters with a 400-class head, 87.8 GMAC at 32 x 224 x 224."""
    return Swin3D(
        embed_dim=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def swin3d_s(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Swin3D:
    """Swin-S: 49.82 M parameters with a 400-class head."""
    return Swin3D(
        embed_dim=96,
        depths=(2, 2, 18, 2),
        num_heads=(3, 6, 12, 24),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def swin3d_b(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Swin3D:
    """Swin-B: 88.05 M parameters with a 400-class head."""
    return Swin3D(
        embed_dim=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def swin3d_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Swin3D:
    """0.8 M parameters, ours: for small pictures (about 64 x 64) and machines without a GPU.

    It is trained from scratch on little data, so half of its first filters start as differences
    between the two frames of a patch: what moves stands out from the texture from the first update.
    """
    model = Swin3D(
        # Patches of 8 pixels: a quarter of the tokens, and four times as fast, as patches of 4.
        patch_size=(2, 8, 8),
        embed_dim=24,
        depths=(1, 1, 2, 1),
        num_heads=(1, 2, 4, 8),
        window_size=(8, 4, 4),
        drop_path=drop_path,
        pools_stages=True,
        checkpoint_activations=checkpoint_activations,
    )
    filters = model.patch_embed.proj.weight  # (D, C, 2, 8, 8)
    with torch.no_grad():
        moving = filters[::2, :, 1].clone()
        # Frames a quarter of a second apart differ by far less than their pixels among themselves.
        filters[::2, :, 0], filters[::2, :, 1] = -4 * moving, 4 * moving
    return model


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
