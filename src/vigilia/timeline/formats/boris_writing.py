"""Writes BORIS projects; boris_project.py says what the files look like."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.format import Options, in_milliseconds, with_confidence
from vigilia.timeline.formats.naming import numbered

__all__ = [
    "NOT_CHOSEN",
    "SCORER_VARIABLE",
    "UNKNOWN_DATE",
    "VIDEO_NOTE",
    "Busy",
    "refuse_twice",
    "write",
]

UNKNOWN_DATE = "1970-01-01T00:00:00"
"""Written where the date is not known; BORIS wants one."""
SCORER_VARIABLE = "scorer"
"""The independent variable of an observation that says who scored it."""
NOT_CHOSEN = "None"
"""Stands in an event for a set of modifiers of which nothing was chosen."""
VIDEO_NOTE = "video: "
"""How the description of a live observation begins that has a video after all."""

Busy = dict[tuple[str, str, tuple[str, ...]], tuple[int, int]]


def write(several: Sequence[Annotations], options: Options) -> str:
    """A project that BORIS opens: one observation a recording, or a recording and a scorer.

    Recordings of one title are numbered, since a project knows observations by their titles.
    A recording whose video, length and frame rate are known becomes an observation of that video,
    another one a live observation, which needs none.

    Raises:
        LabelError: a subject does the same thing twice at a time, which two rows cannot tell apart.
    """
    events = [event for annotations in several for event in annotations.events]
    points = {event.label for event in events if event.is_point}
    mixed = points & {event.label for event in events if not event.is_point}
    labels = dict.fromkeys(label for annotations in several for label in annotations.labels)
    codes = {}
    for label in labels:
        kind = "Point event" if label in points - mixed else "State event"
        codes[label] = kind
        if label in mixed:
            codes[_code_of_point(label)] = "Point event"
    subjects = sorted({event.subject for event in events} - {""})
    variables = {SCORER_VARIABLE} if any(event.scorer for event in events) else set()
    sets = {code: _modifier_sets(code, events) for code in codes}
    counts = {code: len(of_code) for code, of_code in sets.items()}
    observations = [
        one
        for annotations in several
        for one in _observations(annotations, mixed, counts, options, bool(variables))
    ]
    titles = numbered([title for title, _ in observations])
    project = {
        "time_format": "hh:mm:ss",
        "project_date": UNKNOWN_DATE,
        "project_name": several[0].title if len(several) == 1 else "",
        "project_description": "",
        "project_format_version": "7.0",
        "subjects_conf": {
            str(number): {"key": "", "name": name, "description": ""}
            for number, name in enumerate(subjects)
        },
        "behaviors_conf": {
            str(number): {
                "type": kind,
                "key": "",
                "code": code,
                "description": "",
                "color": "",
                "category": "",
                "modifiers": sets[code],
                "excluded": "",
                "coding map": "",
            }
            for number, (code, kind) in enumerate(codes.items())
        },
        "behavioral_categories": [],
        "behavioral_categories_config": {},
        "independent_variables": {
            str(number): {
                "label": name,
                "description": "",
                "type": "text",
                "default value": "",
                "possible values": "",
            }
            for number, name in enumerate(sorted(variables))
        },
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
        "observations": {
            title: about for title, (_, about) in zip(titles, observations, strict=True)
        },
    }
    return json.dumps(project, indent=1, ensure_ascii=False) + "\n"


def _code_of_point(label: str) -> str:
    return f"{label} (point)"


def _modifier_sets(code: str, events: Sequence[Event]) -> dict[str, Any]:
    sets: dict[int, dict[str, None]] = {}
    for event in events:
        if code in (event.label, _code_of_point(event.label)):
            for number, modifier in enumerate(event.modifiers):
                values = sets.setdefault(number, {})
                if modifier not in ("", NOT_CHOSEN):
                    values[modifier] = None
    return {
        str(number): {"name": f"set {number + 1}", "type": 0, "values": list(values)}
        for number, values in sorted(sets.items())
    }


def _observations(
    annotations: Annotations,
    mixed: set[str],
    sets: Mapping[str, int],
    options: Options,
    with_scorer: bool,
) -> Iterator[tuple[str, dict[str, Any]]]:
    scorers = annotations.scorers or ("",)
    name = annotations.title
    for scorer in scorers:
        events = [event for event in annotations.events if event.scorer == scorer]
        title = f"{name} by {scorer or 'nobody'}" if len(scorers) > 1 else name
        fps = annotations.fps or options.fps
        lengths = dict(zip(annotations.media, annotations.media_seconds, strict=False))
        media = list(annotations.media) if fps and len(lengths) == len(annotations.media) else []
        # A live observation has no place for the video that BORIS will not open.
        note = "" if media or len(annotations.media) != 1 else VIDEO_NOTE + annotations.media[0]
        yield (
            title,
            {
                "file": {str(player): media if player == 1 else [] for player in range(1, 9)},
                "type": "MEDIA" if media else "LIVE",
                "date": _date(annotations.started),
                "description": note,
                "time offset": 0.0,
                "events": _rows(events, mixed, sets, annotations.path),
                "observation time interval": [0, 0],
                "independent_variables": {SCORER_VARIABLE: scorer} if with_scorer else {},
                "close_behaviors_between_videos": False,
                "visualize_spectrogram": False,
                "visualize_waveform": False,
                "media_creation_date_as_offset": False,
                "media_scan_sampling_duration": 0,
                "image_display_duration": 1,
                "scan_sampling_time": 0,
                "start_from_current_time": False,
                "start_from_current_epoch_time": False,
                "media_info": {
                    "length": {one: lengths[one] for one in media},
                    "fps": dict.fromkeys(media, fps),
                    "hasVideo": dict.fromkeys(media, True),
                    "hasAudio": dict.fromkeys(media, False),
                    "offset": {"1": 0.0} if media else {},
                    "display": dict.fromkeys(media, "Nothing"),
                },
            },
        )


def _date(started: datetime | None) -> str:
    """What the clock on the wall showed: dates of BORIS have whole seconds, and no zone."""
    if started is None:
        return UNKNOWN_DATE
    return started.replace(tzinfo=None).isoformat(timespec="seconds")


def refuse_twice(busy: Busy, start: int, end: int, event: Event, path: Path) -> None:
    """Makes sure that a subject does not do the same thing twice at a time.

    Args:
        busy: until when, in milliseconds, and since which row everything goes on; brought up to
            date here.
        start: of the event, in milliseconds.
        end: of the event, in milliseconds.
        event: the next one.
        path: for messages.

    Raises:
        LabelError: it does; starts and stops cannot be told apart then.
    """
    if event.is_point:
        return
    key = (event.subject, event.label, event.modifiers)
    until, row = busy.get(key, (start, 0))
    if start < until:
        raise LabelError(
            f"{path}, row {event.row}: '{event.label}' from {event.start_seconds:.3f} s while it "
            f"still goes on from row {row}, and starts and stops of BORIS cannot hold both; merge "
            "them (--merge), or choose one --scorer"
        )
    busy[key] = (end, event.row)


def _rows(
    events: Sequence[Event], mixed: set[str], sets: Mapping[str, int], path: Path
) -> list[list[Any]]:
    rows: list[list[Any]] = []
    reached: Busy = {}
    for start, end, event in in_milliseconds(events):
        is_own = event.label in mixed and event.is_point
        code = _code_of_point(event.label) if is_own else event.label
        # BORIS finds fault with an event that says less than its behaviour has sets.
        absent = [NOT_CHOSEN] * (sets[code] - len(event.modifiers)) if sets[code] > 1 else []
        cells = [event.subject, code, "|".join([*event.modifiers, *absent])]
        rows.append([start / 1000, *cells, with_confidence(event.comment, event.confidence)])
        if event.is_point:
            continue
        refuse_twice(reached, start, end, event, path)
        rows.append([end / 1000, *cells, ""])
    # Of rows of one bout and its successor at one moment, the order they were made in is right.
    return sorted(rows, key=lambda one: one[:3])
