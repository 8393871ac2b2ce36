"""BORIS projects: `.boris`, JSON, several observations in one file.

A state event is two rows with the same subject, code and modifiers: of such rows the first, third,
fifth ... start a bout and the others stop it. Rows are numbered from 1 in their observation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.boris_writing import (
    NOT_CHOSEN,
    SCORER_VARIABLE,
    UNKNOWN_DATE,
    VIDEO_NOTE,
    write,
)
from vigilia.timeline.formats.format import TOLD, Format, Options, confidence_of, readable
from vigilia.timeline.formats.jsons import json_seconds, parse_json
from vigilia.timeline.texts import read_text

__all__ = ["BORIS", "base_name", "is_boris", "read"]


def is_boris(content: Any) -> bool:
    return isinstance(content, dict) and {"observations", "behaviors_conf"} <= content.keys()


def base_name(path: str) -> str:
    """`C:\\videos\\a.mp4` -> `a.mp4`."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads every observation; a state that never stops ends at infinity.

    Raises:
        LabelError: it is no BORIS project, or its ethogram is damaged.
    """
    content = parse_json(read_text(path), path)
    if not is_boris(content):
        raise LabelError(f"{path} is no BORIS project: it has no observations and behaviors_conf")
    try:
        codes = {one["code"]: one["type"] for one in content["behaviors_conf"].values()}
        observations = dict(content["observations"].items())
    except (AttributeError, KeyError, TypeError) as error:
        raise _damaged(f"{path} is a damaged BORIS project", error) from error
    fps = options.fps
    return tuple(
        readable(partial(_observation, name, one, codes, path, fps), name, path, _media(one))
        for name, one in observations.items()
    )


def _damaged(what: str, error: Exception) -> LabelError:
    return LabelError(
        f"{what} ({type(error).__name__}: {error}); open it in BORIS and save it again"
    )


def _paths(observation: Any) -> list[str]:
    """The videos of the first player, as the project has them."""
    files = observation.get("file") if isinstance(observation, dict) else None
    return [str(one) for one in files.get("1") or []] if isinstance(files, dict) else []


def _media(observation: Any) -> tuple[str, ...]:
    return tuple(map(base_name, _paths(observation)))


def _observation(
    name: str, observation: Any, codes: dict[str, str], path: Path, told_fps: float | None
) -> Annotations:
    try:
        return _read_observation(name, observation, codes, path, told_fps)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(f"{path}: the observation '{name}' is damaged", error) from error


def _read_observation(
    name: str,
    observation: dict[str, Any],
    codes: dict[str, str],
    path: Path,
    told_fps: float | None,
) -> Annotations:
    if float(observation.get("time offset") or 0):
        warnings.warn(
            f"{path}: the time offset of '{name}', {observation['time offset']} s, is not applied; "
            "times count from the start of the video",
            stacklevel=4,
        )
    paths = _paths(observation)
    about = observation.get("media_info") or {}
    lengths = [float(about.get("length", {}).get(one, math.nan)) for one in paths]
    rates = {float(about.get("fps", {}).get(one, math.nan)) for one in paths}
    if not paths and str(observation.get("description", "")).startswith(VIDEO_NOTE):
        paths, lengths = [observation["description"].removeprefix(VIDEO_NOTE)], [math.nan]
    if any(map(math.isnan, lengths)):
        lengths = []
    duration = math.fsum(lengths) if lengths else None
    fps = rates.pop() if len(rates) == 1 else math.nan
    rows = _rows(name, observation["events"], codes, path, told_fps)
    variables = observation.get("independent_variables") or {}
    scorer = variables.get(SCORER_VARIABLE, "")
    date = str(observation.get("date") or UNKNOWN_DATE)
    return Annotations(
        events=tuple(_events(rows, codes, scorer)),
        classes=tuple(codes),
        recording=name,
        media=tuple(map(base_name, paths)),
        media_seconds=tuple(lengths),
        duration_seconds=duration,
        fps=None if math.isnan(fps) or fps <= 0 else fps,
        observed=None if duration is None else ((0.0, duration),),
        started=None if date == UNKNOWN_DATE else datetime.fromisoformat(date),
        path=path,
    )


Row = tuple[int, float, str, str, str, str]


def _rows(
    name: str, rows: Sequence[Any], codes: dict[str, str], path: Path, fps: float | None
) -> Iterator[Row]:
    """Number, seconds, subject, code, modifiers and comment of each row."""
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number} of '{name}'"
        if not isinstance(row, list) or len(row) < 3:
            raise LabelError(f"{where}: expected time, subject and code, got {str(row)[:60]}")
        subject, code, modifiers, comment = (
            "" if one is None else str(one) for one in [*row[1:5], "", ""][:4]
        )
        if code not in codes:
            raise LabelError(f"{where}: '{code}' is not in the ethogram of the project")
        yield number, json_seconds(row[0], where, fps), subject, code, modifiers, comment


def _events(rows: Iterator[Row], codes: dict[str, str], scorer: str) -> Iterator[Event]:
    running: dict[tuple[str, str, str], tuple[int, float, str]] = {}
    # BORIS pairs in the order of time.
    for row in sorted(rows, key=lambda one: one[1]):
        number, seconds, subject, code, modifiers, comment = row
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
    chosen = modifiers.split("|")
    while chosen and chosen[-1] in ("", NOT_CHOSEN):
        chosen.pop()
    return Event(
        start,
        end,
        code,
        subject,
        tuple(chosen),
        scorer,
        comment,
        confidence,
        row,
    )


BORIS = Format(
    title="BORIS project",
    suffixes=(".boris",),
    read=read,
    write=write,
    keeps=TOLD | {"scorers", "classes", "spaces", "empty"},
    several=True,
    resolution="millisecond",
)
