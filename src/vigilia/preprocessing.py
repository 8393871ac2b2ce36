"""From decoded pixels to what a model takes: the one file that permutes layouts.

Everything here is recorded in the checkpoint. Resizing is done by the reader (bilinear, the whole
view squeezed to the model's size), since resized pixels differ from library to library by up
to ten grey levels while decoded ones agree to the bit.

Letters: B streams, C channels, T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vigilia.errors import OptionError

__all__ = ["Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its frames.

    Attributes:
        fps: samples per second.
        clip_frames: T of a clip.
        stride_frames: new frames from one clip to the next.
        height: H in pixels.
        width: W in pixels.
        mean: per RGB channel, of pixels scaled to 0..1.
        std: likewise.
        background: how much of a clip's mean over time is kept. 1 keeps the picture as it is; less
            dims what does not move, so that a small model trained on little data sees movement
            first. For cameras that do not move.
    """

    fps: float = 4.0
    clip_frames: int = 32
    stride_frames: int = 8
    height: int = 224
    width: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    background: float = 1.0

    def __post_init__(self) -> None:
        if not self.fps > 0:
            raise OptionError(f"fps must be positive, got {self.fps}")
        if not 1 <= self.stride_frames <= self.clip_frames:
            raise OptionError(
                f"stride_frames must lie in 1..clip_frames={self.clip_frames}, "
                f"got {self.stride_frames}"
            )
        if not 0 <= self.background <= 1:
            raise OptionError(f"background must lie in 0..1, got {self.background}")
        if min(self.height, self.width) < 8:
            raise OptionError(
                f"frames must be at least 8 by 8 pixels, got {self.height} by {self.width}"
            )

    @property
    def stride_seconds(self) -> float:
        """Nominal time from one clip to the next."""
        return self.stride_frames / self.fps

    def to_clip(self, frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """frames: (B, T, H, W, 3) uint8 -> (B, 3, T, H, W), scaled to 0..1 and normalised."""
        moved = frames.permute(0, 4, 1, 2, 3).contiguous()  # as bytes: a quarter of the traffic
        std = torch.tensor(self.std, device=frames.device).view(1, 3, 1, 1, 1)
        mean = torch.tensor(self.mean, device=frames.device).view(1, 3, 1, 1, 1)
        clip = moved.to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)
        if self.background != 1:
            still = clip.mean(dim=2, keepdim=True)  # (B, 3, 1, H, W)
            clip.sub_(still.mul_(1 - self.background))
        return clip.to(dtype)
