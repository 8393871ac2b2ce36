"""The data's way in one generator: samples become clips, clips become steps.

Letters: T frames, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from vigilia.preprocessing import Preprocessing
from vigilia.stream import StreamClassifier, StreamState
from vigilia.video import Gap, Position, Sample
from vigilia.video.clips import Clip, ClipWindow, flush, push_sample

__all__ = ["Progress", "Step", "classify", "start"]


@dataclass(frozen=True)
class Progress:
    """Everything a stream needs to go on after any step.

    Attributes:
        state: what the model remembers.
        window: the partly filled clip.
        position: where the video is; None before the first sample.
    """

    state: StreamState
    window: ClipWindow
    position: Position | None = None


@dataclass(frozen=True)
class Step:
    """One step's result.

    Attributes:
        start_seconds: what it labels, half-open.
        end_seconds: the end of that.
        probabilities: (K,) float32; None for a hole in the recording.
        progress: where the stream stands now. A saved run goes on behind a clip, never behind a
            hole: the video's position is that of a sample.
    """

    start_seconds: float
    end_seconds: float
    probabilities: np.ndarray | None
    progress: Progress


def start(model: StreamClassifier) -> Progress:
    """A stream that has seen nothing."""
    return Progress(state=model.init_state(1), window=_window(model.preprocessing))


def _window(preprocessing: Preprocessing) -> ClipWindow:
    return ClipWindow(
        clip_frames=preprocessing.clip_frames,
        stride_frames=preprocessing.stride_frames,
        interval_seconds=1 / preprocessing.fps,
    )


def classify(
    items: Iterable[Sample | Gap], model: StreamClassifier, progress: Progress
) -> Iterator[Step]:
    """Classifies a stream of samples, one step at a time.

    When the samples end, whatever the last clip left over is classified too. When they end with
    an error, that is done first and the error raised after it.

    Args:
        items: samples and holes, from `VideoReader.samples`.
        model: in evaluation mode.
        progress: where the stream stands; from `start` or a saved run.
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
        window, clip = progress.window, None
        if isinstance(item, Gap):
            window, clip = flush(window)
            step, progress = _step(clip, model, replace(progress, window=window))
            if step is not None:
                yield step
            yield Step(item.start_seconds, item.end_seconds, None, progress)
            continue
        window, clip = push_sample(window, item)
        progress = replace(progress, window=window, position=item.position)
        step, progress = _step(clip, model, progress)
        if step is not None:
            yield step
    window, clip = flush(progress.window)
    step, progress = _step(clip, model, replace(progress, window=window))
    if step is not None:
        yield step
    if error is not None:
        raise error


@torch.inference_mode()
def _step(
    clip: Clip | None, model: StreamClassifier, progress: Progress
) -> tuple[Step | None, Progress]:
    if clip is None:
        return None, progress
    device = model.head.weight.device
    frames = torch.from_numpy(clip.frames)[None].to(device)
    ended = torch.tensor([clip.end_seconds], dtype=torch.float64, device=device)
    logits, state = model.step(
        model.preprocessing.to_clip(frames, model.head.weight.dtype), progress.state, seconds=ended
    )
    progress = replace(progress, state=state)
    probabilities = logits[0].float().softmax(0).cpu().numpy()
    return Step(clip.start_seconds, clip.end_seconds, probabilities, progress), progress
