"""EDF+ and BDF+ annotations, and the hypnograms among them, through edfio.

`Sleep stage ?` means that nobody scored: it becomes time without observation, and back. Rows are
the number of the annotation in the file.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError, MissingExtraError
from vigilia.installation import install_command
from vigilia.timeline.annotations import Annotations, Event, holes_between, observed_between
from vigilia.timeline.formats.format import Format, Options
from vigilia.timeline.texts import read_bytes

__all__ = ["BDF", "BDF_START", "EDF", "EDF_START", "stage_name"]

EDF_START = b"0       "
BDF_START = b"\xffBIOSEMI"
NOT_SCORED = "Sleep stage ?"
STAGES = {
    **dict.fromkeys(("w", "wake", "awake", "waking"), "Sleep stage W"),
    **dict.fromkeys(("r", "rem", "rem sleep"), "Sleep stage R"),
    **{name: f"Sleep stage {name.upper()}" for name in ("n1", "n2", "n3")},
    **dict.fromkeys(("n", "nrem", "nrem sleep", "non-rem"), None),
}
"""What EDF+ calls a stage; None for the one that the user names."""


def stage_name(label: str, options: Options) -> str | None:
    """What EDF+ calls a sleep stage; None if the label is none."""
    plain = label.strip().lower()
    if plain.startswith("sleep stage ") or plain == "movement time":
        return label
    return (STAGES[plain] or options.nrem) if plain in STAGES else None


def _edfio(path: Path) -> Any:
    try:
        import edfio
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: EDF+ is read and written by edfio; {install_command('formats')}"
        ) from error
    return edfio


def _read(path: Path, options: Options) -> tuple[Annotations, ...]:
    edfio = _edfio(path)
    data = read_bytes(path)
    read: Callable[..., Any] = edfio.read_bdf if data[:8] == BDF_START else edfio.read_edf
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            file = read(data if data[:8] != BDF_START else io.BytesIO(data))
            found = list(file.annotations)
            length = float(file.duration)
        # The last two are edfio's slips over headers that say nothing of their signals.
        except (
            ValueError,
            IndexError,
            KeyError,
            EOFError,
            UnboundLocalError,
            ZeroDivisionError,
        ) as error:
            half = " (half-written)" if said or len(data) < 512 else ""
            raise LabelError(f"{path} is a damaged EDF file{half}: {error}") from error
    if any("truncated" in str(one.message).lower() for one in said):
        raise LabelError(f"{path} is half-written: its last record is not complete; export again")
    if not found:
        raise LabelError(f"{path} is an EDF file without annotations")
    events = tuple(
        Event(one.onset, round(one.onset + (one.duration or 0.0), 9), one.text, row=number)
        if one.duration
        else Event(one.onset, one.onset, one.text, row=number)
        for number, one in enumerate(found, start=1)
    )
    duration = max([length, *(event.end_seconds for event in events)])
    holes = [(e.start_seconds, e.end_seconds) for e in events if e.label == NOT_SCORED]
    stages = any(event.label.startswith("Sleep stage") for event in events)
    return (
        Annotations(
            events=tuple(event for event in events if event.label != NOT_SCORED),
            recording=path.name.split(".")[0],
            duration_seconds=duration,
            observed=observed_between(0.0, duration, holes) if stages else None,
            started=_started(file),
            path=path,
        ),
    )


def _started(file: Any) -> datetime | None:
    try:
        return datetime.combine(file.startdate, file.starttime)
    except ValueError:  # edfio's way to say that the date was taken out
        return None


def _write(several: Sequence[Annotations], options: Options, *, kind: str) -> bytes:
    (annotations,) = several
    edfio = _edfio(annotations.path)
    names = {label: stage_name(label, options) for label in annotations.labels}
    # Stages keep their words only together: "R" among behaviours may be rearing.
    stages = bool(names) and all(names.values())
    rows = [
        edfio.EdfAnnotation(
            event.start_seconds,
            None if event.is_point else round(event.end_seconds - event.start_seconds, 9),
            _clean(names[event.label] or "" if stages else event.label),
        )
        for event in annotations.events
    ]
    if stages:
        for start, end in holes_between(annotations, 0.0, annotations.end_seconds):
            rows.append(edfio.EdfAnnotation(start, end - start, NOT_SCORED))
    if not rows:
        raise LabelError(f"{annotations.path} has no events, and EDF+ needs at least one")
    if any(one.onset < -86400 for one in rows):
        raise LabelError(f"{annotations.path}: events more than a day before the start")
    about: dict[str, Any] = {}
    if annotations.started is not None:
        about["starttime"] = annotations.started.time()
        about["recording"] = edfio.Recording(startdate=annotations.started.date())
    file = (edfio.Bdf if kind == "bdf" else edfio.Edf)(
        signals=[], annotations=sorted(rows, key=lambda one: one.onset), **about
    )
    buffer = io.BytesIO()
    file.write(buffer)
    return buffer.getvalue()


def _clean(text: str) -> str:
    """Without the bytes that separate annotations in the file."""
    return re.sub(r"[\x00-\x1f]+", " ", text)


EDF = Format(
    title="EDF+ annotations or hypnogram",
    suffixes=(".edf",),
    read=_read,
    write=partial(_write, kind="edf"),
    keeps=frozenset({"points", "holes", "started"}),
)
BDF = Format(
    title="BDF+ annotations or hypnogram",
    suffixes=(".bdf",),
    read=_read,
    write=partial(_write, kind="bdf"),
    keeps=frozenset({"points", "holes", "started"}),
)
