"""The sound of a recording as log-mel frames, by the same clock as its pictures.

A clip that ended at t seconds and is s seconds long is heard in [t - s, t). What was not heard is
NaN: a recording without sound, a hole in it, the time before its first sample. Sound is decoded in
order and only what later clips may still ask for is kept, so that a week needs no more memory than
a minute.

The front end is the usual one: mono at 16 kHz, Hann windows of 25 ms every 10 ms, power spectrum,
64 triangular filters from 60 to 7,800 Hz on the mel scale of HTK, natural logarithm. Needs numpy
and PyAV only.

Letters: N samples, F frames of sound, M mel bands.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from vigilia.errors import OptionError, VideoError

__all__ = [
    "FRAMES_PER_SECOND",
    "MEL_BANDS",
    "SAMPLE_RATE",
    "AudioReader",
    "log_mel",
    "mel_filters",
]

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
MEL_BANDS = 64
_FFT_SAMPLES = 512
_LOWEST_HERTZ, _HIGHEST_HERTZ = 60.0, 7_800.0
_SMALLEST_POWER = 1e-6
# Packets whose times disagree by less than this belong to one another: it is rounding.
_JITTER_SECONDS = 0.05


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """(M, 257) float32: how much each frequency of the spectrum counts in each band."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)

    edges = np.linspace(mel(_LOWEST_HERTZ), mel(_HIGHEST_HERTZ), MEL_BANDS + 2)
    places = mel(np.fft.rfftfreq(_FFT_SAMPLES, 1 / SAMPLE_RATE))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (places - low) / (centre - low), (high - places) / (high - centre)
    filters = np.maximum(np.minimum(rising, falling), 0.0).astype(np.float32)
    filters.setflags(write=False)
    return filters


def log_mel(samples: np.ndarray) -> np.ndarray:
    """samples: (N,) float in [-1, 1] at 16 kHz -> (F, M) float32, F = N // 160.

    Frame f begins at sample 160 f. The last windows reach beyond the end, where there is silence;
    a window that holds a NaN gives a frame of NaN.
    """
    frames = len(samples) // HOP_SAMPLES
    if frames == 0:
        return np.zeros((0, MEL_BANDS), np.float32)
    padded = np.concatenate([samples, np.zeros(WINDOW_SAMPLES, samples.dtype)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)
    windows = windows[: frames * HOP_SAMPLES : HOP_SAMPLES]  # (F, 400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)
    power = np.abs(np.fft.rfft(windows * hann, _FFT_SAMPLES)) ** 2  # (F, 257)
    return np.log(power @ mel_filters().T + _SMALLEST_POWER).astype(np.float32)


class AudioReader:
    """Log-mel frames of stretches of one file, asked for in order.

    Args:
        path: a video or audio file; without a sound track everything is unheard.
        keep_seconds: how far back a later stretch may begin before the end of an earlier one.

    Raises:
        VideoError: the file cannot be opened.
        OptionError: nothing is to be kept.
    """

    def __init__(self, path: str | Path, *, keep_seconds: float = 60.0) -> None:
        if not keep_seconds > 0:
            raise OptionError(f"keep_seconds must be positive, got {keep_seconds}")
        self.path = Path(path)
        self.keep_seconds = keep_seconds
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{path}: cannot be opened for its sound ({error})") from error
        self.has_audio = bool(self._container.streams.audio)
        self._parts: list[tuple[float, np.ndarray]] = []  # first sample's time, samples
        self._decoded_seconds = -np.inf
        self._packets = self._decode() if self.has_audio else iter(())

    def between(self, start_seconds: float, end_seconds: float) -> np.ndarray:
        """(F, M) float32, F = round(100 (end - start)); NaN where nothing was heard.

        Args:
            start_seconds: on the clock of the container, like a picture's.
            end_seconds: excluded.

        Raises:
            OptionError: the stretch is empty, or begins before what is still kept.
        """
        frames = round((end_seconds - start_seconds) * FRAMES_PER_SECOND)
        if frames < 1:
            raise OptionError(
                f"a stretch of sound must end after it begins, got {start_seconds:g} to "
                f"{end_seconds:g} seconds"
            )
        # Windows at the end reach on, as if the stretch went on in silence.
        count = frames * HOP_SAMPLES
        while self._decoded_seconds < end_seconds:
            heard = next(self._packets, None)
            if heard is None:
                break
            self._parts.append(heard)
            self._decoded_seconds = heard[0] + len(heard[1]) / SAMPLE_RATE
            self._forget(start_seconds - self.keep_seconds)  # all of what a resumed run passes over
        samples = np.full(count, np.nan, np.float32)
        first = max(bisect.bisect(self._parts, start_seconds, key=lambda part: part[0]) - 1, 0)
        for begins, part in self._parts[first:]:
            offset = round((begins - start_seconds) * SAMPLE_RATE)
            if offset >= count:
                break
            chosen = part[max(-offset, 0) : count - offset]
            samples[max(offset, 0) : max(offset, 0) + len(chosen)] = chosen
        self._forget(end_seconds - self.keep_seconds)
        return log_mel(samples)

    def close(self) -> None:
        """Releases the file."""
        self._container.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self, before_seconds: float) -> None:
        while self._parts and (
            self._parts[0][0] + len(self._parts[0][1]) / SAMPLE_RATE < before_seconds
        ):
            self._parts.pop(0)

    def _decode(self) -> Iterator[tuple[float, np.ndarray]]:
        """Parts of mono sound at 16 kHz, each with the time of its first sample."""
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        expected: float | None = None
        try:
            for frame in self._container.decode(audio=0):
                begins = expected if frame.time is None else frame.time
                begins = 0.0 if begins is None else begins
                if expected is None or abs(begins - expected) > _JITTER_SECONDS:
                    # A hole: what the resampler still holds belongs before it.
                    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
                    expected = begins
                frame.pts = None
                for mono in resampler.resample(frame):
                    samples = mono.to_ndarray().reshape(-1)
                    if len(samples):
                        yield expected, samples
                        expected += len(samples) / SAMPLE_RATE
        except av.FFmpegError:
            return  # damaged from here on: unheard
