"""What a backbone refuses, in one line that names the rule."""

from __future__ import annotations

from torch import Tensor

from vigilia.errors import OptionError

__all__ = ["check_at_least", "check_divides"]


def check_divides(clip: Tensor, frames: int, *, reason: str = "a causal clip's T") -> None:
    """clip: (B, C, T, H, W), whose T must be a multiple of `frames`.

    Raises:
        OptionError: it is not.
    """
    if clip.shape[2] % frames:
        below = clip.shape[2] // frames * frames
        raise OptionError(
            f"{reason} must be a multiple of {frames} frames, got {clip.shape[2]}; "
            f"take {below or frames} or {below + frames}"
        )


def check_at_least(clip: Tensor, smallest: tuple[int, int, int], *, name: str) -> None:
    """clip: (B, C, T, H, W), with T, H and W no smaller than `smallest`.

    Raises:
        OptionError: it is smaller, so that nothing would be left of it in the last stage.
    """
    given = tuple(clip.shape[2:])
    if any(size < least for size, least in zip(given, smallest, strict=True)):
        raise OptionError(
            f"{name} needs clips of at least (T, H, W) = {smallest}, got {given}; "
            f"less would leave nothing in its last stage"
        )
