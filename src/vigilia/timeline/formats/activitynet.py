"""ActivityNet JSON: ground truth, predictions, and their kin (MMAction2, MultiTHUMOS).

| kind | looks like |
| --- | --- |
| ground truth | `{"database": {id: {"duration", "annotations": [{"segment", "label"}]}}}` |
| predictions | `{"results": {id: [{"segment", "label", "score"}]}}` |
| MMAction2 | `{id: {"duration_second", "annotations": [{"segment", "label"}]}}` |
| MultiTHUMOS | `{id: {"duration", "actions": [[class, start, end]]}}` |

Rows are the number of the segment in its recording.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.format import Format, Options, readable
from vigilia.timeline.formats.jsons import json_seconds, parse_json
from vigilia.timeline.formats.naming import refuse_alike
from vigilia.timeline.texts import read_text

__all__ = ["ACTIVITYNET", "is_activitynet", "read", "write"]


def is_activitynet(content: Any) -> bool:
    return _recordings(content) is not None


def _recordings(content: Any) -> Mapping[str, Any] | None:
    if not isinstance(content, dict) or not content:
        return None
    for name in ("database", "results"):
        if isinstance(content.get(name), dict):
            return content[name]
    if all(isinstance(v, dict) and {"annotations", "actions"} & v.keys() for v in content.values()):
        return content
    return None


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads ground truth or predictions.

    Raises:
        LabelError: it is no such file.
    """
    recordings = _recordings(parse_json(read_text(path), path))
    if recordings is None:
        raise LabelError(f"{path} is no ActivityNet file: it has no database and no results")
    return tuple(
        readable(partial(_recording, name, content, path, options.fps), name, path)
        for name, content in recordings.items()
    )


def _recording(name: str, content: Any, path: Path, told_fps: float | None) -> Annotations:
    about = content if isinstance(content, dict) else {}
    segments = content
    if isinstance(content, dict):
        segments = content.get("annotations", content.get("actions", []))
    where = f"{path}: '{name}'"
    if not isinstance(segments, list):
        raise LabelError(f"{where} has {str(segments)[:60]} where a list of segments should be")
    duration = about.get("duration", about.get("duration_second"))
    fps = about.get("fps")
    return Annotations(
        events=tuple(
            _event(one, number, f"{path}, row {number} of '{name}'", told_fps)
            for number, one in enumerate(segments, start=1)
        ),
        recording=name,
        duration_seconds=None if duration is None else json_seconds(duration, where),
        fps=json_seconds(fps, where) if fps else None,
        path=path,
    )


def _event(one: Any, number: int, where: str, fps: float | None) -> Event:
    try:
        if isinstance(one, dict):
            (start, end), label = one["segment"], one["label"]
        else:
            label, start, end = one
        score = one.get("score") if isinstance(one, dict) else None
        confidence = None if score is None else float(score)
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(f"{where}: {str(one)[:60]} is no segment with a label") from error
    begin, finish = json_seconds(start, where, fps), json_seconds(end, where, fps)
    return Event(begin, finish, str(label), confidence=confidence, row=number)


def write(several: Sequence[Annotations], options: Options) -> str:
    """Ground truth; a confidence becomes a score.

    Raises:
        LabelError: two recordings have one name.
    """
    refuse_alike(several, [one.title for one in several], "ActivityNet")
    database: dict[str, Any] = {}
    for recording in several:
        about: dict[str, Any] = {"subset": "training"}
        if recording.duration_seconds is not None:
            about["duration"] = recording.duration_seconds
        about["annotations"] = [
            {"segment": [event.start_seconds, event.end_seconds], "label": event.label}
            | ({} if event.confidence is None else {"score": event.confidence})
            for event in recording.events
        ]
        database[recording.title] = about
    content = {"version": "1.3", "taxonomy": [], "database": database}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


ACTIVITYNET = Format(
    title="ActivityNet JSON",
    suffixes=(".json",),
    read=read,
    write=write,
    keeps=frozenset({"confidence", "points", "spaces", "empty"}),
    several=True,
)
