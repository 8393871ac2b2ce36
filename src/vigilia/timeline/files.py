"""Timelines as files: CSV for spreadsheets, JSON without loss, WebVTT for players.

| format | keeps |
| --- | --- |
| CSV | segments, times to the millisecond, confidence to four digits |
| JSON | everything, bit for bit |
| WebVTT | segments to the millisecond, confidence to two digits, classes, source, assumptions |

A format that does not keep the classes gives them back in order of appearance.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.errors import LabelError, OptionError
from vigilia.files import write_atomically
from vigilia.timeline.tables import read_table
from vigilia.timeline.texts import read_text
from vigilia.timeline.timeline import UNOBSERVED, Scores, Segment, Timeline, fill_holes
from vigilia.timeline.times import parse_number, parse_seconds

__all__ = [
    "READERS",
    "VTT_NOTE",
    "WRITERS",
    "csv_text",
    "escape_cue",
    "json_pieces",
    "json_text",
    "note_text",
    "read",
    "read_note",
    "unescape_cue",
    "vtt_text",
    "vtt_time",
    "write",
]

CSV_HEADER = ("start_seconds", "end_seconds", "label", "confidence")
JSON_FORMAT = "vigilia timeline 1"
VTT_NOTE = "NOTE vigilia "

_LINES_A_PIECE = 1000


def csv_text(timeline: Timeline) -> str:
    """One row a segment under `start_seconds,end_seconds,label,confidence`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for start, end, segment in _in_milliseconds(timeline.segments):
        label = UNOBSERVED if segment.label is None else segment.label
        writer.writerow(
            [f"{start / 1000:.3f}", f"{end / 1000:.3f}", label, f"{segment.confidence:.4f}"]
        )
    return text.getvalue()


def read_csv(path: str | Path) -> Timeline:
    """Reads `csv_text`; holes between rows become unobserved.

    Raises:
        LabelError: the columns are not those of a timeline, or a row cannot be used.
    """
    table = read_table(path)
    columns = {name: table.find(name) for name in CSV_HEADER}
    missing = [name for name in CSV_HEADER[:3] if len(columns[name]) != 1]
    if missing:
        raise LabelError(
            f"{path} is no timeline: found the columns {table.names}, "
            f"expected {', '.join(CSV_HEADER)}; hand annotations are read with read_labels"
        )
    start_column, end_column, label_column = (columns[name][0] for name in CSV_HEADER[:3])
    segments = []
    for row in table.rows:
        confidence = row.cells[columns["confidence"][0]] if columns["confidence"] else "1"
        segments.append(
            Segment(
                parse_seconds(row.cells[start_column], table.path, row.number, "start_seconds"),
                parse_seconds(row.cells[end_column], table.path, row.number, "end_seconds"),
                _label(row.cells[label_column]),
                parse_number(confidence, table.path, row.number, "confidence"),
            )
        )
    return _timeline(path, segments)


def json_text(timeline: Timeline) -> str:
    """Everything the timeline holds, one segment and one row of scores a line."""
    return "".join(json_pieces(timeline))


def json_pieces(timeline: Timeline) -> Iterator[str]:
    """`json_text` piece by piece: no more than a few thousand lines are held at a time.

    Raises:
        OptionError: an assumption is neither text nor a finite number; before the first piece.
    """
    head = {
        "format": JSON_FORMAT,
        "source": timeline.source,
        "classes": timeline.classes,
        "assumptions": dict(timeline.assumptions),
    }
    try:
        lines = [
            f' "{name}": {json.dumps(value, ensure_ascii=False, allow_nan=False)}'
            for name, value in head.items()
        ]
    except (TypeError, ValueError) as error:
        raise OptionError(f"assumptions must be text or finite numbers: {error}") from error
    yield "{\n" + ",\n".join(lines) + ',\n "segments": [\n  '
    yield from _joined(
        json.dumps([s.start_seconds, s.end_seconds, s.label, s.confidence], ensure_ascii=False)
        for s in timeline.segments
    )
    yield "\n ]"
    if timeline.scores is not None:
        yield ',\n "scores": [\n  '
        yield from _joined(map(json.dumps, _score_rows(timeline.scores)))
        yield "\n ]"
    yield "\n}\n"


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Lines with commas between them, some thousand in a piece."""
    rest, between = iter(lines), ""
    while block := list(itertools.islice(rest, _LINES_A_PIECE)):
        yield between + ",\n  ".join(block)
        between = ",\n  "


def _score_rows(scores: Scores) -> Iterator[list[Any]]:
    for begin in range(0, len(scores.start_seconds), _LINES_A_PIECE):
        block = slice(begin, begin + _LINES_A_PIECE)
        yield from map(
            list,
            zip(
                scores.start_seconds[block].tolist(),
                scores.end_seconds[block].tolist(),
                _shortest(scores.probabilities[block]),
                strict=True,
            ),
        )


def read_json(path: str | Path) -> Timeline:
    """Reads `json_text` back, bit for bit.

    Raises:
        LabelError: the file is not such a timeline.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != JSON_FORMAT:
        raise LabelError(f"{path} is no timeline: its format is not '{JSON_FORMAT}'")
    try:
        return Timeline(
            classes=tuple(str(label) for label in content["classes"]),
            segments=tuple(
                Segment(float(start), float(end), label, float(confidence))
                for start, end, label, confidence in content["segments"]
            ),
            scores=_scores(content["scores"], len(content["classes"]))
            if "scores" in content
            else None,
            source=content["source"],
            assumptions=content["assumptions"],
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LabelError(f"{path} is a damaged timeline: {error}") from error


def vtt_text(timeline: Timeline) -> str:
    """WebVTT (W3C): one cue a segment. Time before 0 cannot be written and is left out."""
    note = note_text(
        {
            "source": timeline.source,
            "classes": timeline.classes,
            "assumptions": dict(timeline.assumptions),
        }
    )
    blocks = ["WEBVTT", VTT_NOTE + note]
    for start, end, segment in _in_milliseconds(timeline.segments):
        if end <= 0:
            continue
        text = UNOBSERVED if segment.label is None else escape_cue(segment.label)
        if segment.label is not None:
            text += f" (confidence {segment.confidence:.2f})"
        blocks.append(f"{vtt_time(max(start, 0))} --> {vtt_time(end)}\n{text}")
    return "\n\n".join(blocks) + "\n"


def read_vtt(path: str | Path) -> Timeline:
    """Reads WebVTT; time without a cue becomes unobserved, cues of others have confidence 1.

    Raises:
        LabelError: the file is no WebVTT, or cues overlap.
    """
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not lines.startswith("WEBVTT"):
        raise LabelError(f"{path} is no WebVTT file: it does not begin with WEBVTT")
    about: dict[str, Any] = {}
    segments = []
    number = 1
    for block in re.split(r"\n\n", lines):
        if block.startswith(VTT_NOTE):
            about = read_note(block.removeprefix(VTT_NOTE))
        elif "-->" in block and not block.startswith(("NOTE", "WEBVTT")):
            segments.append(_cue(block.strip("\n").split("\n"), Path(path), number))
        number += block.count("\n") + 2
    return _timeline(path, segments, about)


WRITERS: dict[str, Callable[[Timeline], str]] = {
    "csv": csv_text,
    "json": json_text,
    "vtt": vtt_text,
}
READERS: dict[str, Callable[[str | Path], Timeline]] = {
    "csv": read_csv,
    "json": read_json,
    "vtt": read_vtt,
}


def write(timeline: Timeline, path: str | Path, kind: str) -> None:
    """Writes a timeline whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, WRITERS[kind](timeline))


def read(path: str | Path) -> Timeline:
    """Reads a timeline by the ending of its name.

    Raises:
        LabelError: the ending is unknown or the file cannot be used.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in READERS:
        endings = ", ".join(f".{name}" for name in READERS)
        raise LabelError(f"{path} has no ending of a timeline; expected one of {endings}")
    return READERS[kind](path)


def _in_milliseconds(segments: tuple[Segment, ...]) -> Iterator[tuple[int, int, Segment]]:
    """Boundaries rounded alike on both sides, so that segments still tile; the empty are left."""
    for segment in segments:
        start, end = round(segment.start_seconds * 1000), round(segment.end_seconds * 1000)
        if end > start:
            yield start, end, segment


def _timeline(
    path: str | Path, segments: list[Segment], about: dict[str, Any] | None = None
) -> Timeline:
    about = about or {}
    tiled = fill_holes(segments)
    found = dict.fromkeys(s.label for s in tiled if s.label is not None)
    try:
        return Timeline(
            classes=tuple(dict.fromkeys([*about.get("classes", ()), *found])),
            segments=tiled,
            source=about.get("source", ""),
            assumptions=about.get("assumptions", {}),
        )
    except (OptionError, TypeError, ValueError, AttributeError) as error:
        raise LabelError(f"{path} is no timeline: {error}") from error


def _label(text: str) -> str | None:
    return None if text in ("", UNOBSERVED) else text


def _shortest(values: np.ndarray) -> list[list[float]]:
    """The shortest decimals that give the same float32 back."""
    short = values.astype("U32").astype(np.float64)
    return np.where(short.astype(np.float32) == values, short, values).tolist()


def _scores(rows: list[Any], classes: int) -> Scores:
    probabilities = [row[2] for row in rows]
    return Scores(
        np.array([row[0] for row in rows], np.float64),
        np.array([row[1] for row in rows], np.float64),
        np.array(probabilities, np.float32).reshape(len(rows), classes),
    )


def note_text(about: Mapping[str, Any]) -> str:
    """What stands behind `VTT_NOTE`."""
    # `>` is written as an escape because `-->` may not occur in a note.
    return json.dumps(dict(about), ensure_ascii=True).replace(">", "\\u003e")


def vtt_time(milliseconds: int) -> str:
    """3725400 -> 01:02:05.400."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{thousandths:03d}"


def escape_cue(text: str) -> str:
    """Makes a text one line of a cue."""
    one_line = " ".join(text.splitlines()).strip()
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape_cue(text: str) -> str:
    """A cue's text without its tags."""
    plain = re.sub(r"<[^>]*>", "", text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def read_note(text: str) -> dict[str, Any]:
    """Reads `note_text` back; empty if it is none."""
    try:
        about = json.loads(text)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _cue(lines: list[str], path: Path, number: int) -> Segment:
    timing = next(index for index, line in enumerate(lines) if "-->" in line)
    row = number + timing
    left, right = lines[timing].split("-->", 1)
    end = right.split()[0] if right.split() else ""
    text = " ".join(lines[timing + 1 :]).strip()
    match = re.fullmatch(r"(.*) \(confidence ([\d.]+)\)", text)
    label = _label(unescape_cue(match[1] if match else text))
    confidence = parse_number(match[2], path, row, "confidence") if match else 1.0
    return Segment(
        parse_seconds(left.strip(), path, row, "the start"),
        parse_seconds(end, path, row, "the end"),
        label,
        0.0 if label is None else confidence,
    )
