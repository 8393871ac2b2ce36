"""Events from an ordinary video: its frames, one after the other, through the simulated camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vigilia.events.camera import EventCamera, expose
from vigilia.video import Frame

__all__ = ["simulate_events"]


def simulate_events(
    frames: Iterable[Frame],
    camera: EventCamera,
    on_frame: Callable[[float], None] | None = None,
) -> Iterator[np.ndarray]:
    """The events that a camera sees of a video, as soon as each frame is there.

    Args:
        frames: in order of time, of the camera's size: `open_video(path, width=..., height=...)`.
        camera: the camera.
        on_frame: told the time of each frame, in seconds.

    Yields:
        (N,) of type EVENT for each frame with any.
    """
    state = camera.init_state
    for frame in frames:
        state, events = expose(camera, state, frame.pixels, round(frame.seconds * 1e6))
        if on_frame is not None:
            on_frame(frame.seconds)
        if len(events):
            yield events
