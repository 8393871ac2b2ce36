"""Files made to hurt: they are refused in one line, before they have cost anything."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from vigilia.errors import LabelError
from vigilia.timeline import tables, texts
from vigilia.timeline.formats import read_annotations

ENTITIES = """<?xml version="1.0"?>
<!DOCTYPE lol [<!ENTITY a "laugh"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<ANNOTATION_DOCUMENT><HEADER/>&b;</ANNOTATION_DOCUMENT>
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_of_its_own_are_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "trap.eaf"
    path.write_bytes(ENTITIES.replace('"1.0"', f'"1.0" encoding="{encoding}"').encode(encoding))
    with pytest.raises(LabelError, match=r"trap\.eaf defines entities of its own"):
        read_annotations(path)


def test_what_unpacks_to_more_than_annotations_ever_are_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MOST_BYTES", 1 << 20)
    path = tmp_path / "trap.csv.gz"
    path.write_bytes(gzip.compress(b"start,end,label\n" + b"0" * (1 << 20)))
    with pytest.raises(LabelError, match=r"trap\.csv\.gz holds more than 1 MB"):
        texts.read_bytes(path)
    path.write_bytes(gzip.compress(b"start,end,label\n0,1,rest\n"))
    assert texts.read_bytes(path) == b"start,end,label\n0,1,rest\n"


def test_a_sheet_is_measured_before_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "trap.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", bytes(tables.MOST_SHEET_BYTES + 1))
    with pytest.raises(LabelError, match=r"trap\.xlsx holds 64 MB unpacked"):
        tables.read_table(path)


def test_a_cell_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trap.csv"
    path.write_text("start,end,label\n0,1," + "x" * 200_000 + "\n")
    with pytest.raises(LabelError, match=r"trap\.csv"):
        read_annotations(path)


@pytest.mark.parametrize("start", [b"0       ", b"\xffBIOSEMI"])
def test_a_header_of_edf_that_says_nothing_is_refused(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trap.edf"
    path.write_bytes(
        start + b" " * 160 + b"01.01.0101.01.01" + b"256     " + b" " * 44 + b"1       1       0   "
    )
    with pytest.raises(LabelError, match=r"trap\.edf is a damaged EDF file"):
        read_annotations(path)


def test_a_message_is_one_line_whatever_it_quotes(tmp_path: Path) -> None:
    path = tmp_path / "trap.csv"
    path.write_text("start,end,label\n0,b\x1d\x0b\u2028ad,rest\n")
    with pytest.raises(LabelError) as caught:
        read_annotations(path)
    assert len(str(caught.value).splitlines()) == 1
