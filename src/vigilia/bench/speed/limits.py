"""What binds: how many streams computing, memory and decoding allow, each by itself.

For a device that is not here the first two can be derived from counted operations and bytes and
from its data sheet. That is a derivation, not a measurement, and is called so wherever it is shown.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vigilia.bench.speed.decode import make_recording
from vigilia.bench.speed.machine import processors
from vigilia.errors import OptionError
from vigilia.video import open_video

__all__ = ["DecodingCost", "Limits", "derive_streams", "measure_camera", "memory_limit"]

# Of free memory; the rest is for activations, decoders and everything else.
_SHARE_OF_MEMORY = 0.8


@dataclass(frozen=True)
class Limits:
    """Streams that each resource allows by itself.

    Attributes:
        computing: full batches, one after the other.
        memory: state and waiting clips in the memory that is free; None if that is unknown.
        decoding: every processor decoding; None if it was not measured.
        state_bytes: that one stream remembers.
        waiting_bytes: of a stream's clips that may wait.
    """

    computing: float
    memory: float | None
    decoding: float | None
    state_bytes: int
    waiting_bytes: int

    @property
    def binds(self) -> str:
        """The scarcest of the three."""
        found = {"computing": self.computing, "memory": self.memory, "decoding": self.decoding}
        known = {name: value for name, value in found.items() if value is not None}
        return min(known, key=known.__getitem__)


@dataclass(frozen=True)
class DecodingCost:
    """What one camera's pictures cost.

    Attributes:
        processor_share: seconds of processor time a second of video.
        description: of the video.
    """

    processor_share: float
    description: str

    @property
    def cameras(self) -> float:
        """How many this machine's processors decode in real time, if they do nothing else."""
        return processors() / self.processor_share


def measure_camera(
    *, seconds: float = 4.0, width: int = 1280, height: int = 720, rate: int = 25
) -> DecodingCost:
    """Decodes an H.264 film as a camera may send it, at 4 samples a second of 224 x 224."""
    with tempfile.TemporaryDirectory() as folder:
        path = make_recording(
            Path(folder) / "camera.mp4", seconds=seconds, rate=rate, width=width, height=height
        )
        at = time.process_time()
        with open_video(path, width=224, height=224, threads=1) as video:
            for _ in video.samples(4.0):
                pass
        used = time.process_time() - at
    return DecodingCost(used / seconds, f"{width}x{height} H.264 at {rate} frames a second")


def memory_limit(free: int | None, *, state_bytes: int, waiting_bytes: int) -> float | None:
    """Streams that fit into four fifths of the free memory."""
    return None if free is None else _SHARE_OF_MEMORY * free / (state_bytes + waiting_bytes)


def derive_streams(
    *,
    flop_per_step: float,
    interval_seconds: float,
    state_bytes: int,
    waiting_bytes: int,
    peak_flop_per_second: float,
    fraction_of_peak: float,
    memory_bytes: float,
) -> Limits:
    """Streams of a device that is not here, from counts and its data sheet.

    Args:
        flop_per_step: counted from the model.
        interval_seconds: from step to step.
        state_bytes: counted, of one stream.
        waiting_bytes: counted, of its clips.
        peak_flop_per_second: the data sheet's, dense, in the precision of the step.
        fraction_of_peak: an assumption about what a step reaches of it.
        memory_bytes: the data sheet's.

    Raises:
        OptionError: a value that cannot work.
    """
    if not (peak_flop_per_second > 0 and 0 < fraction_of_peak <= 1 and memory_bytes > 0):
        raise OptionError(
            "the peak and the memory must be positive and the fraction of the peak in 0..1, got "
            f"{peak_flop_per_second:g}, {memory_bytes:g} and {fraction_of_peak:g}"
        )
    return Limits(
        computing=interval_seconds * fraction_of_peak * peak_flop_per_second / flop_per_step,
        memory=_SHARE_OF_MEMORY * memory_bytes / (state_bytes + waiting_bytes),
        decoding=None,
        state_bytes=state_bytes,
        waiting_bytes=waiting_bytes,
    )
