"""Event cameras: recordings of any of eight formats, bins for models, and a simulated camera.

    array.py        the value: events as an array of t, x, y, p
    formats/        one file a format: bytes -> events, and back for four of them
    repair.py       what is put right as it is read, and counted
    reader.py       a file -> bounded pieces, in order of time
    writer.py       pieces -> a file
    bins.py         what a bin is: counts, binary, voxel grid, time surface
    binning.py      pieces -> bins, each known as soon as it is over
    camera.py       a simulated camera: frames -> events
    simulate.py     a video through it
    summary.py      what a recording holds
    plots.py        a picture of it
    streaming.py    a file as a model sees it

    with open_events("night.raw") as reader:
        binning = Binning(reader.width, reader.height, bin_us=20_000)
        for bins in bin_events(binning, reader):
            bins.frames             # (T, 2, H, W) int32: OFF and ON events
            bins.start_us           # (T,) int64
    reader.problems                 # what was repaired, and how often

Needs numpy; AEDAT4 and DSEC need the extra `events`; simulation needs PyAV through `video`.
"""

from __future__ import annotations

from vigilia.events.array import EVENT, empty_events, make_events
from vigilia.events.binning import Binning, Bins, BinState, bin_events, finish_bins, push_events
from vigilia.events.camera import CameraState, EventCamera, expose
from vigilia.events.formats import FORMATS, detect
from vigilia.events.reader import EventReader, open_events, read_events
from vigilia.events.repair import PROBLEMS
from vigilia.events.simulate import simulate_events
from vigilia.events.streaming import fit_events, model_bins
from vigilia.events.summary import Activity, Summary, summarise
from vigilia.events.writer import Written, write_events

__all__ = [
    "EVENT",
    "FORMATS",
    "PROBLEMS",
    "Activity",
    "BinState",
    "Binning",
    "Bins",
    "CameraState",
    "EventCamera",
    "EventReader",
    "Summary",
    "Written",
    "bin_events",
    "detect",
    "empty_events",
    "expose",
    "finish_bins",
    "fit_events",
    "make_events",
    "model_bins",
    "open_events",
    "push_events",
    "read_events",
    "simulate_events",
    "summarise",
    "write_events",
]
