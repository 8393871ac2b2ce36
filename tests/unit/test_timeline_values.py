"""The timeline as a value: what it accepts, and what it says about itself."""

from __future__ import annotations

import numpy as np
import pytest

from vigilia.errors import OptionError
from vigilia.timeline import Scores, Segment, Timeline

SEGMENTS = (
    Segment(10.0, 14.0, "a", 0.9),
    Segment(14.0, 15.4, None, 0.0),
    Segment(15.4, 16.0, "b", 0.8),
    Segment(16.0, 18.5, "a", 0.7),
)
TIMELINE = Timeline(("a", "b", "c"), SEGMENTS, source="/pens/7/night.mp4")


def test_a_moment_has_the_label_of_the_segment_that_holds_it() -> None:
    moments = [9.9, 10.0, 13.999, 14.0, 15.4, 15.999, 16.0, 18.499, 18.5]
    assert [TIMELINE.label_at(moment) for moment in moments] == [
        *(None, "a", "a", None, "b", "b", "a", "a", None)
    ]


def test_a_cell_of_the_grid_has_the_label_that_covers_most_of_it() -> None:
    seconds, labels = TIMELINE.labels_on_grid()
    assert seconds.tolist() == [10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert labels == ["a", "a", "a", "a", None, "b", "a", "a", "a"]


def test_the_grid_agrees_with_looking_at_moments() -> None:
    random = np.random.default_rng(0)
    edges = np.concatenate([[0], np.cumsum(random.integers(1, 9, 60))]).tolist()
    labels = [["a", "b", "c", None][i] for i in random.integers(0, 4, 60)]
    segments = [
        Segment(start, end, label, 0.5)
        for start, end, label in zip(edges, edges[1:], labels, strict=False)
    ]
    timeline = Timeline(("a", "b", "c"), tuple(segments))
    seconds, on_grid = timeline.labels_on_grid(0.5)
    assert on_grid == [timeline.label_at(moment + 0.25) for moment in seconds]


def test_the_summary_counts_by_hand() -> None:
    summary = TIMELINE.summary()
    a, b, c = summary.classes
    assert (a.seconds, a.bouts, a.mean_bout_seconds, a.latency_seconds) == (6.5, 2, 3.25, 0.0)
    assert a.median_bout_seconds == 3.25
    assert b.seconds == pytest.approx(0.6)
    assert b.latency_seconds == pytest.approx(5.4)
    assert (c.seconds, c.bouts, c.latency_seconds) == (0.0, 0, None)
    assert a.share == pytest.approx(6.5 / 7.1)
    assert summary.unobserved_share == pytest.approx(1.4 / 8.5)
    assert summary.observed_seconds + summary.unobserved_seconds == pytest.approx(8.5)


def test_the_source_is_a_file_name_without_folders_or_passwords() -> None:
    assert TIMELINE.source == "night.mp4"
    assert Timeline((), (), source="C:\\pens\\n.avi").source == "n.avi"
    assert Timeline((), (), source="rtsp://me:secret@cam/live").source == "live"


def test_printing_is_short_and_says_what_matters() -> None:
    text = repr(TIMELINE)
    assert "night.mp4" in text
    assert "a 92%" in text
    assert "unobserved 16.5%" in text
    assert "\n" not in text
    assert len(text) < 200


def test_an_empty_timeline_has_no_length() -> None:
    empty = Timeline(("a",), ())
    assert empty.duration_seconds == 0
    assert empty.labels_on_grid()[1] == []
    assert empty.summary().unobserved_share == 0
    assert empty.label_at(0) is None


@pytest.mark.parametrize(
    ("classes", "segments", "says"),
    [
        (("a", "a"), (), "twice"),
        (("unobserved",), (), "hole"),
        (("a\nb",), (), "one line"),
        ((" a",), (), "one line"),
        (("a",), (Segment(0, 1, "b", 1),), "none of the classes"),
        (("a",), (Segment(1, 1, "a", 1),), "end after"),
        (("a",), (Segment(0, 2, "a", 1), Segment(1, 3, "a", 1)), "overlap"),
        (("a",), (Segment(0, 1, "a", 1), Segment(2, 3, "a", 1)), "hole"),
    ],
)
def test_what_is_no_timeline_cannot_be_made(
    classes: tuple[str, ...], segments: tuple[Segment, ...], says: str
) -> None:
    with pytest.raises(OptionError, match=says):
        Timeline(classes, segments)


@pytest.mark.parametrize(
    ("starts", "ends", "probabilities"),
    [
        ([0, 1], [1, 2], [[1.0]]),
        ([0, 1], [1.5, 2], [[1.0], [1.0]]),
        ([0], [0], [[1.0]]),
        ([0], [1], [[np.nan]]),
        ([0], [1], [1.0]),
    ],
)
def test_scores_check_their_shapes_and_order(
    starts: list[float], ends: list[float], probabilities: list[list[float]]
) -> None:
    with pytest.raises(OptionError):
        Scores(np.array(starts), np.array(ends), np.array(probabilities))
