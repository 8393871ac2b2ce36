"""Annotations of real recordings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from vigilia.timeline import check_labels, labels_for, read_label_table, read_labels


def test_hand_labels_in_frames_cover_the_recording(shared_data: Path) -> None:
    path = shared_data / "continuous" / "exercise_39s.hand.csv"
    labels = read_labels(path, fps=25)
    check_labels(labels, classes=("arms", "lunge", "wide_stance"), duration_seconds=39.3)
    assert labels.intervals[0].label == "lunge"
    assert labels.intervals[0].end_seconds == 36 / 25


def test_frame_by_frame_labels_give_each_frame_its_own_label(shared_data: Path) -> None:
    for name in ("fly_pair_120s", "mabe_triplet_60s"):
        path = shared_data / "continuous" / f"{name}.derived.csv"
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        labels = read_labels(path)
        check_labels(labels, duration_seconds=float(rows[-1]["time_s"]))
        moments = np.array([float(row["time_s"]) for row in rows])
        found = labels_for(labels, moments + 0.001, moments + 0.02, labels.classes)
        assert [labels.classes[code] for code in found] == [row["state"] for row in rows]
        assert len(labels.intervals) < 60


def test_one_table_labels_ninety_two_recordings(shared_data: Path) -> None:
    path = shared_data / "clips" / "pushups" / "frames.csv"
    table = read_label_table(path, fps=25, label_column="phase")
    assert len(table) == 92
    assert all({*labels.classes} <= {"up", "down"} for labels in table.values())
    assert table["wrong8.mp4"].intervals[-1].end_seconds == 3.0
    assert read_labels(path, video="wrong8", fps=25, label_column="form").classes == ("wrong",)
