"""The data's way in one generator: samples become clips, clips become steps.

Letters: K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from vigilia.engine import Piece, Place, pieces
from vigilia.engine.stepping import probabilities_of
from vigilia.preprocessing import Preprocessing
from vigilia.relevance import AnyGate, AnyGateState, fresh_gate
from vigilia.running.sound import Sound
from vigilia.stream import StreamClassifier, StreamState
from vigilia.video import Gap, Position, Sample
from vigilia.video.clips import ClipWindow

__all__ = ["Progress", "Step", "classify", "start"]


@dataclass(frozen=True)
class Progress:
    """Everything a stream needs to go on after any step.

    Attributes:
        state: what the model remembers.
        window: the partly filled clip.
        position: where the video is; None before the first sample.
        gate: what the relevance gate knows; None without one.
    """

    state: StreamState
    window: ClipWindow
    position: Position | None = None
    gate: AnyGateState | None = None

    @property
    def place(self) -> Place:
        """Where the frames stand, without the model's state."""
        return Place(self.window, self.position, self.gate)

    @staticmethod
    def at(place: Place, state: StreamState) -> Progress:
        """A place and the state that belongs to it."""
        return Progress(state, place.window, place.position, place.gate)


@dataclass(frozen=True)
class Step:
    """One step's result.

    Attributes:
        start_seconds: what it labels, half-open.
        end_seconds: the end of that.
        probabilities: (K,) float32; None for a hole in the recording.
        progress: where the stream stands now. A saved run goes on behind a clip, never behind a
            hole: the video's position is that of a sample.
        kept: nothing had moved, so this is the last step's result again.
    """

    start_seconds: float
    end_seconds: float
    probabilities: np.ndarray | None
    progress: Progress
    kept: bool = False


def start(model: StreamClassifier, gate: AnyGate | None = None) -> Progress:
    """A stream that has seen nothing."""
    return Progress(
        state=model.init_state(1), window=_window(model.preprocessing), gate=fresh_gate(gate)
    )


def _window(preprocessing: Preprocessing) -> ClipWindow:
    return ClipWindow(
        clip_frames=preprocessing.clip_frames,
        stride_frames=preprocessing.stride_frames,
        interval_seconds=1 / preprocessing.fps,
    )


def classify(
    items: Iterable[Sample | Gap],
    model: StreamClassifier,
    progress: Progress,
    *,
    gate: AnyGate | None = None,
    sound: Sound | None = None,
) -> Iterator[Step]:
    """Classifies a stream of samples, one step at a time.

    When the samples end, whatever the last clip left over is classified too. When they end with
    an error, that is done first and the error raised after it.

    Args:
        items: samples and holes, from `VideoReader.samples`.
        model: in evaluation mode.
        progress: where the stream stands; from `start` or a saved run.
        gate: skips steps where nothing moves; None skips none.
        sound: of the recording, for a model that hears.
    """
    state = progress.state
    cut = pieces(items, progress.place, gate=gate)
    for piece in cut if sound is None else sound.heard(cut):
        assert piece.place is not None
        probabilities = None
        kept = piece.still and bool(state.clips[0] > 0)
        if kept:
            probabilities = probabilities_of(state.logits[0].cpu())
            state = replace(state, seconds=torch.full_like(state.seconds, piece.end_seconds))
        elif piece.frames is not None:
            state = _step(piece, model, state)
            probabilities = probabilities_of(state.logits[0].cpu())
        yield Step(
            piece.start_seconds,
            piece.end_seconds,
            probabilities,
            Progress.at(piece.place, state),
            kept,
        )


@torch.inference_mode()
def _step(piece: Piece, model: StreamClassifier, state: StreamState) -> StreamState:
    assert piece.frames is not None
    device, dtype = state.logits.device, state.logits.dtype
    frames = torch.from_numpy(piece.frames)[None].to(device)
    ended = torch.tensor([piece.end_seconds], dtype=torch.float64, device=device)
    clip = model.preprocessing.to_clip(frames, dtype)
    audio = None if piece.audio is None else torch.from_numpy(piece.audio)[None].to(device)
    return model.step(clip, state, seconds=ended, audio=audio)[1]
