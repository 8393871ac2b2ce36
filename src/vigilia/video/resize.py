"""From a decoded picture to upright RGB of a stated size.

One resize for everything, because decoders agree to the bit and resizers do not (up to 9.7 grey
levels apart): FFmpeg's BILINEAR. When it shrinks, its triangle widens with the ratio, so it
averages over the area and does not alias; of the two candidates it lies closest to the antialiased
bilinear of torchvision and Pillow, with which image models are trained (mean distance 1.4 grey
levels; AREA, a plain box, 2.0), at the same cost. One thread a picture: a camera more is a better
use of a core, and the bits cannot depend on how many there are.

Letters: H W pixels.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

__all__ = ["PictureConverter", "displayed_size", "quarter_turns"]

INTERPOLATION = "BILINEAR"

# Beyond this a pixel aspect ratio is a damaged header, not a format.
_LARGEST_ASPECT = 8.0


def quarter_turns(picture: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns, 0..3, that show the picture upright.

    Cameras only turn by quarters; any other value is garbage and ignored.
    """
    degrees = int(picture.rotation)
    return degrees // 90 % 4 if degrees % 90 == 0 and abs(degrees) <= 360 else 0


def displayed_size(picture: av.VideoFrame, pixel_aspect: float | None) -> tuple[int, int]:
    """Width and height as shown: square pixels, upright.

    The width takes the pixels' aspect ratio, the height of the stored picture is kept.
    """
    width, height = picture.width, picture.height
    if pixel_aspect and 1 / _LARGEST_ASPECT <= pixel_aspect <= _LARGEST_ASPECT:
        width = max(1, round(width * pixel_aspect))
    return (height, width) if quarter_turns(picture) % 2 else (width, height)


class PictureConverter:
    """Turns decoded pictures into RGB; one for each reader, because FFmpeg's scaler is reused."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, picture: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """-> (height, width, 3) uint8 RGB, upright."""
        turns = quarter_turns(picture)
        stored = (height, width) if turns % 2 else (width, height)
        rgb = self._reformatter.reformat(
            picture,
            width=stored[0],
            height=stored[1],
            format="rgb24",
            interpolation=INTERPOLATION,
            threads=1,
        )
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), turns))
