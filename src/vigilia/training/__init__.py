"""Training on one's own annotated recordings: rows, truncated backpropagation, resume."""

from __future__ import annotations

from vigilia.training.evaluate import Figures, evaluate_clips
from vigilia.training.loop import TrainingUpdate, train_model
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording, prepare_recording
from vigilia.training.sources import Annotated, read_annotated
from vigilia.training.start import train_recordings

__all__ = [
    "Annotated",
    "Figures",
    "Recording",
    "TrainOptions",
    "TrainingUpdate",
    "evaluate_clips",
    "prepare_recording",
    "read_annotated",
    "train_model",
    "train_recordings",
]
