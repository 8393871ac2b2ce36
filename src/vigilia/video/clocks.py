"""When each picture was taken: by the container's timestamps, or a camera's.

Two exceptions: AVI has only decoding times, and a picture without a timestamp gets the one before
it plus the nominal interval (a camera's: the clock on the wall).
"""

from __future__ import annotations

import time

import av

from vigilia.video.decoder import Decoder

__all__ = ["Clock", "LiveClock"]

# A camera whose clock goes back by more than this has restarted it.
_CLOCK_RESET_SECONDS = 1.0


class Clock:
    """Timestamps of one file."""

    def __init__(self, decoder: Decoder) -> None:
        self._dts = decoder.in_decoding_order
        self._interval = 1.0 / decoder.frame_rate if decoder.frame_rate else 0.0
        self._next: float | None = None
        self.guessed = False

    def read(self, picture: av.VideoFrame) -> tuple[float, float]:
        """-> the picture's time and how long it is shown, in seconds."""
        base = picture.time_base
        ticks = picture.dts if self._dts else picture.pts
        if ticks is not None and base:
            seconds = ticks * base.numerator / base.denominator
            self.guessed = False
        else:
            seconds = 0.0 if self._next is None else self._next
            self.guessed = True
        duration = self._interval
        if picture.duration and picture.duration > 0 and base:
            duration = picture.duration * base.numerator / base.denominator
        self._next = seconds + duration
        return seconds, duration


class LiveClock:
    """Timestamps of a camera: its own, or the time of arrival where it sends none.

    RTSP's first frame has none. Its time is then 0, and later timestamps are shifted to go on
    from there; likewise if the camera restarts its clock.
    """

    def __init__(self) -> None:
        self._shift = 0.0
        self._last: float | None = None
        self._arrival = 0.0
        self._anchored = False
        self.guessed = False

    def read(self, picture: av.VideoFrame) -> tuple[float, float]:
        """-> the picture's time and how long it is shown, in seconds."""
        now = time.monotonic()
        arrival = 0.0 if self._last is None else self._last + now - self._arrival
        base = picture.time_base
        if picture.pts is None or not base:
            seconds = arrival
        else:
            stamp = picture.pts * base.numerator / base.denominator
            if not self._anchored and self._last is not None:
                self._shift = arrival - stamp
            self._anchored = True
            seconds = stamp + self._shift
            if self._last is not None and seconds < self._last - _CLOCK_RESET_SECONDS:
                self._shift = arrival - stamp
                seconds = arrival
        self._last, self._arrival = seconds, now
        return seconds, 0.0
