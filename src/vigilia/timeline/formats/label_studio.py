"""Label Studio: a video's timeline labels, in its JSON, its JSON-MIN, and back for import.

A region lists ranges of frames, counted from 1, the last one included; the project's `<Video>` tag
says how many frames it takes a second to have (`frameRate`), and so must `--label-fps` here. What
Vigilia writes says it in `data.fps`, too. The labeling configuration that fits is

    <View>
      <Video name="video" value="$video" frameRate="25"/>
      <TimelineLabels name="timelineLabels" toName="video"> <Label value="..."/> </TimelineLabels>
    </View>

What people marked comes from `annotations`, or where there are none, a model's from `predictions`.
Rows are the number of the region in its task.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.format import FPS_HINT, Format, Options, readable
from vigilia.timeline.formats.jsons import json_seconds, parse_json
from vigilia.timeline.formats.naming import numbered, short_paths, video_name
from vigilia.timeline.texts import read_text

__all__ = ["LABEL_STUDIO", "is_label_studio", "read", "write"]

KIND = "timelinelabels"
CONTROL = "timelineLabels"
"""What the `<TimelineLabels>` tag is called in the configuration above, and by custom."""


def is_label_studio(content: Any) -> bool:
    """Whether this is a task, or a list of tasks, of which one holds labels of a timeline."""
    return any(_is_task(one) for one in _tasks(content))


def _tasks(content: Any) -> list[Any]:
    if isinstance(content, dict):
        return [content]
    return content if isinstance(content, list) else []


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict):
        return False
    whole = isinstance(task.get("data"), dict) and bool(
        {"annotations", "predictions"} & task.keys()
    )
    return whole or any(True for _ in _short_regions(task))


def _short_regions(task: dict[str, Any]) -> Iterator[Any]:
    """Regions of JSON-MIN, where each control is a key of the task itself."""
    for values in task.values():
        if isinstance(values, list):
            yield from (one for one in values if isinstance(one, dict) and KIND in one)


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads every task; of videos with one name, the recordings' names tell more of the path.

    Raises:
        LabelError: it is no such file.
    """
    content = parse_json(read_text(path), path)
    if not is_label_studio(content):
        raise LabelError(f"{path} is no export of Label Studio: no task has labels of a timeline")
    tasks = _tasks(content)
    videos = [_video(_data(task)) or f"task {n}" for n, task in enumerate(tasks, start=1)]
    names = numbered(short_paths(videos))
    return tuple(
        readable(partial(_task, task, number, name, path, options.fps), f"task {number}", path)
        for number, (task, name) in enumerate(zip(tasks, names, strict=True), start=1)
    )


def _data(task: Any) -> dict[str, Any]:
    """What the task is about; in JSON-MIN that stands in the task itself."""
    if not isinstance(task, dict):
        return {}
    return task["data"] if isinstance(task.get("data"), dict) else task


def _task(task: Any, number: int, name: str, path: Path, told_fps: float | None) -> Annotations:
    where = f"{path}, task {number}"
    if not isinstance(task, dict):
        raise LabelError(f"{where}: {str(task)[:60]} is no task")
    data = _data(task)
    video = _video(data)
    regions = list(_regions(task))
    fps = told_fps or _fps(data, [region for region, _, _ in regions], where)
    if fps is None and regions:
        raise LabelError(f"{where} counts frames and does not say how many a second; {FPS_HINT}")
    events = [
        event
        for row, (region, scorer, is_model) in enumerate(regions, start=1)
        for event in _events(region, scorer, is_model, fps or 1.0, f"{where}, row {row}", row)
    ]
    return Annotations(
        events=tuple(events),
        recording=name,
        media=(base_name(video),) if video else (),
        fps=fps,
        path=path,
    )


def _video(data: dict[str, Any]) -> str:
    """The address of the video: under `video` by custom, else what looks like a file."""
    texts = [value for value in data.values() if isinstance(value, str)]
    named = [text for text in texts if "." in base_name(text.partition("?")[0])]
    told = data.get("video")
    return (told if isinstance(told, str) else (named or [""])[0]).partition("?")[0]


def _regions(task: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, bool]]:
    """Each region, who marked it, and whether that is a model."""
    results = _results(task.get("annotations")) or _results(task.get("predictions"), is_model=True)
    for whose, scorer, is_model in results:
        for one in whose.get("result") or []:
            if isinstance(one, dict) and one.get("type", KIND) == KIND:
                yield one, scorer, is_model
    if not results:
        yield from ((region, "", False) for region in _short_regions(task))


def _results(told: Any, *, is_model: bool = False) -> list[tuple[dict[str, Any], str, bool]]:
    several = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    several = [one for one in several if not one.get("was_cancelled")]
    # The latest of a model's predictions; every person's annotation.
    chosen = several[-1:] if is_model else several
    return [(one, "" if is_model else _scorer(one.get("completed_by")), is_model) for one in chosen]


def _scorer(told: Any) -> str:
    """People are a number, or a record with an address."""
    if isinstance(told, dict):
        told = told.get("email") or told.get("id")
    return "" if told is None else str(told)


def _fps(data: dict[str, Any], regions: Sequence[dict[str, Any]], where: str) -> float | None:
    told = data.get("fps")
    if told is None:
        values = [one["value"] for one in regions if isinstance(one.get("value"), dict)]
        for value in values:
            if value.get("framesCount") and value.get("duration"):
                return float(value["framesCount"]) / json_seconds(value["duration"], where)
        return None
    fps = json_seconds(told, where)
    if fps <= 0:
        raise LabelError(f"{where}: fps is {told}, which is no number of frames a second")
    return fps


def _events(
    region: dict[str, Any], scorer: str, is_model: bool, fps: float, where: str, row: int
) -> Iterator[Event]:
    value = region.get("value", region)
    score = region.get("score")
    try:
        labels = [str(one) for one in value[KIND]]
        ranges = [(int(one["start"]), int(one["end"])) for one in value["ranges"]]
        confidence = float(score) if is_model and score is not None else None
        comment = " ".join(map(str, (region.get("meta") or {}).get("text") or []))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise LabelError(f"{where}: {str(value)[:60]} is no label with ranges of frames") from error
    for first, last in ranges:
        if first < 1 or last < first:
            raise LabelError(
                f"{where}: frames {first} to {last}, which should count from 1 upwards"
            )
        for label in labels:
            yield Event(
                *((first - 1) / fps, last / fps, label),
                scorer=scorer,
                comment=comment,
                confidence=confidence,
                row=row,
            )


def write(several: Sequence[Annotations], options: Options) -> str:
    """A task a recording, ready to import: predictions if a model is sure of it, else annotations.

    A point takes one frame; a bout shorter than half a frame is left out.

    Raises:
        LabelError: the fps is not known, or there are several subjects or scorers.
    """
    tasks = [_written(one, number, options) for number, one in enumerate(several, start=1)]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _written(annotations: Annotations, number: int, options: Options) -> dict[str, Any]:
    fps = options.fps or annotations.fps
    if fps is None:
        raise LabelError(f"{annotations.path} does not say its frame rate; {FPS_HINT}")
    for kind, who in (("subject", annotations.subjects), ("scorer", annotations.scorers)):
        if len(who) > 1:
            raise LabelError(
                f"{annotations.path} holds {len(who)} {kind}s ({', '.join(who[:6])}), of which "
                f"Label Studio's timeline holds one; choose it with --{kind}"
            )
    video = video_name(annotations)
    regions = list(_written_regions(annotations.events, number, fps))
    sure = [event.confidence for event in annotations.events if event.confidence is not None]
    if sure:
        whose = {"model_version": "vigilia", "score": sum(sure) / len(sure), "result": regions}
        return {"data": {"video": video, "fps": fps}, "predictions": [whose]}
    return {"data": {"video": video, "fps": fps}, "annotations": [{"result": regions}]}


def _written_regions(events: Sequence[Event], task: int, fps: float) -> Iterator[dict[str, Any]]:
    for row, event in enumerate(events, start=1):
        first = round(event.start_seconds * fps) + 1
        last = first if event.is_point else round(event.end_seconds * fps)
        if first < 1 or last < first:
            continue
        yield {
            "id": f"{task}-{row}",
            "from_name": CONTROL,
            "to_name": "video",
            "type": KIND,
            "value": {"ranges": [{"start": first, "end": last}], KIND: [event.label]},
            **({} if event.confidence is None else {"score": event.confidence}),
            **({"meta": {"text": [event.comment]}} if event.comment else {}),
        }


LABEL_STUDIO = Format(
    title="Label Studio timeline labels",
    suffixes=(".labelstudio.json",),
    read=read,
    write=write,
    keeps=frozenset({"comments", "confidence", "empty"}),
    several=True,
    resolution="grid",
)
