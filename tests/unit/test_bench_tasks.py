"""T1 to T7 of the memory benchmark: labels by hand, by a slow reader, and their statistics."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vigilia.bench import TASKS, Stream, Task
from vigilia.bench.sprites import FRAMED, sprite
from vigilia.bench.tasks import capacity as capacity_task
from vigilia.bench.tasks.capacity import capacity
from vigilia.bench.tasks.counter import EVENT, RESET, counter
from vigilia.bench.tasks.delayed_match import PROBES, SAMPLES, delayed_match
from vigilia.bench.tasks.distractors import DISTRACTOR_SPRITES
from vigilia.bench.tasks.last_event import CUES, last_event
from vigilia.bench.tasks.order import MARKS, START, order
from vigilia.bench.tasks.trend import trend

DETERMINISTIC = ["T1", "T2", "T3", "T4", "T5", "T6", "T7"]
CLIPS = 10_000


def shown(*symbols: int) -> np.ndarray:
    return np.array(symbols, np.int16)


@pytest.fixture(scope="module")
def streams() -> dict[str, list[Stream]]:
    """Sixteen test streams of every task."""
    return {
        name: [task.draw(CLIPS, np.random.default_rng([seed, 77])) for seed in range(16)]
        for name, task in TASKS.items()
    }


def pooled(streams: list[Stream]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols, labels and ages of all scored clips."""
    return (
        np.concatenate([s.symbols[s.scored] for s in streams]),
        np.concatenate([s.labels[s.scored] for s in streams]),
        np.concatenate([s.ages[s.scored] for s in streams]),
    )


def test_there_are_eight_tasks() -> None:
    assert list(TASKS) == [f"T{number}" for number in range(1, 9)]
    assert all(task.name == name for name, task in TASKS.items())


def test_last_event_by_hand() -> None:
    labels, ages = last_event(shown(0, CUES[2], 0, 0, CUES[0], CUES[3], 0))
    assert labels.tolist() == [-1, 2, 2, 2, 0, 3, 3]
    assert ages.tolist() == [-1, 0, 1, 2, 0, 0, 1]


def test_a_distractor_is_no_event() -> None:
    labels, ages = last_event(shown(DISTRACTOR_SPRITES[0], CUES[1], DISTRACTOR_SPRITES[5], 0))
    assert labels.tolist() == [-1, 1, 1, 1]
    assert ages.tolist() == [-1, 0, 1, 2]


def test_delayed_match_by_hand() -> None:
    labels, ages = delayed_match(
        shown(PROBES[0], SAMPLES[1], 0, PROBES[1], 0, PROBES[2], SAMPLES[2], PROBES[2])
    )
    assert labels.tolist() == [-1, -1, -1, 1, -1, 0, -1, 1]
    assert ages.tolist() == [-1, -1, -1, 2, -1, 4, -1, 1]


def test_order_by_hand() -> None:
    a, b = MARKS
    labels, ages = order(shown(START, 0, a, 0, b, 0, b, START, b, b, a, a, START, a))
    assert labels.tolist() == [-1, -1, -1, -1, 0, 0, 0, -1, -1, -1, 1, 1, -1, -1]
    assert ages.tolist() == [-1, -1, -1, -1, 0, 1, 2, -1, -1, -1, 0, 1, -1, -1]


def test_counter_by_hand() -> None:
    labels, ages = counter(shown(0, EVENT, EVENT, 0, EVENT, EVENT, RESET, 0, EVENT))
    assert labels.tolist() == [-1, 1, 2, 2, 0, 1, 0, 0, 1]
    assert ages.tolist() == [-1, 0, 0, 1, 0, 0, 0, 1, 0]
    assert counter(shown(EVENT, EVENT, EVENT), modulus=2)[0].tolist() == [1, 0, 1]


def test_capacity_by_hand() -> None:
    cues, queries = capacity_task.CUES, capacity_task.QUERIES
    labels, ages = capacity(
        shown(cues[0][1], queries[1], cues[1][0], 0, queries[0], queries[1], cues[0][0], queries[0])
    )
    assert labels.tolist() == [-1, -1, -1, -1, 1, 0, -1, 0]
    assert ages.tolist() == [-1, -1, -1, -1, 4, 3, -1, 1]


def test_trend_by_hand() -> None:
    levels = np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.0], np.float32)
    labels, ages = trend(levels, window=4, margin=0.03)
    assert labels.tolist() == [-1, -1, -1, 1, 1, -1, 0]
    assert ages.tolist() == [-1, -1, -1, 3, 3, -1, 3]
    assert trend(levels[:3], window=4)[0].tolist() == [-1, -1, -1]


def read_slowly(name: str, symbols: list[int]) -> list[tuple[int, int]]:
    """Label and age of every clip, by looking back from each clip; -1, -1 where not scored."""
    answers = []
    for now, symbol in enumerate(symbols):
        past = [(now - clip, symbols[clip]) for clip in range(now, -1, -1)]
        answer = (-1, -1)
        if name in ("T1", "T6"):
            answer = next(((CUES.index(s), age) for age, s in past if s in CUES), answer)
        elif name == "T2" and symbol > FRAMED:
            found = [(age, s) for age, s in past if s in SAMPLES]
            if found:
                answer = (int(found[0][1] == symbol - FRAMED), found[0][0])
        elif name == "T3":
            stretch = []
            for age, s in past:
                if s == START:
                    break
                stretch.insert(0, (age, s))
            firsts = {s: max(a for a, x in stretch if x == s) for _, s in stretch if s in MARKS}
            if len(firsts) == 2:
                answer = (int(firsts[MARKS[1]] > firsts[MARKS[0]]), min(firsts.values()))
        elif name == "T4":
            events = [(age, s) for age, s in past if s]
            count = 0
            for _, s in events:
                if s == RESET:
                    break
                count += 1
            if events:
                answer = (count % 3, events[0][0])
        elif name == "T5" and symbol in capacity_task.QUERIES:
            cell = capacity_task.CUES[capacity_task.QUERIES.index(symbol)]
            answer = next(((cell.index(s), age) for age, s in past if s in cell), answer)
        answers.append(answer)
    return answers


@pytest.mark.parametrize("name", ["T1", "T2", "T3", "T4", "T5", "T6"])
@pytest.mark.parametrize("gap", [1.0, 12.0, 220.0])
def test_labels_agree_with_a_slow_reader(name: str, gap: float) -> None:
    for seed in range(3):
        stream = TASKS[name].draw(300, np.random.default_rng(seed), gap=gap)
        expected = np.array(read_slowly(name, stream.symbols.tolist()))
        np.testing.assert_array_equal(stream.labels, expected[:, 0])
        np.testing.assert_array_equal(stream.ages, expected[:, 1])


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_full_memory_is_always_right(name: str, streams: dict[str, list[Stream]]) -> None:
    for stream in streams[name]:
        answers = TASKS[name].oracle(stream)
        assert answers.shape == (CLIPS,)
        assert stream.scored.sum() > 500
        np.testing.assert_array_equal(answers[stream.scored], stream.labels[stream.scored])


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_oracle_sees_no_labels(name: str) -> None:
    stream = TASKS[name].draw(500, np.random.default_rng(0))
    blind = Stream(stream.symbols, stream.labels * 0, stream.ages * 0, stream.levels)
    np.testing.assert_array_equal(TASKS[name].oracle(blind), TASKS[name].oracle(stream))


@pytest.mark.parametrize("name", TASKS)
def test_answers_depend_on_the_past_alone(name: str) -> None:
    task = TASKS[name]
    stream = task.draw(400, np.random.default_rng(5), gap=15.0)
    part = Stream(*(getattr(stream, field)[:250] for field in vars(stream)))
    np.testing.assert_array_equal(task.oracle(part, gap=15.0), task.oracle(stream, gap=15.0)[:250])


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_draws_the_same_stream_and_another_a_different_one(name: str) -> None:
    one, same, other = (TASKS[name].draw(500, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for field in vars(one):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert (one.symbols != other.symbols).any() or (one.levels != other.levels).any()


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("clips", [1, 2, 5, 64])
@pytest.mark.parametrize("gap", [1.0, 5.0, 100.0])
def test_short_streams_can_be_drawn(name: str, clips: int, gap: float) -> None:
    for seed in range(5):
        assert len(TASKS[name].draw(clips, np.random.default_rng(seed), gap=gap)) == clips


@pytest.mark.parametrize("name", TASKS)
def test_a_training_stream_of_64_clips_has_scored_clips(name: str) -> None:
    for gap in (8.0, TASKS[name].gap):
        drawn = [TASKS[name].draw(64, np.random.default_rng(seed), gap=gap) for seed in range(100)]
        scored = sum(int(stream.scored.sum()) for stream in drawn)
        assert scored > 100 * 3


@pytest.mark.parametrize("name", TASKS)
def test_classes_are_balanced(name: str, streams: dict[str, list[Stream]]) -> None:
    _, labels, _ = pooled(streams[name])
    shares = np.bincount(labels, minlength=len(TASKS[name].classes)) / len(labels)
    assert len(shares) == len(TASKS[name].classes)
    assert shares.min() > 0.72 / len(shares)


@pytest.mark.parametrize("name", ["T1", "T2", "T3", "T4", "T5", "T6"])
def test_ages_pass_twenty_minutes_in_every_test_stream(
    name: str, streams: dict[str, list[Stream]]
) -> None:
    for stream in streams[name]:
        assert stream.ages.max() >= 600
    assert np.mean(pooled(streams[name])[2] >= 600) > 0.1


@pytest.mark.parametrize("name", ["T1", "T2", "T3", "T4", "T5", "T6"])
def test_a_shorter_gap_makes_cues_younger(name: str) -> None:
    ages = [
        pooled([TASKS[name].draw(5000, np.random.default_rng(0), gap=gap)])[2].mean()
        for gap in (8.0, 30.0, 120.0)
    ]
    assert ages[0] < ages[1] / 2 < ages[2] / 4


@pytest.mark.parametrize(
    ("name", "chance"), [("T1", 0.25), ("T2", 0.5), ("T3", 0.5), ("T5", 0.5), ("T6", 0.25)]
)
def test_without_memory_only_chance_is_left(
    name: str, chance: float, streams: dict[str, list[Stream]]
) -> None:
    ceiling = TASKS[name].memoryless_ceiling(streams[name], min_age=1)
    # The majority over some hundred independent cues lies a little above chance.
    assert chance <= ceiling < chance + 0.06


def test_number_of_symbols_is_what_streams_show(streams: dict[str, list[Stream]]) -> None:
    for name, task in TASKS.items():
        seen = np.unique(np.concatenate([stream.symbols for stream in streams[name]]))
        assert len(seen[seen > 0]) == task.symbols


def test_only_the_trend_uses_the_level(streams: dict[str, list[Stream]]) -> None:
    for name, drawn in streams.items():
        assert all((stream.levels == 0.5).all() for stream in drawn) == (name != "T7")


def test_half_of_the_probes_match_whichever_they_are(streams: dict[str, list[Stream]]) -> None:
    symbols, labels, _ = pooled(streams["T2"])
    for probe in PROBES:
        assert labels[symbols == probe].mean() == pytest.approx(0.5, abs=0.05)


def test_marks_counted_since_the_start_do_not_tell_their_order(
    streams: dict[str, list[Stream]],
) -> None:
    bags: dict[tuple[int, ...], Counter[int]] = {}
    for stream in streams["T3"]:
        counts = [0, 0]
        for symbol, label in zip(stream.symbols.tolist(), stream.labels.tolist(), strict=True):
            if symbol == START:
                counts = [0, 0]
            elif symbol in MARKS:
                counts[MARKS.index(symbol)] += 1
            if label >= 0:
                bags.setdefault(tuple(counts), Counter())[label] += 1
    total = sum(sum(bag.values()) for bag in bags.values())
    assert sum(max(bag.values()) for bag in bags.values()) / total < 0.56
    assert len(bags) >= 5


def test_the_mark_shown_last_tells_the_order_only_at_first(
    streams: dict[str, list[Stream]],
) -> None:
    right = []
    for stream in streams["T3"]:
        repeated = False
        last, seen = -1, set()
        for symbol, label in zip(stream.symbols.tolist(), stream.labels.tolist(), strict=True):
            if symbol == START:
                repeated, seen = False, set()
            elif symbol in MARKS:
                repeated = repeated or len(seen) == 2
                seen.add(symbol)
                last = MARKS.index(symbol)
            if repeated:
                right.append(label == 1 - last)
    assert len(right) > 10_000
    assert 0.42 < np.mean(right) < 0.58


def test_every_second_clip_of_t6_shows_a_distractor(streams: dict[str, list[Stream]]) -> None:
    for stream in streams["T6"]:
        assert np.isin(stream.symbols, DISTRACTOR_SPRITES).mean() == pytest.approx(0.5, abs=0.03)


def test_distractors_share_shapes_and_colours_with_cues_but_are_none() -> None:
    assert not set(DISTRACTOR_SPRITES) & set(CUES)
    assert sprite("cross", "green") in DISTRACTOR_SPRITES
    assert sprite("disc", "red") in DISTRACTOR_SPRITES
    assert len(DISTRACTOR_SPRITES) == 20


def test_each_cell_is_set_and_asked_for_equally_often(streams: dict[str, list[Stream]]) -> None:
    symbols = np.concatenate([stream.symbols for stream in streams["T5"]])
    for group, slack in ((capacity_task.CUES, 0.2), (capacity_task.QUERIES, 0.05)):
        counts = np.array([np.isin(symbols, sprites).sum() for sprites in group])
        assert (np.abs(counts / counts.mean() - 1) < slack).all()


def test_the_trend_lasts_minutes_and_a_single_level_tells_little(
    streams: dict[str, list[Stream]],
) -> None:
    task, drawn = TASKS["T7"], streams["T7"]
    assert 0.5 < task.memoryless_ceiling(drawn) < 0.72
    runs = []
    for stream in drawn:
        turns = np.flatnonzero(np.diff(stream.labels[stream.scored]))
        runs.extend(np.diff(turns).tolist())
    assert 50 < np.mean(runs) < 150
    assert all(stream.scored.mean() > 0.7 for stream in drawn)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_twins_are_streams_of_the_task_in_which_no_answer_is_more_frequent(task: Task) -> None:
    stream = task.draw(600, np.random.default_rng(3), gap=12)
    twins = task.twins(stream)
    assert all(np.array_equal(a, b) for a, b in zip(values(twins[0]), values(stream), strict=True))
    for twin in twins if task.name != "T8" else ():
        scored = twin.scored
        assert np.array_equal(task.oracle(twin)[scored], twin.labels[scored])
    counts = np.bincount(np.concatenate([twin.labels[twin.scored] for twin in twins]))
    if task.name not in ("T2", "T8"):  # T2's halves come by chance, T8's states last as they do
        assert counts.max() - counts.min() <= 0.01 * counts.sum()


def values(stream: Stream) -> tuple[np.ndarray, ...]:
    return stream.symbols, stream.labels, stream.ages, stream.levels


def test_the_twins_of_delayed_match_show_each_sprite_equally_often() -> None:
    twins = TASKS["T2"].twins(TASKS["T2"].draw(600, np.random.default_rng(3), gap=12))
    shown = np.bincount(np.concatenate([twin.symbols for twin in twins]))
    assert len(set(shown[list(PROBES)].tolist())) == len(set(shown[list(SAMPLES)].tolist())) == 1
