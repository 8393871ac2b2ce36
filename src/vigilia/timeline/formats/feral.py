"""FERAL: labels of videos frame by frame, in JSON; class 0 stands for everything else.

| key | what it holds |
| --- | --- |
| `is_multilabel` | whether behaviours may go on at once |
| `class_names` | `{"0": "other", "1": name, ...}` |
| `labels` | by video: a class a frame, or with `is_multilabel` a 0 or 1 for each class |
| `splits` | names of videos under `train`, `val`, `test`, `inference` |

The file does not say how long a frame lasts. Rows are the number of the frame, from 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.choosing import presence
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.format import FPS_HINT, Format, Options, readable
from vigilia.timeline.formats.frames import codes_of, from_codes, runs
from vigilia.timeline.formats.jsons import parse_json
from vigilia.timeline.formats.naming import refuse_alike, video_name
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.texts import read_text

__all__ = ["FERAL", "is_feral", "read", "write"]

OTHER = "other"
"""What FERAL calls class 0 by custom."""


def is_feral(content: Any) -> bool:
    return isinstance(content, dict) and {"class_names", "labels"} <= content.keys()


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads every video; `other` is a label like the others.

    Raises:
        LabelError: it is no such file, or the fps is not given.
    """
    content = parse_json(read_text(path), path)
    if not is_feral(content):
        raise LabelError(f"{path} is no FERAL file: it has no class_names and labels")
    if options.fps is None:
        raise LabelError(f"{path} holds one label a frame and no times; {FPS_HINT}")
    names, videos = _class_names(content["class_names"], path), content["labels"]
    if not isinstance(videos, dict):
        raise LabelError(f"{path}: labels are no table of videos")
    several_at_once = bool(content.get("is_multilabel"))
    return tuple(
        readable(
            partial(_video, video, frames, names, several_at_once, path, options.fps),
            *(video, path, (base_name(video),)),
        )
        for video, frames in videos.items()
    )


def _class_names(told: Any, path: Path) -> tuple[str, ...]:
    try:
        names = {int(number): str(name) for number, name in told.items()}
    except (AttributeError, ValueError) as error:
        raise LabelError(f"{path}: class_names are no names by number") from error
    if sorted(names) != list(range(len(names))):
        raise LabelError(f"{path}: class_names are not numbered 0, 1, 2 ... without a gap")
    return tuple(names[number] for number in range(len(names)))


def _video(
    video: str, frames: Any, names: tuple[str, ...], several_at_once: bool, path: Path, fps: float
) -> Annotations:
    if not isinstance(frames, list) or not frames:
        raise LabelError(f"{path}: '{video}' has no list of labels")
    for row, frame in enumerate(frames, start=1):
        if not (_is_row(frame, names) if several_at_once else _is_class(frame, names)):
            wanted = f"{len(names)} zeros and ones" if several_at_once else "a class"
            raise LabelError(f"{path}, row {row} of '{video}': {str(frame)[:40]} is not {wanted}")
    if several_at_once:
        events = [
            Event(start / fps, end / fps, name, row=start + 1)
            for column, name in enumerate(names)
            for start, end in runs([frame[column] for frame in frames])
            if frames[start][column]
        ]
    else:
        events = list(from_codes([names[one] for one in frames], path, Options(fps=fps)).events)
    length = len(frames) / fps
    return Annotations(
        events=tuple(events),
        classes=names,
        recording=video,
        media=(base_name(video),),
        media_seconds=(length,),
        duration_seconds=length,
        fps=fps,
        observed=((0.0, length),),
        path=path,
    )


def _is_class(frame: Any, names: Sequence[str]) -> bool:
    return isinstance(frame, int) and not isinstance(frame, bool) and 0 <= frame < len(names)


def _is_row(frame: Any, names: Sequence[str]) -> bool:
    return isinstance(frame, list) and len(frame) == len(names) and all(n in (0, 1) for n in frame)


def write(several: Sequence[Annotations], options: Options) -> str:
    """All videos with one list of classes; behaviours at once where some are at once.

    Frames without a label are `other`, class 0. Every video is in the split `inference`, since
    which ones train is not in the annotations.

    Raises:
        LabelError: the fps is not known, there are several subjects or scorers, or several
            recordings of one video.
    """
    labels = dict.fromkeys(label for one in several for label in one.labels)
    names = (OTHER, *(label for label in labels if label != OTHER))
    several_at_once = any(map(_goes_on_at_once, several))
    cells = _rows_of if several_at_once else _classes_of
    videos = [video_name(one) for one in several]
    refuse_alike(several, videos, "FERAL")
    grids = {
        video: cells(_one_scorer(one), names, options)
        for video, one in zip(videos, several, strict=True)
    }
    content = {
        "is_multilabel": several_at_once,
        "class_names": {str(number): name for number, name in enumerate(names)},
        "labels": grids,
        "splits": {"train": [], "val": [], "test": [], "inference": list(grids)},
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def _goes_on_at_once(annotations: Annotations) -> bool:
    reached = -math.inf
    for event in annotations.events:
        if not event.is_point:
            if event.start_seconds < reached - ROUNDING_SECONDS:
                return True
            reached = max(reached, event.end_seconds)
    return False


def _one_scorer(annotations: Annotations) -> Annotations:
    for kind, who in (("subject", annotations.subjects), ("scorer", annotations.scorers)):
        if len(who) > 1:
            raise LabelError(
                f"{annotations.path} holds {len(who)} {kind}s ({', '.join(who[:6])}), of which "
                f"FERAL holds one; choose it with --{kind}"
            )
    return annotations


def _fps(annotations: Annotations, options: Options) -> float:
    fps = options.fps or annotations.fps
    if fps is None:
        raise LabelError(f"{annotations.path} does not say its frame rate; {FPS_HINT}")
    return fps


def _classes_of(annotations: Annotations, names: Sequence[str], options: Options) -> list[int]:
    """(T,) the class of each frame."""
    codes = codes_of(annotations, _fps(annotations, options), OTHER)
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers[code] for code in codes]


def _rows_of(annotations: Annotations, names: Sequence[str], options: Options) -> list[list[int]]:
    """(T, K) 1 where the behaviour goes on; `other` where none of them does."""
    fps = _fps(annotations, options)
    edges = np.arange(max(1, round(annotations.end_seconds * fps)) + 1) / fps
    everywhere = replace(annotations, observed=((0.0, float(edges[-1])),))
    grid = presence(everywhere, edges[:-1], edges[1:], classes=names)
    grid[~grid[:, 1:].any(axis=1), 0] = 1
    return grid.tolist()


FERAL = Format(
    title="FERAL labels",
    suffixes=(".feral.json",),
    read=read,
    write=write,
    keeps=frozenset({"classes", "empty"}),
    several=True,
    resolution="grid",
)
