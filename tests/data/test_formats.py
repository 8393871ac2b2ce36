"""Annotations of real studies: read, written and read again."""

from __future__ import annotations

import gzip
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pympi
import pytest

from vigilia.errors import LabelError
from vigilia.timeline import (
    Annotations,
    problems,
    read_annotations,
    read_labels,
    states,
    write_annotations,
)
from vigilia.timeline.choosing import merged
from vigilia.timeline.formats import FORMATS, detect

FILES = {
    "50salads/groundTruth/rgb-09-1.txt": ("frames", 1, 20),
    "boris/test.boris": ("boris", 12, 92),
    "boris/test_export_aggregated_events_test_full_1.tsv": ("boris-aggregated", 1, 18),
    "boris/test_export_events_tabular.csv": ("boris-tabular", 1, 4),
    "boris/test_export_events_tabular.tsv": ("boris-tabular", 1, 4),
    "boris/test_with_leading_trailing_spaces_in_modifiers.boris": ("boris", 1, 4),
    "boris/test_without_media_files_paths.boris": ("boris", 9, 51),
    "breakfast_coffee/groundTruth/P03_cam01_P03_coffee": ("frames", 1, 5),
    "edf/SC4001EC-Hypnogram.edf": ("edf", 1, 153),
    "edf/test_subsecond.edf": ("edf", 1, 4),
    "elan/sample_2.8.eaf.gz": ("elan", 1, 8778),
    "epic_kitchens_100_validation.csv": ("csv", 138, 9668),
    "epic_tent/06.frame_level_gt.txt": ("csv", 1, 62),
    "fly_deepethogram_style/hand/2019_08_07_fly2.csv": ("deepethogram", 1, 53),
    "hypno_txt/14201_hypno.txt": ("hypnogram", 1, 68),
    "multithumos.json": ("activitynet", 413, 38690),
    "rodent_three_raters/EPM_labels.csv": ("csv", 15, 1401),
    "rodent_three_raters/OFT_labels.csv": ("csv", 80, 5518),
    "sleep_human_5scorers/dodh/scorer_1/095d6e40-5f19-55b6-a0ec-6e0ad3793da0.json": (
        *("hypnogram", 1, 157),
    ),
    "sleep_mouse_96h/BL601.txt": ("hypnogram", 1, 7461),
}
NAME = {"frames": ".txt", "hypnogram": ".txt", "deepethogram": ".csv", "edf": ".edf"}


def whole(several: tuple[Annotations, ...]) -> list[Annotations]:
    """Without the recordings that somebody left with a bout that has no end."""
    return [one for one in several if all(e.end_seconds < math.inf for e in one.events)]


@pytest.mark.parametrize("name", FILES)
def test_real_files_are_recognised_and_come_back_as_they_were(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    path = shared_data / "labels" / name
    options = {"fps": 15.0, "epoch_seconds": 30.0}
    several = read_annotations(path, check=False, **options)
    kind = detect(path)
    assert (kind, len(several), sum(len(one.events) for one in several)) == FILES[name]
    kept = whole(several)
    assert len(several) - len(kept) == (
        1 if "test.b" in name or "without" in name or "OFT" in name else 0
    )
    # Formats without a name for the recording take the file's.
    copy = tmp_path / f"{kept[0].recording}{NAME[kind]}" if kind in NAME else tmp_path / "copy"
    write_annotations(kept, copy, format=kind, **options)
    back = read_annotations(copy, format=kind, **options)
    for one, again in zip(kept, back, strict=True):
        if kind == "elan":
            # ELAN counts milliseconds, and times shared out evenly lie between them.
            assert [_rounded(e) for e in again.events] == [_rounded(e) for e in one.events]
            continue
        if "subsecond" in name:
            assert again.duration_seconds == one.events[-1].end_seconds  # no signal was written
            again = replace(again, duration_seconds=one.duration_seconds)
        assert replace(again, fps=one.fps) == one


REST = ("50salads/*/*.txt", "breakfast_coffee/groundTruth/*", "epic_tent/*gt.txt")
REST += ("fly_deepethogram_style/*/*.csv", "hypno_txt/*", "sleep_mouse_96h/BL61*")
REST += ("sleep_human_5scorers/*/*/1*.json",)


@pytest.mark.parametrize("pattern", REST)
def test_every_other_file_of_a_kind_comes_back_too(
    pattern: str, shared_data: Path, tmp_path: Path
) -> None:
    options = {"fps": 15.0, "epoch_seconds": 30.0}
    paths = [path for path in sorted((shared_data / "labels").glob(pattern)) if path.is_file()]
    assert len(paths) > 1
    for path in paths:
        several = read_annotations(path, **options)
        kind = detect(path)
        copy = tmp_path / f"{several[0].recording or 'copy'}{NAME.get(kind, '')}"
        write_annotations(several, copy, format=kind, **options)
        back = read_annotations(copy, format=kind, **options)
        assert [replace(one, fps=None) for one in back] == [
            replace(one, fps=None) for one in several
        ], path


def test_a_table_of_a_signal_a_second_is_read_by_the_column_of_its_stage(
    shared_data: Path, tmp_path: Path
) -> None:
    path = shared_data / "labels" / "sleep_seal_1Hz.csv"
    several = read_annotations(path, label_column="Simple_Sleep_Code")
    write_annotations(several, tmp_path / "x.csv")
    assert [one.events for one in read_annotations(tmp_path / "x.csv")] == [
        one.events for one in several
    ]
    assert {"REM", "SWS"} <= set(several[0].labels), several[0].labels


def _rounded(event: object) -> tuple[object, ...]:
    values = {name: getattr(event, name) for name in ("label", "subject", "scorer", "modifiers")}
    return (round(event.start_seconds, 3), round(event.end_seconds, 3), *values.values())


@pytest.mark.parametrize("name", ["csv", "boris", "boris-tabular", "elan", "edf", "activitynet"])
def test_a_study_in_one_format_is_the_same_study_in_another(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    several = read_annotations(shared_data / "labels" / "rodent_three_raters" / "EPM_labels.csv")
    # Here and there a person scored one behaviour twice at a time.
    several = [merged(one) for one in several]
    if not FORMATS[name].several:
        several = several[:1]
    write_annotations(several, tmp_path / "x", format=name)
    back = read_annotations(tmp_path / "x", format=name)
    assert [[(e.start_seconds, e.end_seconds, e.label) for e in one.events] for one in back] == [
        [(e.start_seconds, e.end_seconds, e.label) for e in one.events] for one in several
    ]


def test_pympi_sees_in_our_copy_what_it_sees_in_the_original(
    shared_data: Path, tmp_path: Path
) -> None:
    packed = shared_data / "labels" / "elan" / "sample_2.8.eaf.gz"
    original = tmp_path / "original.eaf"
    original.write_bytes(gzip.decompress(packed.read_bytes()))
    (one,) = read_annotations(packed)
    theirs = pympi.Elan.Eaf(str(original))
    for tier in ("text", "gestures", "gest_included"):
        found = sorted(
            (round(e.start_seconds * 1000), round(e.end_seconds * 1000), e.label)
            for e in one.events
            if e.subject == tier
        )
        assert found == sorted(
            (a, b, c or "") for a, b, c in theirs.get_annotation_data_for_tier(tier)
        )
    write_annotations(one, tmp_path / "copy.eaf")
    ours = pympi.Elan.Eaf(str(tmp_path / "copy.eaf"))
    assert sorted(ours.get_annotation_data_for_tier("gestures")) == sorted(
        (a, b, c or "") for a, b, c in theirs.get_annotation_data_for_tier("gestures")
    )


def test_two_exports_of_a_boris_project_say_what_the_project_says(shared_data: Path) -> None:
    folder = shared_data / "labels" / "boris"
    project = {one.recording: one for one in read_annotations(folder / "test.boris", check=False)}
    (tabular,) = read_annotations(folder / "test_export_events_tabular.tsv")
    assert tabular.events == project["observation #1"].events
    (aggregated,) = read_annotations(folder / "test_export_aggregated_events_test_full_1.tsv")
    assert aggregated.events == project["observation #2"].events
    assert aggregated.duration_seconds == project["observation #2"].duration_seconds == 539.92
    # The project's own time budget: three bouts of subject1, 16.875 s in all.
    bouts = states(tabular, subject="subject1").intervals
    assert math.fsum(b.end_seconds - b.start_seconds for b in bouts) == pytest.approx(16.875)
    with pytest.raises(LabelError, match=r"row 12 \('live not paired'\): 's' .* has no end"):
        read_annotations(folder / "test.boris")


def test_a_night_of_sleep_is_scored_second_by_second(shared_data: Path) -> None:
    (night,) = read_annotations(shared_data / "labels" / "edf" / "SC4001EC-Hypnogram.edf")
    assert (night.duration_seconds, night.observed) == (86400, ((0, 79500),))
    assert night.started is not None
    assert night.started.isoformat() == "1989-04-24T16:13:00"
    assert read_labels(night.path, video="any.mp4").intervals[-1].end_seconds == 79500
    epochs = (shared_data / "labels" / "hypno_txt" / "14201_hypno.txt").read_text().split()
    (plain,) = read_annotations(
        shared_data / "labels" / "hypno_txt" / "14201_hypno.txt", epoch_seconds=30
    )
    track = states(plain)
    spread = [
        one.label
        for one in track.intervals
        for _ in np.arange(one.start_seconds, one.end_seconds, 30)
    ]
    assert spread == epochs


def test_real_tables_have_the_problems_that_they_have(shared_data: Path) -> None:
    folder = shared_data / "labels" / "rodent_three_raters"
    with pytest.raises(LabelError, match=r"row 5032 \('OFT_50_OS\.csv'\): 'NA' .* has no end"):
        read_annotations(folder / "OFT_labels.csv")
    several = read_annotations(folder / "EPM_labels.csv")
    overlaps = [p for one in several for p in problems(one) if p.kind == "overlap"]
    assert overlaps
    rows = (folder / "EPM_labels.csv").read_text().splitlines()
    for problem in overlaps:
        first, second = (rows[row - 1].split(";") for row in problem.rows)
        assert float(second[2]) < float(first[3])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("50salads/mapping.txt", "no column for the label"),
        ("boris/otx_parser_test.otx", "XML, but no file of ELAN"),
        ("boris/test_time_budget1.json", "JSON, but of no format"),
        ("edf/test_uneven_samp.edf", "without annotations"),
        ("nwb/1.0.3_nwbfile.nwb", "without labelled intervals"),
        ("actigraphy/example_01.AWD", "no column for the label"),
        ("actigraphy/test_sample.mtn", "XML, but no file of ELAN"),
        ("epic_tent/Synchronised_action_label.txt", "says no times"),
        ("breakfast_coffee/features/P03_cam01_P03_coffee.txt", "no column for the label"),
        ("actigraphy/example_01_sleepdiary.ods", "save it as CSV"),
        ("mouse_homecage_abode/annotations.csv", "no column for the label"),
        ("tcn_predictions/GTEA/video_SVM/1.mat", "not a text file"),
    ],
)
def test_real_files_of_other_kinds_are_refused_in_one_line(
    name: str, says: str, shared_data: Path
) -> None:
    with pytest.raises(LabelError, match=says) as caught:
        read_annotations(shared_data / "labels" / name, fps=25, epoch_seconds=30)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
