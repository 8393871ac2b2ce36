"""Recordings in, timelines out: the pieces joined, with resume.

classify.py    samples -> steps, one recording
model.py       which model, at which rates, in which precision
saved.py       an unfinished run on disk
sound.py       what a recording sounds like
recording.py   one recording on its way to a timeline
run.py         vigilia.run: one recording
event_model.py whether a model takes events
gates.py       what the user names as a gate
events.py      one recording of an event camera
many.py        several, in one engine
outputs.py     where a timeline is written
"""

from __future__ import annotations

from vigilia.running.gates import gate_named
from vigilia.running.many import Outcome, run_many
from vigilia.running.model import PRECISIONS, StepModel
from vigilia.running.outputs import name_of, write_outputs
from vigilia.running.recording import RunUpdate, fingerprint
from vigilia.running.run import run

__all__ = [
    "PRECISIONS",
    "Outcome",
    "RunUpdate",
    "StepModel",
    "fingerprint",
    "gate_named",
    "name_of",
    "run",
    "run_many",
    "write_outputs",
]
