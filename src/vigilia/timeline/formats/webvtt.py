"""WebVTT: a cue an event, over the video in players and browsers. Rows are lines of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event, observed_between
from vigilia.timeline.files import (
    VTT_NOTE,
    escape_cue,
    note_text,
    read_note,
    unescape_cue,
    vtt_time,
)
from vigilia.timeline.formats.format import Format, Options, in_milliseconds
from vigilia.timeline.texts import read_text, refuse_cut_label, split_lines
from vigilia.timeline.timeline import UNOBSERVED
from vigilia.timeline.times import parse_seconds

__all__ = ["VTT", "read", "write"]

TIMING = re.compile(r"\s*([\d:.,]+)\s*-->\s*([\d:.,]+)(\s.*)?")


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads WebVTT, also ours; a cue's voice, `<v Name>`, is the subject.

    Raises:
        LabelError: it is no WebVTT, or a cue has no times.
    """
    text = read_text(path)
    lines = split_lines(text)
    if not lines[0].startswith("WEBVTT"):
        raise LabelError(f"{path} is no WebVTT file: it does not begin with WEBVTT")
    about: dict[str, object] = {}
    found: list[Event] = []
    for number, block in _blocks(lines):
        if block[0].startswith(VTT_NOTE):
            about = read_note(block[0].removeprefix(VTT_NOTE))
            if not about:
                raise LabelError(f"{path}, row {number}: Vigilia's note is damaged; half-written?")
        elif not re.match(r"NOTE|STYLE|REGION|WEBVTT", block[0]):
            found += _cue(block, path, number, options.fps)
    if found and not text.endswith(("\n", "\r")):
        *before, last = found
        refuse_cut_label(last.label, [one.label for one in before], path, len(lines))
    holes = [(e.start_seconds, e.end_seconds) for e in found if e.label == UNOBSERVED]
    source = str(about.get("source", ""))
    classes = about.get("classes", ())
    recording = str(about.get("recording", source))
    return (
        Annotations(
            events=tuple(event for event in found if event.label != UNOBSERVED),
            classes=tuple(map(str, classes)) if isinstance(classes, list) else (),
            recording=recording,
            media=(source,) if source else (),
            observed=observed_between(
                min(e.start_seconds for e in found), max(e.end_seconds for e in found), holes
            )
            if holes
            else None,
            path=path,
        ),
    )


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    block: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            block.append(line)
            continue
        if block:
            yield number - len(block), block
        block = []


def _cue(block: list[str], path: Path, number: int, fps: float | None) -> Iterator[Event]:
    timing = next((index for index, line in enumerate(block) if "-->" in line), None)
    if timing is None:
        return
    row = number + timing
    found = TIMING.fullmatch(block[timing])
    if found is None:
        raise LabelError(f"{path}, row {row}: '{block[timing].strip()[:60]}' are no times of a cue")
    start = parse_seconds(found[1], path, row, "the start", fps=fps)
    end = parse_seconds(found[2], path, row, "the end", fps=fps)
    text = " ".join(block[timing + 1 :]).strip()
    if not text:
        raise LabelError(f"{path}, row {row}: the cue has no text; half-written?")
    voice = re.match(r"<v(?:\.[^ >]*)?\s+([^>]*)>", text)
    subject = unescape_cue(voice[1]).strip() if voice else ""
    plain = re.fullmatch(r"(.*) \(confidence ([\d.]+)\)", text)
    label = unescape_cue(plain[1] if plain else text).strip()
    yield Event(start, end, label, subject, confidence=float(plain[2]) if plain else None, row=row)


def write(several: Sequence[Annotations], options: Options) -> str:
    """A cue an event; a point becomes a cue of one millisecond, time before 0 is left out."""
    (annotations,) = several
    note = {"source": " + ".join(annotations.media), "classes": annotations.classes}
    blocks = [
        "WEBVTT",
        VTT_NOTE + note_text(note | {"recording": annotations.recording}),
    ]
    holes = [] if annotations.observed is None else _holes(annotations)
    events = sorted([*annotations.events, *holes], key=lambda one: one.start_seconds)
    for start, end, event in in_milliseconds(events):
        last = end + 1 if event.is_point else end
        if last <= 0:
            continue
        text = escape_cue(event.label)
        if event.confidence is not None:
            text += f" (confidence {event.confidence:.2f})"
        if event.subject:
            text = f"<v {escape_cue(event.subject)}>{text}"
        blocks.append(f"{vtt_time(max(start, 0))} --> {vtt_time(last)}\n{text}")
    return "\n\n".join(blocks) + "\n"


def _holes(annotations: Annotations) -> list[Event]:
    start = min([0.0, *(event.start_seconds for event in annotations.events)])
    observed = annotations.observed or ()
    return [
        Event(hole_start, hole_end, UNOBSERVED)
        for hole_start, hole_end in observed_between(start, annotations.end_seconds, observed)
    ]


VTT = Format(
    title="WebVTT",
    suffixes=(".vtt",),
    read=read,
    write=write,
    keeps=frozenset({"subjects", "confidence", "classes", "holes"}),
    resolution="millisecond",
)
