"""What a stream hands to the engine: clips to step, clips that need none, and holes.

Letters: T frames, H W pixels, F frames of sound, M mel bands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from vigilia.relevance import AnyGate, AnyGateState, decide_clip, gate_after_hole, watch_sample
from vigilia.video import Gap, Position, Sample
from vigilia.video.clips import Clip, ClipWindow, flush, push_sample

__all__ = ["Piece", "Place", "pieces"]


@dataclass(frozen=True)
class Place:
    """Where a stream's frames stand: with the model's state, all that going on needs.

    Attributes:
        window: the partly filled clip.
        position: where the video is; None before the first sample.
        gate: what the relevance gate knows; None without one.
    """

    window: ClipWindow
    position: Position | None = None
    gate: AnyGateState | None = None


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a stream that gets one result.

    Attributes:
        start_seconds: what the result labels, half-open.
        end_seconds: the end of that.
        frames: (T, H, W, 3) uint8; None for a hole in the recording.
        still: nothing has moved, so the last result may be kept.
        place: where the stream stands behind it; None where nobody goes on from there.
        audio: (F, M) float32, what was heard during the clip; None for a model that does not hear.
    """

    start_seconds: float
    end_seconds: float
    frames: np.ndarray | None
    still: bool = False
    place: Place | None = None
    audio: np.ndarray | None = None

    def __repr__(self) -> str:
        kind = "hole" if self.frames is None else "still" if self.still else "clip"
        return f"Piece({kind}, {self.start_seconds:.3f}..{self.end_seconds:.3f} s)"


def pieces(
    items: Iterable[Sample | Gap], place: Place, *, gate: AnyGate | None = None
) -> Iterator[Piece]:
    """Cuts a stream of samples into pieces.

    When the samples end, what is left over makes a last clip. When they end with an error, that is
    done first and the error raised after it.

    Args:
        items: samples and holes, from `VideoReader.samples`.
        place: where the stream stands; its window is empty at the beginning.
        gate: marks clips in which nothing moves; None marks none.
    """
    error: Exception | None = None
    source = iter(items)
    while True:
        try:
            item = next(source)
        except StopIteration:
            break
        except Exception as caught:
            error = caught
            break
        if isinstance(item, Gap):
            window, clip = flush(place.window)
            place = replace(place, window=window)
            if clip is not None:
                place, piece = _piece(clip, place, gate)
                yield piece
            if place.gate is not None:
                place = replace(place, gate=gate_after_hole(gate, place.gate))
            yield Piece(item.start_seconds, item.end_seconds, None, place=place)
            continue
        window, clip = push_sample(place.window, item)
        place = replace(place, window=window, position=item.position)
        if gate is not None:
            seen = watch_sample(
                gate,
                place.gate,
                item.pixels,
                seconds=item.seconds,
                clip_frames=window.clip_frames,
            )
            place = replace(place, gate=seen)
        if clip is not None:
            place, piece = _piece(clip, place, gate)
            yield piece
    window, clip = flush(place.window)
    if clip is not None:
        place, piece = _piece(clip, replace(place, window=window), gate)
        yield piece
    if error is not None:
        raise error


def _piece(clip: Clip, place: Place, gate: AnyGate | None) -> tuple[Place, Piece]:
    still = False
    if gate is not None and place.gate is not None:
        state, step = decide_clip(
            gate,
            place.gate,
            clip_frames=place.window.clip_frames,
            end_seconds=clip.end_seconds,
        )
        place, still = replace(place, gate=state), not step
    piece = Piece(clip.start_seconds, clip.end_seconds, clip.frames, still=still, place=place)
    return place, piece
