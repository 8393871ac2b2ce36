"""What a model that hears is to hear of each clip, kept on disk beside the frames.

It is computed by what `vigilia run` computes it with, clip by clip, and rounded to half precision.

Letters: S clips, F frames of sound, M mel bands, B rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vigilia.engine import Place, pieces
from vigilia.errors import BrokenVideoError, OutputError
from vigilia.preprocessing import Preprocessing
from vigilia.running.sound import Sound
from vigilia.stream import StreamClassifier
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording, cached_frames
from vigilia.video import open_video
from vigilia.video.audio import FRAMES_PER_SECOND, MEL_BANDS
from vigilia.video.clips import ClipWindow

__all__ = ["cached_sound", "load_sound", "with_sound"]


def cached_sound(
    video: str | Path, preprocessing: Preprocessing, path: Path, *, clips: int
) -> np.ndarray:
    """(S, F, M) float16, NaN where nothing was heard; mapped from `path`, made if it is not there.

    Args:
        video: file, or folder of recorder chunks.
        preprocessing: how frames become clips.
        path: of the cache.
        clips: S.

    Raises:
        VideoError: the video cannot be read.
        OutputError: the cache cannot be written.
    """
    seconds = preprocessing.clip_frames / preprocessing.fps
    shape = (clips, max(1, round(seconds * FRAMES_PER_SECOND)), MEL_BANDS)
    size = int(np.prod(shape)) * np.dtype(np.float16).itemsize
    if not path.exists() or path.stat().st_size != size:
        partial = path.with_suffix(".partial-sound")
        try:
            with partial.open("wb") as file:
                for heard in _heard(video, preprocessing, seconds):
                    file.write(heard.astype(np.float16).tobytes())
            os.replace(partial, path)
        except OSError as error:
            raise OutputError(
                f"{path.parent}: sound cannot be kept there ({error.strerror}); "
                "name another folder with --cache"
            ) from error
    return np.memmap(path, dtype=np.float16, mode="r", shape=shape)


def with_sound(
    recording: Recording, video: str | Path, model: StreamClassifier, cache: Path
) -> Recording:
    """A recording with what a model that hears is to hear of it.

    Args:
        recording: from `prepare_recording`, with the model's preprocessing.
        video: where it comes from.
        model: that hears.
        cache: folder of its frames.
    """
    how = model.preprocessing
    frames = cached_frames(video, how, cache, None)
    path = frames.with_name(f"{frames.stem}-{how.clip_frames}-{how.stride_frames}.sound")
    return replace(recording, sound=cached_sound(video, how, path, clips=len(recording)))


def _heard(video: str | Path, preprocessing: Preprocessing, seconds: float) -> Iterator[np.ndarray]:
    window = ClipWindow(
        clip_frames=preprocessing.clip_frames,
        stride_frames=preprocessing.stride_frames,
        interval_seconds=1 / preprocessing.fps,
    )
    # Small pictures: they are decoded, and not looked at.
    with (
        open_video(video, width=8, height=8) as reader,
        Sound(reader.parts, clip_seconds=seconds) as sound,
    ):
        cut = pieces(reader.samples(fps=preprocessing.fps), Place(window))
        try:
            for piece in sound.heard(cut):
                if piece.frames is not None:
                    assert piece.audio is not None
                    yield piece.audio
        except BrokenVideoError:
            return  # as with the frames: what came before is used


def load_sound(
    recordings: Sequence[Recording],
    which: np.ndarray,
    clips: np.ndarray,
    plays: np.ndarray,
    options: TrainOptions | None = None,
) -> np.ndarray:
    """What is heard during one clip of each row, (B, F, M) float32.

    A share of the stretches is not heard at all: how a model does without sound it has to learn.

    Args:
        recordings: all of them, with sound.
        which: (B,) which recording.
        clips: (B,) which clip of it.
        plays: (B,) which stretch it belongs to.
        options: their `sound_drop`; None drops nothing.
    """
    heard = []
    for index, clip, play in zip(which, clips, plays, strict=True):
        sound = recordings[index].sound
        assert sound is not None
        one = np.asarray(sound[clip], np.float32)
        if options is not None and _lost(options, int(play)):
            one = np.full_like(one, np.nan)
        heard.append(one)
    return np.stack(heard)


def _lost(options: TrainOptions, play: int) -> bool:
    return bool(np.random.default_rng([options.seed, 12, play]).random() < options.sound_drop)
