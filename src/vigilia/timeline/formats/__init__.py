"""Annotations in the formats of the tools that people use; one file a format, one dict of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vigilia.errors import LabelError, OptionError
from vigilia.files import write_atomically
from vigilia.timeline.annotations import Annotations, refuse_broken
from vigilia.timeline.formats.activitynet import ACTIVITYNET
from vigilia.timeline.formats.boris_export import AGGREGATED, TABULAR
from vigilia.timeline.formats.boris_project import BORIS
from vigilia.timeline.formats.csv_table import CSV
from vigilia.timeline.formats.deepethogram import DEEPETHOGRAM
from vigilia.timeline.formats.detect import detect
from vigilia.timeline.formats.edf import BDF, EDF
from vigilia.timeline.formats.elan import ELAN
from vigilia.timeline.formats.feral import FERAL
from vigilia.timeline.formats.format import Format, Options, lost
from vigilia.timeline.formats.frames import FRAMES, HYPNOGRAM
from vigilia.timeline.formats.label_studio import LABEL_STUDIO
from vigilia.timeline.formats.nwb import NWB
from vigilia.timeline.formats.results import TIMELINE
from vigilia.timeline.formats.webvtt import VTT
from vigilia.timeline.formats.xlsx import XLSX
from vigilia.timeline.formats.yasa import YASA, YASA_TABLE

__all__ = [
    "FORMATS",
    "Format",
    "Options",
    "detect",
    "format_of_name",
    "lost",
    "read_annotations",
    "unwritable",
    "write_annotations",
]

FORMATS: dict[str, Format] = {
    "csv": CSV,
    "xlsx": XLSX,
    "boris": BORIS,
    "boris-tabular": TABULAR,
    "boris-aggregated": AGGREGATED,
    "elan": ELAN,
    "deepethogram": DEEPETHOGRAM,
    "edf": EDF,
    "bdf": BDF,
    "hypnogram": HYPNOGRAM,
    "yasa": YASA,
    "yasa-table": YASA_TABLE,
    "frames": FRAMES,
    "feral": FERAL,
    "label-studio": LABEL_STUDIO,
    "nwb": NWB,
    "vtt": VTT,
    "activitynet": ACTIVITYNET,
    "timeline": TIMELINE,
}


def read_annotations(
    path: str | Path,
    *,
    format: str | None = None,
    fps: float | None = None,
    epoch_seconds: float | None = None,
    label_column: str | None = None,
    check: bool = True,
) -> tuple[Annotations, ...]:
    """Reads what an annotation file says.

    Args:
        path: the file, packed with gzip or not.
        format: one of FORMATS; found from what the file holds if not given.
        fps: frames a second, where the file counts frames.
        epoch_seconds: length of an epoch, where the file holds one code an epoch.
        label_column: the column of the label, where several could be meant.
        check: refuse events that have no end, or end before they start; else they come as they
            stand, for `problems` to list.

    Returns:
        One entry a recording, in the file's order.

    Raises:
        LabelError: the file cannot be used; the message names the row.
        OptionError: there is no such format, or fps or epoch_seconds is not a positive number.
        MissingExtraError: what reads the format is not installed.
    """
    options = Options(fps=fps, epoch_seconds=epoch_seconds, label_column=label_column)
    name = detect(Path(path)) if format is None else format
    several = _format(name).read(Path(path), options)
    if check:
        for annotations in several:
            refuse_broken(annotations)
    return several


def write_annotations(
    annotations: Annotations | Sequence[Annotations],
    path: str | Path,
    *,
    format: str | None = None,
    fps: float | None = None,
    epoch_seconds: float | None = None,
    nrem: str = Options.nrem,
) -> tuple[str, ...]:
    """Writes annotations whole or not at all.

    Args:
        annotations: of one recording, or of several where the format holds several.
        path: the file.
        format: one of FORMATS; found from the name's ending if not given.
        fps: frames a second, for formats that count frames.
        epoch_seconds: length of an epoch, for plain hypnograms.
        nrem: what EDF+ calls the stage NREM that is not divided into N1, N2 and N3.

    Returns:
        What the format cannot hold and is therefore not in the file, in words.

    Raises:
        LabelError: an event is broken, or the format cannot hold the annotations at all.
        OptionError: there is no such format.
        OutputError: the file cannot be written.
        MissingExtraError: what writes the format is not installed.
    """
    several = (annotations,) if isinstance(annotations, Annotations) else tuple(annotations)
    options = Options(fps=fps, epoch_seconds=epoch_seconds, nrem=nrem)
    name = format_of_name(path) if format is None else format
    chosen = _format(name)
    if chosen.write is None:
        raise OptionError(f"{name} is only read; choose one of {', '.join(_written())}")
    for one in several:
        refuse_broken(one)
    if len(several) != 1 and not chosen.several:
        raise LabelError(
            f"{several[0].path if several else path} holds {len(several)} recordings, and a file "
            f"of {name} holds one; choose it with --recording, or name a folder"
        )
    losses = lost(several, chosen, options)
    write_atomically(path, chosen.write(_labelled(several, chosen), options))
    return losses


def unwritable(
    annotations: Annotations,
    path: str | Path,
    *,
    format: str | None = None,
    fps: float | None = None,
    epoch_seconds: float | None = None,
    nrem: str = Options.nrem,
) -> str:
    """Why a format cannot hold one recording among several; empty if it can. Nothing is written.

    Args:
        annotations: the recording.
        path: the file that is going to be written.
        format: as in `write_annotations`, like all that follow.
        fps: frames a second.
        epoch_seconds: length of an epoch.
        nrem: the stage NREM in EDF+.
    """
    chosen = _format(format_of_name(path) if format is None else format)
    if chosen.write is None or not chosen.several:
        return ""  # whatever recording it is
    try:
        refuse_broken(annotations)
        options = Options(fps=fps, epoch_seconds=epoch_seconds, nrem=nrem)
        chosen.write(_labelled((annotations,), chosen), options)
    except LabelError as error:
        return str(error)
    return ""


def _labelled(several: tuple[Annotations, ...], chosen: Format) -> tuple[Annotations, ...]:
    """Without the annotations that have no label, where the format has no place for them."""
    if "unlabelled" in chosen.keeps:
        return several
    return tuple(
        replace(one, events=tuple(event for event in one.events if event.label)) for one in several
    )


def format_of_name(path: str | Path) -> str:
    """The format that a name's ending means when it is written; of several, the longest one.

    Raises:
        OptionError: none.
    """
    ending = os.fspath(path).lower()
    fits = {
        suffix: name
        for name, format in FORMATS.items()
        for suffix in format.suffixes
        if ending.endswith(suffix)
    }
    if fits:
        return fits[max(fits, key=len)]
    raise OptionError(
        f"{path}: the ending does not say the format; choose one of {', '.join(_written())}"
    )


def _written() -> list[str]:
    return [name for name, format in FORMATS.items() if format.write is not None]


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise OptionError(f"there is no format {name!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[name]
