"""BORIS projects: `.boris`, JSON, several observations in one file.

A state event is two rows with the same subject, code and modifiers: of such rows the first, third,
fifth ... start a bout and the others stop it. Rows are numbered from 1 in their observation.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.format import (
    Format,
    Options,
    confidence_of,
    in_milliseconds,
    with_confidence,
)
from vigilia.timeline.formats.jsons import parse_json
from vigilia.timeline.tables import read_text

__all__ = ["BORIS", "Busy", "base_name", "is_boris", "read", "refuse_twice", "write"]

Busy = dict[tuple[str, str, tuple[str, ...]], tuple[int, int]]

UNKNOWN_DATE = "1970-01-01T00:00:00"
"""Written where the date is not known; BORIS wants one."""
SCORER_VARIABLE = "scorer"
VIDEO_NOTE = "video: "


def is_boris(content: Any) -> bool:
    return isinstance(content, dict) and {"observations", "behaviors_conf"} <= content.keys()


def base_name(path: str) -> str:
    """`C:\\videos\\a.mp4` -> `a.mp4`."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads every observation; a state that never stops ends at infinity.

    Raises:
        LabelError: it is no BORIS project, or an event is not understood.
    """
    content = parse_json(read_text(path), path)
    if not is_boris(content):
        raise LabelError(f"{path} is no BORIS project: it has no observations and behaviors_conf")
    try:
        codes = {one["code"]: one["type"] for one in content["behaviors_conf"].values()}
        return tuple(
            _observation(name, observation, codes, path)
            for name, observation in content["observations"].items()
        )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise LabelError(
            f"{path} is a damaged BORIS project ({type(error).__name__}: {error}); "
            "open it in BORIS and save it again"
        ) from error


def _observation(
    name: str, observation: dict[str, Any], codes: dict[str, str], path: Path
) -> Annotations:
    if float(observation.get("time offset") or 0):
        warnings.warn(
            f"{path}: the time offset of '{name}', {observation['time offset']} s, is not applied; "
            "times count from the start of the video",
            stacklevel=4,
        )
    files = observation.get("file") or {}
    paths = list(files.get("1") or []) if isinstance(files, dict) else []
    about = observation.get("media_info") or {}
    lengths = [float(about.get("length", {}).get(one, math.nan)) for one in paths]
    rates = {float(about.get("fps", {}).get(one, math.nan)) for one in paths}
    if not paths and str(observation.get("description", "")).startswith(VIDEO_NOTE):
        paths, lengths = [observation["description"].removeprefix(VIDEO_NOTE)], [math.nan]
    if any(map(math.isnan, lengths)):
        lengths = []
    duration = math.fsum(lengths) if lengths else None
    fps = rates.pop() if len(rates) == 1 else math.nan
    variables = observation.get("independent_variables") or {}
    scorer = variables.get(SCORER_VARIABLE, "")
    date = str(observation.get("date") or UNKNOWN_DATE)
    return Annotations(
        events=tuple(_events(name, observation["events"], codes, scorer, path)),
        classes=tuple(codes),
        recording=name,
        media=tuple(base_name(one) for one in paths),
        media_seconds=tuple(lengths),
        duration_seconds=duration,
        fps=None if math.isnan(fps) or fps <= 0 else fps,
        observed=None if duration is None else ((0.0, duration),),
        started=None if date == UNKNOWN_DATE else datetime.fromisoformat(date),
        path=path,
    )


def _events(
    name: str, rows: list[list[Any]], codes: dict[str, str], scorer: str, path: Path
) -> Iterator[Event]:
    running: dict[tuple[str, str, str], tuple[int, float, str]] = {}
    # BORIS pairs in the order of time.
    for number, row in sorted(enumerate(rows, start=1), key=lambda one: float(one[1][0])):
        seconds, (subject, code, modifiers, comment) = float(row[0]), row[1:5]
        if not math.isfinite(seconds):
            raise LabelError(f"{path}, row {number} of '{name}': the event has no time")
        if code not in codes:
            raise LabelError(
                f"{path}, row {number} of '{name}': '{code}' is not in the ethogram of the project"
            )
        key = (subject, code, modifiers)
        start = running.pop(key, None)
        if codes[code].lower().startswith("state") and start is None:
            running[key] = (number, seconds, comment)
            continue
        begin = (number, seconds, comment) if start is None else start
        said = [begin[2], comment] if start is not None and comment != begin[2] else [comment]
        yield _event(key, begin[0], begin[1], seconds, "; ".join(filter(None, said)), scorer)
    for key, (number, seconds, comment) in running.items():
        yield _event(key, number, seconds, math.inf, comment, scorer)


def _event(
    key: tuple[str, str, str], row: int, start: float, end: float, said: str, scorer: str
) -> Event:
    subject, code, modifiers = key
    comment, confidence = confidence_of(said)
    return Event(
        start,
        end,
        code,
        subject,
        tuple(modifiers.split("|")) if modifiers else (),
        scorer,
        comment,
        confidence,
        row,
    )


def write(several: Sequence[Annotations], options: Options) -> str:
    """A project that BORIS opens: one observation a recording, or a recording and a scorer.

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
                "modifiers": _modifier_sets(code, events),
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
        "observations": dict(
            one
            for annotations in several
            for one in _observations(annotations, mixed, options, bool(variables))
        ),
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
                if modifier not in ("", "None"):
                    values[modifier] = None
    return {
        str(number): {"name": f"set {number + 1}", "type": 0, "values": list(values)}
        for number, values in sorted(sets.items())
    }


def _observations(
    annotations: Annotations, mixed: set[str], options: Options, with_scorer: bool
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
                "date": annotations.started.isoformat() if annotations.started else UNKNOWN_DATE,
                "description": note,
                "time offset": 0.0,
                "events": _rows(events, mixed, annotations.path),
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


def _rows(events: Sequence[Event], mixed: set[str], path: Path) -> list[list[Any]]:
    rows: list[list[Any]] = []
    reached: Busy = {}
    for start, end, event in in_milliseconds(events):
        is_own = event.label in mixed and event.is_point
        code = _code_of_point(event.label) if is_own else event.label
        cells = [event.subject, code, "|".join(event.modifiers)]
        rows.append([start / 1000, *cells, with_confidence(event.comment, event.confidence)])
        if event.is_point:
            continue
        refuse_twice(reached, start, end, event, path)
        rows.append([end / 1000, *cells, ""])
    # Of rows of one bout and its successor at one moment, the order they were made in is right.
    return sorted(rows, key=lambda one: one[:3])


BORIS = Format(
    title="BORIS project",
    suffixes=(".boris",),
    read=read,
    write=write,
    keeps=frozenset(
        {
            "subjects",
            "scorers",
            "modifiers",
            "comments",
            "confidence",
            "points",
            "classes",
            "started",
            "spaces",
            "empty",
        }
    ),
    several=True,
    resolution="millisecond",
)
