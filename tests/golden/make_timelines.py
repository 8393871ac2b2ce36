"""Writes the golden timelines of this folder: `python tests/golden/make_timelines.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vigilia.timeline import Scores, Segment, Timeline

GOLDEN = Timeline(
    classes=("lying, left", "standing", "a<b & c-->d", "never"),
    segments=(
        Segment(0.0, 61.5, "lying, left", 0.9333333333333333),
        Segment(61.5, 3600.0004, None, 0.0),
        Segment(3600.0004, 3600.25, "a<b & c-->d", 0.5),
        Segment(3600.25, 363723.1, "standing", 1.0),
    ),
    scores=Scores(
        np.array([0.0, 1.0, 3600.0]),
        np.array([1.0, 2.0, 3600.25]),
        np.array([[0.7, 0.1, 0.1, 0.1], [1 / 3, 1 / 3, 1 / 3, 0.0], [0.0, 1e-9, 1.0, 0.0]]),
    ),
    source="barn 3 – night.mp4",
    assumptions={"sampling_fps": 4, "hysteresis": 0.1, "trained_on": "pens 1 --> 4"},
)

if __name__ == "__main__":
    folder = Path(__file__).parent
    GOLDEN.to_csv(folder / "timeline.csv")
    GOLDEN.to_json(folder / "timeline.json")
    GOLDEN.to_vtt(folder / "timeline.vtt")
