"""1. Video in: files, folders and cameras become frames, and frames become samples by time.

    open_video("pen.mp4", width=224, height=224)       frames.py    what comes out
        source.py    what the user named -> list of files, or an address
        opening.py   a file or an address -> an open container
        headers.py   what its headers claim
        decoder.py   one container -> decoded pictures, honest errors
        parts.py     pictures -> timestamps, one recording out of many files
        reader.py    all of it, and where to go on after a break
        clocks.py    the container's timestamps, or a camera's
        pictures.py  a decoded picture, RGB when somebody looks
        sampling.py  timestamps -> ticks: which frame is shown when
        resize.py    the frames that are shown -> upright RGB of the stated size
        prefetch.py  all of it in a thread, a stated number of items ahead
        clips.py     samples -> clips

    with open_video("pen.mp4", width=224, height=224) as video:
        for item in video.samples(fps=4.0, max_gap_seconds=2.0):
            if isinstance(item, Gap):
                ...                     # nothing was seen in [start_seconds, end_seconds)
            else:
                item.pixels             # (224, 224, 3) uint8 RGB
                item.seconds            # the tick
                item.frame_seconds      # the frame shown, never later
                item.position           # samples(resume=position) goes on after this one

Needs numpy and PyAV only.
"""

from __future__ import annotations

from vigilia.video.frames import Frame, Gap, Position, Sample
from vigilia.video.headers import VideoInfo, probe
from vigilia.video.prefetch import prefetch
from vigilia.video.reader import VideoReader, open_video
from vigilia.video.sampling import sample
from vigilia.video.source import find_videos

__all__ = [
    "Frame",
    "Gap",
    "Position",
    "Sample",
    "VideoInfo",
    "VideoReader",
    "find_videos",
    "open_video",
    "prefetch",
    "probe",
    "sample",
]
