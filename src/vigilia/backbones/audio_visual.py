"""Audio-visual: any backbone for video, and what was heard meanwhile.

Sound comes as log-mel frames of the clip's own seconds (`vigilia.video.audio`), NaN where nothing
was heard, and becomes tokens of a few hundredths of a second each. Two fusions:

- "late": the pooled tokens of sound lie beside the pooled video, and that is all.
- "cross": besides, in chosen stages the video's tokens ask those of sound, through a gate that
  starts at zero, at the very place where memory is read.

The tokens of sound are one stage more, the last, (B, F', 1, 1, D), so that memory can be read for
them and can keep them like any other. A row in which nothing was heard sees a learned token in
their place; rows of one batch may differ.

"Audiovisual SlowFast Networks for Video Recognition", Xiao, Lee, Grauman, Malik, Feichtenhofer,
2020, and "Attention Bottlenecks for Multimodal Fusion", Nagrani, Yang, Arnab, Jansen, Schmid, Sun,
2021, compare the two.

Letters: B streams, C channels, T frames, H W pixels, F frames of sound, M mel bands, F' tokens of
sound, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Backbone, Reader, check_call
from vigilia.backbones.conv3d import conv3d_nano
from vigilia.backbones.swin3d import swin3d_t
from vigilia.errors import OptionError
from vigilia.layers.token_block import AxisAttention, CrossAttention, TokenBlock, add_sinusoids

__all__ = [
    "AudioVisual",
    "audio_visual_nano",
    "audio_visual_swin_t",
]


class AudioTokens(nn.Module):
    """Log-mel frames to tokens; a stretch of `patch` frames is one."""

    def __init__(self, bands: int, dim: int, *, patch: int, depth: int, heads: int) -> None:
        super().__init__()
        self.bands, self.patch = bands, patch
        self.embed = nn.Linear(bands * patch, dim)
        self.silence = nn.Parameter(torch.zeros(dim))
        self.blocks = nn.ModuleList(
            TokenBlock(dim, AxisAttention(dim, heads=heads, over="time")) for _ in range(depth)
        )
        nn.init.normal_(self.silence, std=0.02)

    def forward(self, audio: Tensor, reader: Reader | None) -> Tensor:
        """audio: (B, F, M), NaN where nothing was heard -> (B, F', 1, 1, D), F' = ceil(F / patch).

        A token of which anything is missing is the learned one.
        """
        audio = F.pad(audio, (0, 0, 0, -audio.shape[1] % self.patch), value=float("nan"))
        patches = audio.unflatten(1, (-1, self.patch)).flatten(2)  # (B, F', patch * M)
        unheard = patches.isnan().any(-1, keepdim=True)
        # Loudness in logarithms lies between -14 and 10; that is brought to about one.
        known = torch.where(unheard, 0.0, patches) / 5.0
        x = torch.where(unheard, self.silence, self.embed(known))
        x = add_sinusoids(x[:, :, None, None])
        for index, block in enumerate(self.blocks):
            x = block(x, reader if index == len(self.blocks) - 1 else None)
        return x


class AudioVisual(nn.Module):
    """A backbone that also hears; obeys `vigilia.backbones.Backbone`.

    Args:
        video: the backbone that sees.
        bands: M.
        dim: D of sound.
        patch: frames of sound in a token.
        depth: blocks of the transformer over sound.
        heads: of all attention to sound; divides `dim` and the widths of the stages that ask.
        fusion: "late" or "cross".
        stages: those of the video that ask, counted from 1.

    Raises:
        OptionError: no such fusion or stage.
    """

    def __init__(
        self,
        *,
        video: nn.Module,
        bands: int = 64,
        dim: int = 128,
        patch: int = 20,
        depth: int = 2,
        heads: int = 4,
        fusion: str = "cross",
        stages: tuple[int, ...] = (3, 4),
    ) -> None:
        super().__init__()
        dims = cast(Backbone, video).stage_dims
        if fusion not in ("late", "cross"):
            raise OptionError(f"fusion must be late or cross, got {fusion!r}")
        if fusion == "cross" and (not stages or any(not 1 <= s <= len(dims) for s in stages)):
            raise OptionError(f"stages must lie in 1..{len(dims)}, got {stages}")
        self.video = video
        self.sound = AudioTokens(bands, dim, patch=patch, depth=depth, heads=heads)
        self.norm = nn.LayerNorm(dim)
        asking = stages if fusion == "cross" else ()
        self.ask = nn.ModuleDict(
            {str(s): CrossAttention(dims[s - 1], dim, heads=heads, gate=0.0) for s in asking}
        )
        self.stage_dims = (*dims, dim)
        self.embedding_dim = cast(Backbone, video).embedding_dim + dim

    hears = True

    def forward(
        self,
        clip: Tensor,
        readers: Mapping[int, Reader] | None = None,
        *,
        audio: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s), that of sound last.

        Args:
            clip: of the video.
            readers: as of every backbone.
            audio: (B, F, M) of the clip's seconds, NaN where nothing was heard; None if nothing was
                heard at all.

        Raises:
            OptionError: the clip or the sound has another layout, or a reader's stage does not
                exist.
        """
        readers = dict(readers or {})
        last = len(self.stage_dims)
        check_call(clip, readers, stages=last)
        heard = self.sound(self._checked(audio, clip), readers.pop(last, None))
        tokens = heard.flatten(1, 3)  # (B, F', D)
        for number, ask in self.ask.items():
            reader = readers.get(int(number))
            readers[int(number)] = partial(_both, cast(CrossAttention, ask), tokens, reader)
        return (*self.video(clip, readers), heard)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D): video's, beside the mean of sound."""
        seen = cast(Backbone, self.video).pool(features[:-1])
        return torch.cat([seen, self.norm(features[-1]).mean(dim=(1, 2, 3))], dim=1)

    def _checked(self, audio: Tensor | None, clip: Tensor) -> Tensor:
        if audio is None:
            return clip.new_full((len(clip), self.sound.patch, self.sound.bands), float("nan"))
        bands = self.sound.bands
        if (
            audio.ndim != 3
            or len(audio) != len(clip)
            or audio.shape[2] != bands
            or 0 in audio.shape
        ):
            raise OptionError(
                f"audio must be (B={len(clip)}, F, M={bands}), got {tuple(audio.shape)}"
            )
        return audio


def _both(ask: CrossAttention, sound: Tensor, reader: Reader | None, x: Tensor) -> Tensor:
    """What sound and memory add to a stage's tokens."""
    heard = ask(x, sound)
    return heard if reader is None else heard + reader(x)


def audio_visual_nano(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> AudioVisual:
    """Ours, for small pictures: `conv3d_nano` and 64 features of sound; stages 3 and 4 ask."""
    return AudioVisual(
        video=conv3d_nano(drop_path=drop_path, checkpoint_activations=checkpoint_activations),
        dim=64,
        depth=1,
    )


def audio_visual_swin_t(
    *, drop_path: float = 0.1, checkpoint_activations: bool = False
) -> AudioVisual:
    """Video Swin-T and 256 features of sound; stages 3 and 4 ask."""
    return AudioVisual(
        video=swin3d_t(drop_path=drop_path, checkpoint_activations=checkpoint_activations),
        dim=256,
        depth=4,
        heads=8,
    )
