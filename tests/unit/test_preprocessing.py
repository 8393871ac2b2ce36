"""From pixels to a clip: the layout, the scale, and options that cannot work."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from vigilia.errors import OptionError
from vigilia.preprocessing import Preprocessing


def test_every_pixel_goes_to_its_place_and_is_scaled_by_its_own_channel() -> None:
    preprocessing = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    frames = torch.randint(0, 256, (2, 4, 5, 6, 3), dtype=torch.uint8)
    clip = preprocessing.to_clip(frames)
    assert clip.shape == (2, 3, 4, 5, 6)
    assert clip.dtype == torch.float32
    assert clip.is_contiguous()
    for _ in range(50):
        b, t, h, w, c = (int(torch.randint(size, ())) for size in frames.shape)
        value = (int(frames[b, t, h, w, c]) / 255 - (0.1, 0.2, 0.3)[c]) / (0.5, 0.25, 0.125)[c]
        assert clip[b, c, t, h, w].item() == pytest.approx(value, abs=1e-5)


def test_black_and_white_by_hand() -> None:
    frames = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1, 1).expand(1, 2, 1, 1, 3)
    clip = Preprocessing(mean=(0.5, 0.5, 0.25), std=(0.5, 0.25, 0.25)).to_clip(frames)
    assert clip[0, :, 0, 0, 0].tolist() == [-1.0, -2.0, -1.0]
    assert clip[0, :, 1, 0, 0].tolist() == [1.0, 2.0, 3.0]


def test_half_precision_is_rounded_at_the_end() -> None:
    frames = torch.randint(0, 256, (1, 2, 8, 8, 3), dtype=torch.uint8)
    clip = Preprocessing().to_clip(frames, torch.bfloat16)
    assert torch.equal(clip, Preprocessing().to_clip(frames).bfloat16())


@pytest.mark.parametrize(
    ("fps", "stride", "seconds"), [(4.0, 8, 2.0), (2.0, 8, 4.0), (2.5, 1, 0.4)]
)
def test_the_stride_in_seconds_follows_the_sampling_rate(
    fps: float, stride: int, seconds: float
) -> None:
    assert Preprocessing(fps=fps, stride_frames=stride).stride_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps must be positive, got 0"),
        ({"fps": -4.0}, "fps must be positive, got -4.0"),
        ({"fps": float("nan")}, "fps must be positive, got nan"),
        ({"stride_frames": 0}, "stride_frames must lie in 1..clip_frames=32, got 0"),
        ({"stride_frames": 33}, "stride_frames must lie in 1..clip_frames=32, got 33"),
        ({"height": 7}, "at least 8 by 8 pixels, got 7 by 224"),
        ({"width": 0}, "at least 8 by 8 pixels, got 224 by 0"),
    ],
)
def test_options_that_cannot_work_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Preprocessing(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_preprocessing_is_a_value_that_survives_its_own_fields() -> None:
    preprocessing = Preprocessing(fps=3.0, clip_frames=16, stride_frames=4, height=64, width=96)
    assert Preprocessing(**dataclasses.asdict(preprocessing)) == preprocessing
