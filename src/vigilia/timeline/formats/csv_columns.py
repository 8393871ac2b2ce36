"""Where a table of annotations keeps what: columns are found by their names."""

from __future__ import annotations

from dataclasses import dataclass

from vigilia.errors import LabelError
from vigilia.timeline.formats.format import FPS_HINT, Options
from vigilia.timeline.tables import Table, plain_name

__all__ = ["LABEL_NAMES", "VIDEO_NAMES", "Columns", "find_columns"]

START_NAMES = (
    *("start_seconds", "start", "start_s", "start_sec", "start_time", "start_timestamp"),
    *("onset", "begin", "from", "t_start"),
)
END_NAMES = (
    *("end_seconds", "end", "end_s", "end_sec", "end_time", "end_timestamp", "offset"),
    *("stop", "stop_s", "stop_sec", "stop_time", "stop_timestamp", "to", "t_end"),
)
DURATION_NAMES = ("duration_seconds", "duration", "duration_s", "duration_sec")
TIME_NAMES = ("time_s", "time", "seconds", "time_seconds", "time_sec", "timestamp")
FRAME_NAMES = ("frame", "frame_index", "frame_number", "frame_digit")
LABEL_NAMES = ("label", "state", "behavior", "behaviour", "class", "phase", "stage")
OTHER_LABEL_NAMES = (
    *("trial_type", "type", "action", "action_label", "action_id", "event", "code"),
    *("annotation", "description", "narration"),
)
"""Looked for where none of LABEL_NAMES is there."""
VIDEO_NAMES = ("video", "file", "filename", "file_name", "video_file", "video_id", "recording")
OBSERVATION_NAMES = ("observation", "observation_id")
SUBJECT_NAMES = ("subject", "subject_id", "animal", "animal_id", "individual")
SCORER_NAMES = ("scorer", "annotator", "observer", "rater", "coder", "experimenter")
COMMENT_NAMES = ("comment", "comments")
MISSING_ENDS = ("", "na")


@dataclass(frozen=True)
class Columns:
    """Where a table keeps what; None where it does not."""

    label: int
    video: int | None
    observation: int | None
    start: int | None
    end: int | None
    duration: int | None
    time: int | None
    frame: int | None
    start_frame: int | None
    end_frame: int | None
    last_frame: int | None
    subject: int | None
    scorer: int | None
    modifiers: int | None
    confidence: int | None
    comment: int | None

    @property
    def times(self) -> tuple[int, ...]:
        """The columns that say when."""
        if self.start is not None:
            end = self.end if self.end is not None else self.duration
            used = [self.start, end]
        elif self.time is not None:
            used = [self.time]
        elif self.start_frame is not None:
            end = self.end_frame if self.end_frame is not None else self.last_frame
            used = [self.start_frame, end]
        else:
            used = [self.frame]
        return tuple(column for column in used if column is not None)

    @property
    def bouts(self) -> bool:
        return self.start is not None or (self.time is None and self.start_frame is not None)


def find_columns(table: Table, options: Options) -> Columns:
    columns = Columns(
        label=_label_column(table, options.label_column),
        video=table.first(*VIDEO_NAMES),
        observation=table.first(*OBSERVATION_NAMES),
        start=table.first(*START_NAMES),
        end=table.first(*END_NAMES),
        duration=table.first(*DURATION_NAMES),
        time=table.first(*TIME_NAMES),
        frame=table.first(*FRAME_NAMES),
        start_frame=table.first("start_frame"),
        end_frame=table.first("end_frame_exclusive"),
        last_frame=table.first("end_frame_inclusive"),
        subject=table.first(*SUBJECT_NAMES),
        scorer=table.first(*SCORER_NAMES),
        modifiers=table.first("modifiers", "modifier"),
        confidence=table.first("confidence"),
        comment=table.first(*COMMENT_NAMES),
    )
    if columns.start is not None and (columns.end is not None or columns.duration is not None):
        return columns
    if columns.time is not None:
        return columns
    ends = columns.end_frame is not None or columns.last_frame is not None
    unclear = table.first("end_frame", "stop_frame")
    if columns.start_frame is not None and not ends and unclear is not None:
        raise LabelError(
            f"{table.path}: the column {table.header[unclear]} does not say whether its frame "
            "still belongs to the bout; call it end_frame_exclusive or end_frame_inclusive"
        )
    if (columns.start_frame is not None and ends) or columns.frame is not None:
        if options.fps is None:
            raise LabelError(f"{table.path} counts frames and has no times; {FPS_HINT}")
        return columns
    raise LabelError(
        f"{table.path} says no times: found {table.names}; expected start_seconds and "
        "end_seconds (or duration), start_frame and end_frame_exclusive, or time_s"
    )


def _label_column(table: Table, label_column: str | None) -> int:
    if label_column is None:
        columns = table.find(*LABEL_NAMES) or table.find(*OTHER_LABEL_NAMES)
    else:
        columns = table.find(plain_name(label_column))
    if len(columns) == 1:
        return columns[0]
    if columns:
        could_be = ", ".join(table.header[column] for column in columns)
        raise LabelError(
            f"{table.path}: several columns could be the label ({could_be}); choose one with "
            "--label-column"
        )
    expected = label_column or "one of " + ", ".join(LABEL_NAMES)
    raise LabelError(
        f"{table.path} has no column for the label: found {table.names}, expected {expected}"
        + _if_a_list(table)
    )


def _if_a_list(table: Table) -> str:
    """What keeps a single column from being a list of labels, one a line."""
    odd = next((row for row in table.rows if " " in row.cells[0]), None)
    if len(table.header) > 1 or " " in table.header[0] or odd is None:
        return ""
    return f"; if it is one label a line: row {odd.number}, '{odd.cells[0][:40]}', is not one word"
