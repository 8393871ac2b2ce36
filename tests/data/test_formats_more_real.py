"""Annotations of real studies through Excel, FERAL, Label Studio and YASA, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from vigilia.timeline import read_annotations, write_annotations
from vigilia.timeline.choosing import renamed

CASES = [
    ("rodent_three_raters/EPM_labels.csv", "xlsx"),
    ("fly_deepethogram_style/hand/2019_08_07_fly2.csv", "feral"),
    ("fly_deepethogram_style/hand/2019_08_07_fly2.csv", "label-studio"),
    ("breakfast_coffee/groundTruth/P03_cam01_P03_coffee", "feral"),
    ("50salads/groundTruth/rgb-09-1.txt", "label-studio"),
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_real_study_comes_back_as_it_was(
    name: str, kind: str, shared_data: Path, tmp_path: Path
) -> None:
    several = read_annotations(shared_data / "labels" / name, fps=30.0)
    assert write_annotations(several, tmp_path / "x", format=kind, fps=30.0) == ()
    back = read_annotations(tmp_path / "x", fps=30.0)
    assert [one.events for one in back] == [one.events for one in several]


def test_a_real_night_in_yasas_codes_is_a_hypnogram_of_yasa(
    shared_data: Path, tmp_path: Path
) -> None:
    path = shared_data / "labels" / "hypno_txt" / "14201_hypno.txt"
    (night,) = read_annotations(path, epoch_seconds=30)
    stages = {"0": "WAKE", "1": "N1", "2": "N2", "3": "N3", "4": "REM"}
    night = renamed(night, {code: stages[code] for code in night.labels})
    write_annotations(night, tmp_path / "x.yasa.json", epoch_seconds=30)
    (back,) = read_annotations(tmp_path / "x.yasa.json")
    assert back.events == night.events
    assert back.duration_seconds == night.duration_seconds
