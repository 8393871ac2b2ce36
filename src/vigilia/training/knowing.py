"""What a trained model's card says of the recordings it learned from; see `evaluation.known`.

Letters: S clips, F new frames of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vigilia.checkpoint import load_classifier, save_model
from vigilia.evaluation.known import Known, embed_clips, fit_known
from vigilia.stream import StreamClassifier
from vigilia.training.recordings import Recording

__all__ = ["know_recordings", "write_known"]

MOST_CLIPS = 256
"""Of all recordings together: minutes, also for a large backbone without a graphics card."""
MOST_OF_ONE = 64
LEAST_OF_ONE = 8


def know_recordings(model: StreamClassifier, recordings: Sequence[Recording]) -> Known:
    """Looks at a stretch of each recording, from its middle: as much as keeps it short.

    Args:
        model: in evaluation mode.
        recordings: that it learned from.
    """
    share = min(MOST_OF_ONE, max(LEAST_OF_ONE, MOST_CLIPS // len(recordings)))
    every = -(-len(recordings) * share // MOST_CLIPS)
    shown, embedded = [], []
    for one in recordings[::every]:
        first = max(0, (len(one) - share) // 2)
        clips = range(first, min(first + share, len(one)))
        new = model.preprocessing.stride_frames
        shown.append(np.stack([one.frames[one.clips[clip][-new:]] for clip in clips]))
        frames = ((one.frames[one.clips[clip]], float(one.end_seconds[clip])) for clip in clips)
        embedded.append(embed_clips(model, frames))
    return fit_known(shown, embedded)


def write_known(out: Path, recordings: Sequence[Recording], *, device: object = "cpu") -> None:
    """Adds it to the card of a model file.

    Raises:
        CheckpointError: the file cannot be used.
        OutputError: it cannot be written.
    """
    model = load_classifier(out, device=device)  # type: ignore[arg-type]
    known = know_recordings(model, recordings)
    save_model(model, out, card={**model.card, "known": known.as_card()})
