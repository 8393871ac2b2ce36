"""A recording as training sees it: its sampled frames on disk, its clips, their labels.

A video is decoded and resized once; the frames lie in a flat file that is mapped into memory, so
that an epoch costs no decoding and no resident memory. The clips are cut by the same window that
`vigilia run` uses.

Letters: N sampled frames, S clips, T frames of a clip, H W pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vigilia.errors import BrokenVideoError, OutputError
from vigilia.files import write_atomically
from vigilia.preprocessing import Preprocessing
from vigilia.timeline import Labels, check_labels, labels_for
from vigilia.video import Gap, Sample, open_video
from vigilia.video.clips import Clip, ClipWindow, flush, push_sample

__all__ = ["Recording", "cached_frames", "prepare_recording"]


@dataclass(frozen=True)
class Recording:
    """One recording, cut into clips.

    Attributes:
        name: file name, for messages and tables.
        frames: (N, H, W, 3) uint8, mapped from disk; of events (N, 2, H * W / 8), packed bits.
        clips: (S, T) int64, which frames each clip shows.
        start_seconds: (S,) where each clip's labelled time begins.
        end_seconds: (S,) where it ends.
        labels: (S,) int64 class of each clip, -1 where nobody scored it.
        sound: (S, F, M) float16 log-mel frames of each clip, for a model that hears; see
            `vigilia.training.sound`.
    """

    name: str
    frames: np.ndarray
    clips: np.ndarray
    start_seconds: np.ndarray
    end_seconds: np.ndarray
    labels: np.ndarray
    sound: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.clips)


def prepare_recording(
    video: str | Path,
    labels: Labels,
    *,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    cache: Path,
    on_frame: Callable[[float, float | None], None] | None = None,
) -> Recording:
    """Decodes a recording into the cache, if it is not there yet, and labels its clips.

    Args:
        video: file, or folder of recorder chunks.
        labels: its annotation.
        classes: names the labels may have.
        preprocessing: sampling and size.
        cache: folder for the frames: height x width x 3 bytes for each sample.
        on_frame: called with seconds decoded and the duration, if that is known.

    Raises:
        VideoError: the video cannot be read at all. One that breaks half-way is used up to there.
        LabelError: the annotation names an unknown class or does not fit the recording.
        OutputError: the cache cannot be written.
    """
    path = cached_frames(video, preprocessing, cache, on_frame)
    index = json.loads(path.with_suffix(".json").read_text())
    shape = (len(index["seconds"]), preprocessing.height, preprocessing.width, 3)
    frames = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)
    clips = _cut(index["seconds"], index["gaps"], preprocessing)
    starts = np.array([clip.start_seconds for clip in clips])
    ends = np.array([clip.end_seconds for clip in clips])
    # The labels of a recording that breaks half-way may well go on behind the break.
    length = None if index.get("broken") else float(ends[-1])
    check_labels(labels, classes=classes, duration_seconds=length)
    return Recording(
        name=Path(video).name,
        frames=frames,
        clips=np.stack([clip.frames for clip in clips]).astype(np.int64),
        start_seconds=starts,
        end_seconds=ends,
        labels=labels_for(labels, starts, ends, classes),
    )


def _cut(seconds: list[float], gaps: list[int], preprocessing: Preprocessing) -> list[Clip]:
    """The clips that `vigilia run` would cut, with frame numbers in place of pixels."""
    window = ClipWindow(
        clip_frames=preprocessing.clip_frames,
        stride_frames=preprocessing.stride_frames,
        interval_seconds=1 / preprocessing.fps,
    )
    clips: list[Clip | None] = []
    holes = set(gaps)
    for number, moment in enumerate(seconds):
        if number in holes:
            window, clip = flush(window)
            clips.append(clip)
        window, clip = push_sample(window, Sample(np.array(number), moment, moment))
        clips.append(clip)
    clips.append(flush(window)[1])
    return [clip for clip in clips if clip is not None]


def cached_frames(
    video: str | Path,
    preprocessing: Preprocessing,
    cache: Path,
    on_frame: Callable[[float, float | None], None] | None,
) -> Path:
    """The file in the cache that holds a recording's frames, made if it is not there."""
    path = cache / f"{Path(video).stem}-{_fingerprint(Path(video), preprocessing)}.frames"
    if _is_whole(path, preprocessing):
        return path
    seconds: list[float] = []
    gaps: list[int] = []
    broken = False
    partial = path.with_suffix(".partial")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (
            partial.open("wb") as file,
            open_video(video, width=preprocessing.width, height=preprocessing.height) as reader,
        ):
            try:
                for item in reader.samples(fps=preprocessing.fps):
                    if isinstance(item, Gap):
                        gaps.append(len(seconds))
                        continue
                    file.write(np.ascontiguousarray(item.pixels).data)
                    seconds.append(item.seconds)
                    if on_frame is not None:
                        on_frame(item.seconds, reader.duration_seconds)
            except BrokenVideoError:
                if not seconds:
                    raise
                broken = True
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(
            f"{cache}: decoded frames cannot be kept there ({error.strerror}); "
            "name another folder with --cache"
        ) from error
    write_atomically(
        path.with_suffix(".json"), json.dumps({"seconds": seconds, "gaps": gaps, "broken": broken})
    )
    return path


def _is_whole(path: Path, preprocessing: Preprocessing) -> bool:
    """Whether the cache holds a recording: the index, which is written last, and all its frames."""
    try:
        index = json.loads(path.with_suffix(".json").read_text())
        size = path.stat().st_size
    except (OSError, ValueError):
        return False
    return bool(size == len(index["seconds"]) * preprocessing.height * preprocessing.width * 3)


def _fingerprint(video: Path, preprocessing: Preprocessing) -> str:
    parts = sorted(video.iterdir()) if video.is_dir() else [video]
    facts = [[part.name, part.stat().st_size, part.stat().st_mtime_ns] for part in parts]
    facts.append([preprocessing.fps, preprocessing.height, preprocessing.width])
    return hashlib.sha256(json.dumps([str(video.resolve()), facts]).encode()).hexdigest()[:16]
