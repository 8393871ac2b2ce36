"""The segmenter: three mechanisms by hand, and the properties that hold for any input."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from vigilia.errors import CheckpointError, OptionError
from vigilia.timeline import Scores, Segment, SegmenterOptions, SegmenterState, segment
from vigilia.timeline.segmenter import current, finish, init_segmenter, push, push_gap

CLASSES = ("a", "b", "c")
OPTIONS = [
    SegmenterOptions(),
    SegmenterOptions(smooth_seconds=2.5),
    SegmenterOptions(hysteresis=0.3),
    SegmenterOptions(minimum_bout_seconds=4),
    SegmenterOptions(smooth_seconds=1.5, hysteresis=0.1, minimum_bout_seconds=3),
]


def scores_of(values: list[float]) -> Scores:
    """Two classes, second by second: the probability of the first is given."""
    first = np.array(values)
    seconds = np.arange(len(values))
    return Scores(seconds, seconds + 1, np.stack([first, 1 - first], 1))


def spans(segments: tuple[Segment, ...]) -> list[tuple[float, float, str | None]]:
    return [(one.start_seconds, one.end_seconds, one.label) for one in segments]


def random_scores(seed: int, count: int = 200, holes: bool = True) -> Scores:
    random = np.random.default_rng(seed)
    edges = np.cumsum(random.uniform(0.2, 1.8, count + 1))
    keep = random.random(count) > (0.05 if holes else -1)
    centres = np.repeat(random.dirichlet(np.ones(3), count // 10 + 1), 10, axis=0)[:count]
    probabilities = centres + random.dirichlet(np.ones(3), count)
    return Scores(edges[:-1][keep], edges[1:][keep], probabilities[keep] / 2)


def test_without_options_the_most_probable_class_wins_each_interval() -> None:
    scores = scores_of([0.9, 0.8, 0.2, 0.6])
    assert spans(segment(scores, "ab")) == [(0, 2, "a"), (2, 3, "b"), (3, 4, "a")]
    confidences = [one.confidence for one in segment(scores, "ab")]
    assert confidences == pytest.approx([0.85, 0.8, 0.6])
    random = random_scores(0, holes=False)
    segments = segment(random, CLASSES)
    for middle, row in zip(
        (random.start_seconds + random.end_seconds) / 2, random.probabilities, strict=True
    ):
        label = next(s.label for s in segments if s.start_seconds <= middle < s.end_seconds)
        assert label == CLASSES[int(row.argmax())]


def test_smoothing_is_an_exponential_mean_over_time() -> None:
    # A time constant of 1 / ln 2 halves the past each second; b has 0, 0.5, 0.25, 0.625, 0.8125.
    options = SegmenterOptions(smooth_seconds=1 / np.log(2))
    scores = scores_of([1.0, 0.0, 1.0, 0.0, 0.0])
    assert spans(segment(scores, "ab", options)) == [(0, 3, "a"), (3, 5, "b")]


def test_smoothing_counts_time_and_not_intervals() -> None:
    options = SegmenterOptions(smooth_seconds=2)
    state = init_segmenter(options, "ab")
    once, _ = push(push(state, 0, 1, [1, 0])[0], 1, 3, [0, 1])
    twice, _ = push(push(push(state, 0, 1, [1, 0])[0], 1, 2, [0, 1])[0], 2, 3, [0, 1])
    assert once.smoothed == pytest.approx(twice.smoothed)


def test_hysteresis_asks_for_a_lead() -> None:
    # b leads by 0.1, 0.2 and 0.4: only the last is more than 0.3. Then a by 0.2: not enough.
    scores = scores_of([0.9, 0.45, 0.4, 0.3, 0.6])
    options = SegmenterOptions(hysteresis=0.3)
    assert spans(segment(scores, "ab", options)) == [(0, 3, "a"), (3, 5, "b")]


def test_of_equals_the_state_that_runs_stays() -> None:
    scores = scores_of([0.25, 0.5, 0.5, 0.75, 0.5])
    assert spans(segment(scores, "ab")) == [(0, 3, "b"), (3, 5, "a")]
    wide = scores_of([0.75, 0.375])  # b leads by exactly 0.25
    assert len(segment(wide, "ab", SegmenterOptions(hysteresis=0.25))) == 1
    assert len(segment(wide, "ab", SegmenterOptions(hysteresis=0.24))) == 2


def test_a_hole_forgets_smoothing_and_candidates() -> None:
    options = SegmenterOptions(smooth_seconds=100, hysteresis=0.5, minimum_bout_seconds=50)
    state, _ = push(init_segmenter(options, "ab"), 0, 60, [1, 0])
    state, _ = push(state, 60, 61, [0, 1])
    state, closed = push(state, 70, 71, [0.4, 0.6])
    assert spans((*closed, *finish(state))) == [(0, 61, "a"), (61, 70, None), (70, 71, "b")]


def test_a_bout_shorter_than_the_minimum_is_dropped_and_a_longer_one_dated_back() -> None:
    scores = scores_of([1, 1, 0, 1, 1, 0, 0, 0, 1])
    options = SegmenterOptions(minimum_bout_seconds=3)
    segments = segment(scores, "ab", options)
    assert spans(segments) == [(0, 5, "a"), (5, 9, "b")]
    assert [one.confidence for one in segments] == pytest.approx([4 / 5, 3 / 4])


def test_until_it_is_confirmed_the_old_state_runs_on() -> None:
    state = init_segmenter(SegmenterOptions(minimum_bout_seconds=2), "ab")
    assert current(state) is None
    state, closed = push(state, 0, 1, [1, 0])
    state, more = push(state, 1, 2, [0, 1])
    assert closed + more == []
    assert current(state) == Segment(0, 2, "a", 0.5)
    state, closed = push(state, 2, 3, [0, 1])
    assert closed == [Segment(0, 1, "a", 1.0)]
    assert current(state) == Segment(1, 3, "b", 1.0)


def test_a_new_candidate_starts_its_own_count() -> None:
    state = init_segmenter(SegmenterOptions(minimum_bout_seconds=2), "abc")
    closed: list[Segment] = []
    for second, row in enumerate([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]):
        state, more = push(state, second, second + 1, row)
        closed += more
    assert [*closed, *finish(state)] == [Segment(0, 2, "a", 0.5), Segment(2, 4, "c", 1.0)]


def test_a_hole_ends_the_segment_and_is_not_a_state() -> None:
    state = init_segmenter(SegmenterOptions(), "ab")
    state, first = push(state, 0, 2, [0.75, 0.25])
    state, second = push_gap(state, 2, 3)
    state, third = push_gap(state, 3, 5)
    state, fourth = push(state, 5, 6, [0.75, 0.25])
    state, fifth = push(state, 8, 9, [0.25, 0.75])
    assert first + second + third + fourth + fifth + finish(state) == [
        Segment(0, 2, "a", 0.75),
        Segment(2, 5, None, 0.0),
        Segment(5, 6, "a", 0.75),
        Segment(6, 8, None, 0.0),
        Segment(8, 9, "b", 0.75),
    ]


def test_a_recording_may_begin_with_a_hole() -> None:
    state, _ = push_gap(init_segmenter(SegmenterOptions(), "ab"), 0, 8)
    state, closed = push(state, 8, 9, [0, 1])
    assert closed + finish(state) == [Segment(0, 8, None, 0.0), Segment(8, 9, "b", 1.0)]


@pytest.mark.parametrize("options", OPTIONS)
def test_segments_tile_the_recording_and_holes_are_where_no_scores_are(
    options: SegmenterOptions,
) -> None:
    for seed in range(5):
        scores = random_scores(seed)
        segments = segment(scores, CLASSES, options)
        assert segments[0].start_seconds == scores.start_seconds[0]
        assert segments[-1].end_seconds == scores.end_seconds[-1]
        for before, after in itertools.pairwise(segments):
            assert before.end_seconds == after.start_seconds
            assert before.label != after.label
        observed = sum(one.duration_seconds for one in segments if one.label)
        assert observed == pytest.approx(np.sum(scores.end_seconds - scores.start_seconds))


@pytest.mark.parametrize("options", OPTIONS)
def test_only_holes_and_ends_cut_a_bout_below_the_minimum(options: SegmenterOptions) -> None:
    for seed in range(5):
        segments = segment(random_scores(seed), CLASSES, options)
        for before, one, after in zip(segments, segments[1:], segments[2:], strict=False):
            if None not in (before.label, one.label, after.label):
                assert one.duration_seconds >= options.minimum_bout_seconds - 1e-6


@pytest.mark.parametrize("options", OPTIONS)
def test_confidence_is_the_mean_probability_of_the_label_over_the_segment(
    options: SegmenterOptions,
) -> None:
    scores = random_scores(7)
    durations = scores.end_seconds - scores.start_seconds
    for one in segment(scores, CLASSES, options):
        if one.label is None:
            assert one.confidence == 0
            continue
        inside = (scores.start_seconds >= one.start_seconds - 1e-9) & (
            scores.end_seconds <= one.end_seconds + 1e-9
        )
        column = scores.probabilities[inside, CLASSES.index(one.label)].astype(np.float64)
        mean = np.sum(column * durations[inside]) / one.duration_seconds
        assert one.confidence == pytest.approx(mean)


@pytest.mark.parametrize("options", OPTIONS)
def test_saving_and_loading_between_any_two_intervals_changes_no_bit(
    options: SegmenterOptions,
) -> None:
    scores = random_scores(3)
    state = init_segmenter(options, CLASSES)
    segments: list[Segment] = []
    sizes = []
    for start, end, row in zip(
        scores.start_seconds, scores.end_seconds, scores.probabilities, strict=True
    ):
        text = state.to_json()
        sizes.append(len(text))
        assert SegmenterState.from_json(text) == state
        state, closed = push(SegmenterState.from_json(text), start, end, row)
        segments += closed
    assert tuple(segments + finish(state)) == segment(scores, CLASSES, options)
    assert max(sizes) < 600


def test_what_is_final_never_depends_on_what_comes_later() -> None:
    scores = random_scores(5)
    whole = segment(scores, CLASSES, OPTIONS[-1])
    for cut in (20, 77, 150):
        part = Scores(
            scores.start_seconds[:cut], scores.end_seconds[:cut], scores.probabilities[:cut]
        )
        closed = segment(part, CLASSES, OPTIONS[-1])[:-1]
        assert closed == whole[: len(closed)]


def test_rounding_between_intervals_is_no_hole() -> None:
    state, _ = push(init_segmenter(SegmenterOptions(), "ab"), 0.1, 0.1 + 0.2, [1, 0])
    state, closed = push(state, 0.3, 0.4, [1, 0])
    assert closed == []
    assert current(state) == Segment(0.1, 0.4, "a", pytest.approx(1.0))


def test_wrong_input_is_refused() -> None:
    state, _ = push(init_segmenter(SegmenterOptions(), "ab"), 0, 1, [1, 0])
    for arguments in [(0.5, 2, [1, 0]), (1, 1, [1, 0]), (1, 2, [1]), (1, 2, [np.nan, 1])]:
        with pytest.raises(OptionError):
            push(state, *arguments)
    with pytest.raises(OptionError, match="class"):
        init_segmenter(SegmenterOptions(), ())
    with pytest.raises(OptionError, match="hysteresis"):
        SegmenterOptions(hysteresis=1.5)
    with pytest.raises(OptionError, match="smooth_seconds"):
        replace(SegmenterOptions(), smooth_seconds=-1)
    for text in ("", "{}", "[]", '{"smoothed": null, "options": {}, "classes": [], "x": 1}'):
        with pytest.raises(CheckpointError):
            SegmenterState.from_json(text)
