"""Writes NWB through pynwb and the ndx-ethogram extension; nwb.py says what the files hold."""

from __future__ import annotations

import importlib
import io
import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vigilia.errors import MissingExtraError
from vigilia.installation import install_command
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.boris_writing import UNKNOWN_DATE
from vigilia.timeline.formats.format import Options

__all__ = ["NO_ZONE", "write"]

NO_ZONE = "session_start_time: its time zone is not known, UTC stands in its place"
"""A note in files whose date has no zone, because NWB wants one."""

OWN_COLUMNS = {
    "subject": "Who; empty where nobody is named.",
    "modifiers": "What is said beside the label, one entry a set of modifiers, joined by |.",
    "scorer": "Who says so; empty where nobody is named.",
    "comment": "Free text.",
    "confidence": "Of a model, 0 to 1; NaN for people.",
}
"""Columns beside times and labels; those that would be empty throughout are left out."""


def write(several: Sequence[Annotations], options: Options) -> bytes:
    """One session: an ethogram, its bouts, points in a table of their own, what was observed.

    The video is linked where its length and frame rate are known.

    Raises:
        MissingExtraError: pynwb or ndx-ethogram is not installed.
    """
    (annotations,) = several
    pynwb, ndx_ethogram, h5py = _libraries(annotations.path)
    started = annotations.started or datetime.fromisoformat(UNKNOWN_DATE)
    has_zone = started.tzinfo is not None
    file = pynwb.NWBFile(
        session_description="Behaviour, scored from video",
        identifier=annotations.title or str(uuid.uuid4()),
        session_start_time=started if has_zone else started.replace(tzinfo=UTC),
        notes=None if has_zone else NO_ZONE,
    )
    bouts = [event for event in annotations.events if not event.is_point]
    points = [event for event in annotations.events if event.is_point]
    ethogram = ndx_ethogram.Ethogram(
        name="ethogram", description="The behaviours that are told apart", exclusive=_apart(bouts)
    )
    for label in annotations.labels:
        is_point = any(e.label == label for e in points) and all(e.label != label for e in bouts)
        kind = "point" if is_point else "state"
        ethogram.add_row(behavior=label, definition=label, behavior_type=kind)
    by_model = any(event.confidence is not None for event in annotations.events)
    table = ndx_ethogram.EthogramBouts(
        name="bouts",
        description="A row a bout, in seconds from the start of the recording",
        labeling_method="automated" if by_model else "manual",
        source_software="Vigilia",
        ethogram=ethogram,
    )
    _fill(
        table,
        bouts,
        lambda e: {"start_time": float(e.start_seconds), "stop_time": float(e.end_seconds)},
    )
    module = file.create_processing_module(name="behavior", description="What was seen, and when")
    module.add(ethogram)
    module.add(table)
    if video := _video(annotations, options, pynwb):
        file.add_acquisition(video)
        table.source_video = video
    if annotations.observed is not None:
        observed = pynwb.epoch.TimeIntervals(
            name="observed", description="When somebody looked; the rest is not known"
        )
        for start, end in annotations.observed:
            observed.add_row(start_time=float(start), stop_time=float(end))
        module.add(observed)
        table.observation_intervals = observed
    if points:
        moments = pynwb.event.EventsTable(
            name="points", description="A row a moment, in seconds from the start of the recording"
        )
        moments.add_column(name="label", description="The behaviour")
        _fill(moments, points, lambda event: {"timestamp": float(event.start_seconds)})
        module.add(moments)
    data = io.BytesIO()
    with h5py.File(data, "w") as hdf5, pynwb.NWBHDF5IO(file=hdf5, mode="w") as writer:
        writer.write(file)
    return data.getvalue()


def _libraries(path: Path) -> tuple[Any, Any, Any]:
    try:
        names = ("pynwb", "ndx_ethogram", "h5py", "pynwb.epoch", "pynwb.event", "pynwb.image")
        pynwb, ndx_ethogram, h5py, *_ = map(importlib.import_module, names)
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: NWB is written by pynwb and ndx-ethogram; {install_command('nwb')}"
        ) from error
    return pynwb, ndx_ethogram, h5py


def _apart(bouts: Sequence[Event]) -> bool:
    """Whether one behaviour holds at a time."""
    return all(a.end_seconds <= b.start_seconds for a, b in itertools.pairwise(bouts))


def _fill(table: Any, events: Sequence[Event], times: Any) -> None:
    own = {name: [_cell(event, name) for event in events] for name in OWN_COLUMNS}
    used = [
        name for name, cells in own.items() if any(cell == cell and cell != "" for cell in cells)
    ]
    for name in used:
        table.add_column(name=name, description=OWN_COLUMNS[name])
    for row, event in enumerate(events):
        cells = {name: own[name][row] for name in used}
        table.add_row(**times(event), label=event.label, **cells)


def _cell(event: Event, name: str) -> str | float:
    if name == "confidence":
        return float("nan") if event.confidence is None else event.confidence
    return "|".join(event.modifiers) if name == "modifiers" else getattr(event, name)


def _video(annotations: Annotations, options: Options, pynwb: Any) -> Any:
    """One series, of one video or of several that follow each other."""
    fps = annotations.fps or options.fps
    lengths = annotations.media_seconds
    if not annotations.media or len(lengths) != len(annotations.media) or not fps:
        return None
    ends = [round(seconds * fps) for seconds in itertools.accumulate(lengths)]
    return pynwb.image.ImageSeries(
        name="video",
        description="The video that was scored",
        external_file=list(annotations.media),
        format="external",
        starting_frame=[0, *ends[:-1]],
        rate=float(fps),
        num_samples=ends[-1],
        unit="n.a.",
    )
