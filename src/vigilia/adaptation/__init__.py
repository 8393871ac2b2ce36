"""Adapting a trained model to a new camera from recordings that nobody labelled, with guards.

options.py  how
light.py    pixels get the mean and deviation of the training's
norms.py    running statistics of batch norms
entropy.py  the norms' gains and offsets learn to be sure, within bounds
judging.py  what changed on the part that nothing was learned from, and when to refuse
start.py    from a model file and videos to an adapted file: what `vigilia adapt` calls
"""

from __future__ import annotations

from vigilia.adaptation.judging import Change, Seen, judge_change
from vigilia.adaptation.options import METHODS, AdaptOptions
from vigilia.adaptation.start import Adapted, adapt_recordings

__all__ = [
    "METHODS",
    "AdaptOptions",
    "Adapted",
    "Change",
    "Seen",
    "adapt_recordings",
    "judge_change",
]
