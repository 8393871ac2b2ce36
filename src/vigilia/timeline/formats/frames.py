"""One label a line: frame lists as of Breakfast and 50Salads, and plain hypnograms.

A frame list needs `fps`, a hypnogram `epoch_seconds`; neither file says it. A hypnogram may also be
one line of letters, or a list in JSON. `-1`, `?`, an empty line, `null` and `unobserved` mean that
nobody knows. A first line such as `stage` that never comes again is a header.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event, observed_between
from vigilia.timeline.choosing import states
from vigilia.timeline.formats.csv_columns import LABEL_NAMES
from vigilia.timeline.formats.format import EPOCH_HINT, FPS_HINT, Format, Options
from vigilia.timeline.formats.jsons import parse_json
from vigilia.timeline.labels import labels_for
from vigilia.timeline.tables import plain_name
from vigilia.timeline.texts import read_text, refuse_cut_label, split_lines
from vigilia.timeline.timeline import UNOBSERVED

__all__ = [
    "FRAMES",
    "HYPNOGRAM",
    "codes_of",
    "from_codes",
    "has_header",
    "is_hypnogram",
    "is_list",
    "runs",
]

UNKNOWN = ("", "-1", "?", UNOBSERVED)


def has_header(lines: Sequence[str]) -> bool:
    """Whether the first line is the name of the column, not a label."""
    return len(lines) > 1 and plain_name(lines[0]) in LABEL_NAMES and lines[0] not in lines[1:]


def is_list(lines: Sequence[str]) -> bool:
    """Whether these are labels, one a line: no separators, no spaces, no header."""
    return bool(lines) and all(re.fullmatch(r"[^\s,;]*", line.strip()) for line in lines)


def is_hypnogram(lines: Sequence[str]) -> bool:
    """Whether these look like codes of stages: numbers or one or two letters, or one long line."""
    lines = lines[1:] if has_header(lines) else lines
    one_line = len(lines) == 1 and re.fullmatch(r"[A-Za-z0-9?]{50,}", lines[0].strip())
    return bool(one_line) or all(len(line.strip()) <= 2 for line in lines)


def runs(codes: Sequence[object]) -> list[tuple[int, int]]:
    """Where equal neighbours start and end: `aab` -> [(0, 2), (2, 3)]."""
    if not len(codes):
        return []
    edges = [0, *(n for n in range(1, len(codes)) if codes[n] != codes[n - 1]), len(codes)]
    return list(itertools.pairwise(edges))


def _read_frames(path: Path, options: Options) -> tuple[Annotations, ...]:
    lines = _lines(path)
    if options.fps is None and options.epoch_seconds is None:
        raise LabelError(f"{path} holds one label a frame and no times; {FPS_HINT}")
    header = has_header(lines)
    return (from_codes(lines[header:], path, options, first_row=1 + header),)


def _read_hypnogram(path: Path, options: Options) -> tuple[Annotations, ...]:
    if options.fps is None and options.epoch_seconds is None:
        raise LabelError(f"{path} holds one code an epoch and no times; {EPOCH_HINT}")
    text = read_text(path).strip()
    header = False
    if text.startswith("["):
        content = parse_json(text, path)
        if not all(isinstance(one, int | str | None) for one in content):
            raise LabelError(f"{path} is no hypnogram: not every code is a number or a word")
        codes = ["" if one is None else str(one) for one in content]
    else:
        codes = _lines(path)
        header = has_header(codes)
        codes = codes[header:]
        if len(codes) == 1 and len(codes[0]) > 2:
            codes = list(codes[0])
    return (from_codes(codes, path, options, first_row=1 + header),)


def _lines(path: Path) -> list[str]:
    text = read_text(path)
    lines = [line.strip() for line in split_lines(text)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise LabelError(f"{path} is empty; one label a line is needed")
    for number, line in enumerate(lines, start=1):
        if not is_list([line]):
            raise LabelError(f"{path}, row {number}: '{line[:60]}' is not one label")
    if not text.endswith(("\n", "\r")):
        refuse_cut_label(lines[-1], lines[:-1], path, len(lines))
    return lines


def from_codes(codes: list[str], path: Path, options: Options, first_row: int = 1) -> Annotations:
    """One code a frame or an epoch as bouts; codes that mean nothing are time without observation.

    Args:
        codes: one a cell.
        path: the file, which also names the recording.
        options: the length of a cell: `epoch_seconds` if these are stages of sleep, else `fps`.
        first_row: where the first code stands in the file.
    """
    # Both may be given where many files are read alike; codes of stages are epochs.
    step = options.epoch_seconds if options.fps is None or is_hypnogram(codes[:200]) else None

    def seconds(number: int) -> float:
        if step is not None:
            return number * step
        assert options.fps is not None
        return number / options.fps

    found = [(start, end, codes[start]) for start, end in runs(codes)]
    holes = [(seconds(start), seconds(end)) for start, end, code in found if code in UNKNOWN]
    length = seconds(len(codes))
    return Annotations(
        events=tuple(
            Event(seconds(start), seconds(end), code, row=start + first_row)
            for start, end, code in found
            if code not in UNKNOWN
        ),
        recording=path.name.split(".")[0],
        duration_seconds=length,
        fps=options.fps if step is None else None,
        observed=observed_between(0.0, length, holes),
        path=path,
    )


def _write_frames(several: Sequence[Annotations], options: Options) -> str:
    (annotations,) = several
    fps = options.fps or annotations.fps
    if fps is None:
        raise LabelError(f"{annotations.path} does not say its frame rate; {FPS_HINT}")
    codes = codes_of(annotations, fps, UNOBSERVED)
    return _joined(codes, annotations, "list of frames")


def _write_hypnogram(several: Sequence[Annotations], options: Options) -> str:
    (annotations,) = several
    if options.epoch_seconds is None:
        raise LabelError(
            f"{annotations.path}: a hypnogram needs the length of its epochs (--epoch-seconds)"
        )
    numeric = bool(annotations.labels) and all(
        re.fullmatch(r"-?\d+", label) for label in annotations.labels
    )
    codes = codes_of(annotations, 1 / options.epoch_seconds, "-1" if numeric else "?")
    return _joined(codes, annotations, "hypnogram")


def _joined(codes: list[str], annotations: Annotations, kind: str) -> str:
    for code in set(codes):
        if not is_list([code]):
            raise LabelError(
                f"{annotations.path}: the label '{code}' has spaces or separators, which a {kind} "
                "cannot hold; rename it"
            )
    return "\n".join(codes) + "\n"


def codes_of(annotations: Annotations, fps: float, unknown: str) -> list[str]:
    """The label that covers most of each cell.

    Args:
        annotations: one subject by one scorer, one label at a time.
        fps: cells a second.
        unknown: what a cell is called that no label covers.

    Raises:
        LabelError: there are several subjects or scorers, or bouts overlap.
    """
    track = states(annotations)
    count = max(1, round(annotations.end_seconds * fps))
    edges = np.arange(count + 1) / fps
    names = track.classes
    found = labels_for(track, edges[:-1], edges[1:], names)
    return [unknown if code < 0 else names[code] for code in found.tolist()]


FRAMES = Format(
    title="frame list of Breakfast, 50Salads",
    suffixes=(),
    read=_read_frames,
    write=_write_frames,
    keeps=frozenset({"holes"}),
    resolution="grid",
)
HYPNOGRAM = Format(
    title="plain hypnogram, one code an epoch",
    suffixes=(),
    read=_read_hypnogram,
    write=_write_hypnogram,
    keeps=frozenset({"holes"}),
    resolution="grid",
)
