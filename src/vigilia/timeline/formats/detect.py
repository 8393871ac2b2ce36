"""Which format a file has, from what it holds; its name is not asked."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from vigilia.errors import LabelError
from vigilia.timeline.files import JSON_FORMAT
from vigilia.timeline.formats.activitynet import is_activitynet
from vigilia.timeline.formats.boris_export import is_export
from vigilia.timeline.formats.boris_project import is_boris
from vigilia.timeline.formats.csv_columns import LABEL_NAMES
from vigilia.timeline.formats.deepethogram import is_deepethogram
from vigilia.timeline.formats.edf import BDF_START, EDF_START
from vigilia.timeline.formats.feral import is_feral
from vigilia.timeline.formats.frames import is_hypnogram, is_list
from vigilia.timeline.formats.jsons import parse_json
from vigilia.timeline.formats.label_studio import is_label_studio
from vigilia.timeline.formats.nwb import HDF5_START
from vigilia.timeline.formats.yasa import is_yasa, is_yasa_table
from vigilia.timeline.tables import XLSX_START, plain_name, read_table, split_separator
from vigilia.timeline.texts import read_bytes, read_text

__all__ = ["detect"]


def detect(path: Path) -> str:
    """The name of a file's format, one of FORMATS.

    Raises:
        LabelError: the file cannot be opened, is half-written, or holds none of the formats.
    """
    with warnings.catch_warnings():
        # Whatever is odd about the file will be said when it is read.
        warnings.simplefilter("ignore")
        return _kind_of(path)


def _kind_of(path: Path) -> str:
    data = read_bytes(path)
    if data[:8] == EDF_START:
        return "edf"
    if data[:8] == BDF_START:
        return "bdf"
    if data[:4] == XLSX_START:
        header = read_table(path).header
        return _export(header) if is_export(header) else "xlsx"
    if data[:8] == HDF5_START:
        return "nwb"
    text = read_text(path)
    start = text.lstrip()[:4096]
    if start.startswith("WEBVTT"):
        return "vtt"
    if start.startswith("<"):
        if "<ANNOTATION_DOCUMENT" in start:
            return "elan"
        raise LabelError(f"{path} is XML, but no file of ELAN; {_advice()}")
    if start.startswith(("{", "[")):
        return _kind_of_json(text, path)
    try:
        return _kind_of_table(text)
    except csv.Error as error:
        raise LabelError(f"{path} is no table that can be read ({error}); {_advice()}") from error


def _kind_of_json(text: str, path: Path) -> str:
    content = parse_json(text, path)
    if is_boris(content):
        return "boris"
    if isinstance(content, dict) and content.get("format") == JSON_FORMAT:
        return "timeline"
    if is_yasa(content):
        return "yasa"
    if is_feral(content):
        return "feral"
    if is_label_studio(content):
        return "label-studio"
    if is_activitynet(content):
        return "activitynet"
    if isinstance(content, list) and all(isinstance(one, int | str | None) for one in content):
        return "hypnogram"
    raise LabelError(f"{path} is JSON, but of no format of annotations; {_advice()}")


def _kind_of_table(text: str) -> str:
    text, separator = split_separator(text)
    lines = text.lstrip("\r\n").splitlines()
    rows = list(csv.reader(io.StringIO("\n".join(lines[:60])), delimiter=separator))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    # Old exports of BORIS begin with lines about the observation, and then have a header.
    header = next((row for row in rows[:40] if is_export(row)), None)
    if header is not None and (header is rows[0] or plain_name(rows[0][0]) == "observation_id"):
        return _export(header)
    if rows and is_yasa_table(rows[0]):
        return "yasa-table"
    if len(rows) > 1 and is_deepethogram(rows[0], rows[1]):
        return "deepethogram"
    if lines and is_list(lines) and (len(lines) > 1 or plain_name(lines[0]) not in LABEL_NAMES):
        return "hypnogram" if is_hypnogram(lines) else "frames"
    return "csv"


def _export(header: Sequence[str]) -> str:
    aggregated = "start_s" in map(plain_name, header)
    return "boris-aggregated" if aggregated else "boris-tabular"


def _advice() -> str:
    return "docs/annotations.md lists what can be read; or export the labels as CSV"
