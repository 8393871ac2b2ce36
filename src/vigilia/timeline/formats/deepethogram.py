"""DeepEthogram: a column a behaviour, a row a frame, 1 present, 0 absent, -1 not yet labelled.

The first column counts frames and has no name; the file does not say how long a frame lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.choosing import presence, selected
from vigilia.timeline.formats.format import FPS_HINT, Format, Options
from vigilia.timeline.formats.frames import runs
from vigilia.timeline.tables import Table, read_table
from vigilia.timeline.times import parse_number

__all__ = ["DEEPETHOGRAM", "is_deepethogram"]

BACKGROUND = ("background", "none")
VALUES = {f"{value}{zero}": value for value in (0, 1, -1) for zero in ("", ".0", ",0")}


def is_deepethogram(header: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a header and the first row are those of a table of DeepEthogram."""
    if len(header) < 2 or len(row) != len(header):
        return False
    counted = header[0].strip().lower() in ("", "unnamed: 0", "frame", "frames")
    return counted and all(cell.strip() in VALUES for cell in row[1:])


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads the table; `background` is a label like the others.

    Raises:
        LabelError: the fps is not given, a value is none of 0, 1 and -1, or a frame is missing.
    """
    table = read_table(path)
    if options.fps is None:
        raise LabelError(f"{path} holds one row a frame and no times; {FPS_HINT}")
    values = _values(table)
    fps = options.fps
    events = [
        Event(start / fps, end / fps, label, row=start + 2)
        for column, label in enumerate(table.header[1:])
        for start, end in runs(values[:, column].tolist())
        if values[start, column] == 1
    ]
    seen: list[bool] = np.all(values >= 0, axis=1).tolist()
    return (
        Annotations(
            events=tuple(events),
            classes=table.header[1:],
            recording=path.name.split(".")[0].removesuffix("_labels"),
            duration_seconds=len(values) / fps,
            fps=fps,
            observed=tuple((start / fps, end / fps) for start, end in runs(seen) if seen[start]),
            path=path,
        ),
    )


def _values(table: Table) -> np.ndarray:
    """(T, K) int8."""
    if not table.rows:
        raise LabelError(f"{table.path} has a header but no rows")
    first = parse_number(table.rows[0].cells[0], table.path, table.rows[0].number, "the frame")
    values = np.empty((len(table.rows), len(table.header) - 1), np.int8)
    for index, row in enumerate(table.rows):
        frame = parse_number(row.cells[0], table.path, row.number, "the frame")
        if frame != first + index:
            raise LabelError(
                f"{table.path}, row {row.number}: frame {frame:g} follows frame "
                f"{first + index - 1:g}; every frame needs its row"
            )
        try:
            values[index] = [VALUES[cell] for cell in row.cells[1:]]
        except KeyError:
            column = next(n for n, cell in enumerate(row.cells[1:]) if cell not in VALUES)
            raise LabelError(
                f"{table.path}, row {row.number}: {table.header[column + 1]} is "
                f"'{row.cells[column + 1]}', expected 0, 1 or -1"
            ) from None
    return values


def write(several: Sequence[Annotations], options: Options) -> str:
    """One row a frame; `background` is added where it is not among the labels.

    Raises:
        LabelError: the fps is not known, or there are several subjects or scorers.
    """
    (annotations,) = several
    fps = options.fps or annotations.fps
    if fps is None:
        raise LabelError(f"{annotations.path} does not say its frame rate; {FPS_HINT}")
    for kind, names in (("subject", annotations.subjects), ("scorer", annotations.scorers)):
        if len(names) > 1:
            raise LabelError(
                f"{annotations.path} holds {len(names)} {kind}s ({', '.join(names[:6])}), of which "
                f"DeepEthogram holds one; choose it with --{kind}"
            )
    labels = annotations.labels
    background = [label for label in labels if label in BACKGROUND]
    edges = np.arange(max(1, round(annotations.end_seconds * fps)) + 1) / fps
    one = selected(annotations)
    values = presence(one, edges[:-1], edges[1:], classes=labels)
    if background:
        header = [*background, *(label for label in labels if label not in background)]
        values = values[:, [labels.index(label) for label in header]]
    else:
        header = [BACKGROUND[0], *labels]
        nothing = np.where(values.min(axis=1, initial=0) < 0, -1, values.max(axis=1, initial=0) < 1)
        values = np.column_stack([nothing, values])
    rows = [",".join(["", *(_quoted(label) for label in header)])]
    rows += [",".join(map(str, [frame, *row])) for frame, row in enumerate(values.tolist())]
    return "\n".join(rows) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text


DEEPETHOGRAM = Format(
    title="DeepEthogram labels",
    suffixes=(),
    read=read,
    write=write,
    keeps=frozenset({"classes", "holes"}),
    resolution="grid",
)
