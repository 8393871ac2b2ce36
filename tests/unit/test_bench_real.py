"""The benchmark on real pixels: what is drawn, what is kept apart, what is counted, what is run."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vigilia.bench.cells import Lesson, answers, learn_from
from vigilia.bench.contenders import CONTENDERS
from vigilia.bench.eyes import make_model
from vigilia.bench.real import asking, continuous, eyes
from vigilia.bench.real.answering import answers_after, history_of
from vigilia.bench.real.continuous import RECORDINGS, cut_recording
from vigilia.bench.real.footage import OTHER, Part, cut, read_clips
from vigilia.bench.real.linear import fit_linear, small_grey
from vigilia.bench.real.memories import MEMORIES
from vigilia.bench.real.questions import QUESTIONS, Size
from vigilia.bench.real.report import continuous_table, joined_table, markdown, write_report
from vigilia.bench.real.run import RealPlan, bench_real, read_real_results
from vigilia.bench.real.scores import (
    accuracy,
    balanced_accuracy,
    bouts,
    memoryless_accuracy,
    tally,
)
from vigilia.bench.real.shelf import Shelf, join, places, windows
from vigilia.bench.real.streams import BOUT_CLIPS, draw_ago, draw_last
from vigilia.bench.seen import SeenStreams
from vigilia.cli import main
from vigilia.errors import InputError, OptionError

NOISE = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3)).astype(np.uint8)
PARTS = (Part("a", 0, NOISE), Part("b", 1, NOISE), Part("c", 1, NOISE), Part("rest", -1, NOISE))
CLASS = np.array([part.label for part in PARTS])


def test_the_last_action_is_asked_about_and_its_age_counts_from_its_end() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        stream = draw_last(PARTS, 80, random, gap=9.0)
        last = -1
        for clip in range(80):
            last = clip if CLASS[stream.parts[clip]] >= 0 else last
            if last < 0:
                assert stream.labels[clip, 0] == stream.asked[clip, 0] == stream.ages[clip, 0] == -1
            else:
                assert stream.asked[clip, 0] == stream.parts[last]
                assert stream.labels[clip, 0] == CLASS[stream.parts[last]]
                assert stream.ages[clip, 0] == clip - last


def test_what_was_on_so_many_clips_ago_is_what_was_on_then() -> None:
    stream = draw_ago(PARTS, 60, np.random.default_rng(2), ago=(2, 7))
    assert (CLASS[stream.parts] >= 0).all()
    assert np.array_equal(stream.asked[2:, 0], stream.parts[:-2])
    assert np.array_equal(stream.labels[7:, 1], CLASS[stream.parts[:-7]])
    assert (stream.labels[:7, 1] == -1).all()
    assert (stream.ages[7:] == (2, 7)).all()
    changes = np.flatnonzero(np.diff(CLASS[stream.parts])) + 1
    lengths = np.diff(changes)
    assert lengths.min() >= BOUT_CLIPS[0]
    assert lengths.max() <= BOUT_CLIPS[1]


def test_no_frame_is_learned_from_and_tested_on() -> None:
    numbered = np.arange(40, dtype=np.uint8)[:, None, None, None]
    footage = cut(
        [
            ("one", "run", numbered),
            ("first", "wave", numbered[:6]),
            ("second", "wave", numbered[:7]),
            ("short", "hop", numbered[:15]),
        ],
        [("street", numbered)],
    )
    assert footage.classes == ("run", "wave")
    assert footage.left_out == ("short",)
    train = {part.name: part for part in footage.train}
    test = {part.name: part for part in footage.test}
    assert set(train) == {"one", "first", "street"}
    assert set(test) == {"one", "second", "street"}
    assert train["one"].frames.ravel().tolist() == list(range(24))  # the first 60 %
    assert test["one"].frames.ravel().tolist() == list(range(24, 40))
    assert [part.other_recording for part in footage.test] == [False, True, False]
    assert test["street"].label == -1


def test_clips_begin_at_every_frame_and_short_parts_repeat_their_first() -> None:
    numbered = np.arange(10, dtype=np.uint8)[:, None, None, None]
    assert windows(numbered)[:, :, 0, 0, 0].tolist() == [
        list(range(start, start + 8)) for start in range(3)
    ]
    assert windows(numbered[:6])[:, :, 0, 0, 0].tolist() == [[0, 0, 0, 1, 2, 3, 4, 5]]


@functools.cache
def shelf() -> Shelf:
    """Clips as perfect eyes see them: the pooled features are a code of the class."""
    code = torch.randn(4, 112, generator=torch.Generator().manual_seed(0))
    count = np.array([len(windows(part.frames)) for part in PARTS])
    labels = np.repeat([part.label for part in PARTS], count)
    random = torch.Generator().manual_seed(1)
    return Shelf(
        tokens=torch.randn(len(labels), 4, 2, 2, 96, generator=random).half(),
        pooled=code[torch.from_numpy(labels)],
        named=labels,
        first=np.cumsum(count) - count,
        count=count,
    )


def test_a_joined_stream_shows_the_clips_of_its_parts_in_turn() -> None:
    stream = draw_ago(PARTS, 50, np.random.default_rng(3), ago=(1,))
    kept = shelf()
    where = places(kept, stream)
    assert (
        (where >= kept.first[stream.parts]) & (where < (kept.first + kept.count)[stream.parts])
    ).all()
    same = np.diff(stream.parts) == 0
    steps = np.diff(where)[same & (np.diff(stream.frames) == 8)]
    assert set(steps.tolist()) <= {8, 8 - 53}  # 53 clips in 60 frames, then from the beginning
    seen = join(kept, [stream])
    assert torch.equal(seen.pooled[0], kept.pooled[where])
    assert np.array_equal(seen.labels[0].numpy(), stream.labels)


def drawn(seed: int, streams: int, clips: int) -> SeenStreams:
    random = np.random.default_rng(seed)
    return join(shelf(), [draw_last(PARTS, clips, random, gap=6.0) for _ in range(streams)])


def test_histories_are_own_foreign_or_out_of_order() -> None:
    seen = drawn(0, 3, 20)
    assert history_of(seen, "own", 0) is seen
    foreign = history_of(seen, "foreign", 0)
    assert torch.equal(foreign.pooled[1], seen.pooled[0])
    shuffled = history_of(seen, "shuffled", 0)
    assert not torch.equal(shuffled.tokens, seen.tokens)
    assert torch.equal(shuffled.pooled.sort(1).values, seen.pooled.sort(1).values)
    with pytest.raises(OptionError, match="two streams"):
        history_of(drawn(0, 1, 5), "foreign", 0)
    with pytest.raises(OptionError, match="own, foreign, shuffled"):
        history_of(seen, "borrowed", 0)


def test_a_memory_learns_what_none_cannot_and_the_controls_fail() -> None:
    torch.manual_seed(0)
    sight = make_model(("x", "y"), "none", {}).eval()
    test = drawn(9, 8, 60)
    reached = {}
    for name in ("none", "gru"):
        random = np.random.default_rng(1)

        def streams(lesson: Lesson, random: np.random.Generator = random) -> SeenStreams:
            return join(
                shelf(), [draw_last(PARTS, lesson.clips, random, lesson.gap) for _ in range(8)]
            )

        model = learn_from(
            streams,
            shelf().examples(),
            CONTENDERS[name],
            sight,
            name="last",
            classes=("x", "y"),
            seed=0,
            curriculum=(Lesson(8, 3.0, 40), Lesson(16, 5.0, 10)),
        )
        scored = test.labels >= 0
        for kind in ("own", "foreign", "shuffled"):
            said = answers_after(model, test, history_of(test, kind, 0))
            right = torch.from_numpy(said) == test.labels
            reached[name, kind] = float(right[scored].float().mean())
        plain = replace(test, labels=test.labels[..., 0])
        assert np.array_equal(answers_after(model, plain, plain), answers(model, plain))
    assert reached["gru", "own"] > 0.9
    assert reached["gru", "foreign"] < 0.8
    assert reached["gru", "shuffled"] < 0.8
    assert reached["none", "own"] < 0.8


def test_right_answers_are_counted_by_unit() -> None:
    numbers, labels = np.array([0, 0, 2, -1, 2]), np.array([1, 1, 0, 0, 0])
    units = tally(["a", "b", "c"], numbers, labels, np.array([True, False, True, True, True]))
    assert units == [
        {"name": "a", "label": 1, "right": 1, "clips": 2},
        {"name": "c", "label": 0, "right": 2, "clips": 2},
    ]
    found = accuracy([units, units])
    assert found is not None
    assert (found.value, found.low, found.high) == (0.75, 0.5, 1.0)
    assert accuracy([[]]) is None


def test_units_count_the_same_however_many_answers_they_hold() -> None:
    units = [
        {"name": "long", "label": 0, "right": 0, "clips": 1000},
        {"name": "short", "label": 1, "right": 3, "clips": 3},
    ]
    found = accuracy([units])
    assert found is not None
    assert found.value == 0.5


def test_balanced_accuracy_is_a_mean_over_classes_and_never_loses_one() -> None:
    units = [
        {"name": "1", "label": 0, "right": 10, "clips": 10},
        {"name": "2", "label": 0, "right": 0, "clips": 10},
        {"name": "3", "label": 1, "right": 1, "clips": 1},
    ]
    found = balanced_accuracy([units])
    assert found is not None
    assert (found.value, found.low, found.high) == (0.75, 0.5, 1.0)
    assert balanced_accuracy([[]]) is None


def test_bouts_are_runs_of_one_label() -> None:
    assert bouts(np.array([1, 1, -1, 1, 0, 0])).tolist() == [0, 0, -1, 2, 3, 3]


def test_the_memoryless_ceiling_answers_what_is_commonest_with_what_is_on() -> None:
    shown, asked = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    # With 0 on it says 0 (all of unit 0 right), with 1 on it says 1 (two thirds of unit 1).
    assert memoryless_accuracy(shown, asked, asked) == pytest.approx((1 + 2 / 3) / 2)


def test_the_linear_baseline_learns_what_is_linear_and_never_says_what_it_never_saw() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    frames = random.integers(0, 60, (200, 48, 48, 3)) + 90 * labels[:, None, None, None]
    x = small_grey(frames.astype(np.uint8))
    assert x.shape == (200, 576)
    said = fit_linear(x[:150], np.where(np.arange(150) < 5, -1, labels[:150]), 3)(x[150:])
    assert (said == labels[150:]).all()


Film = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, make_video: Film) -> Path:
    """A small copy of the shared folder: noise in place of actions."""
    home = tmp_path / "data"
    for number, name in enumerate(("a__1.mp4", "a__2.mp4", "b__1.mp4", "c__1.mp4")):
        make_video(home / "clips" / name, frames=60, seed=number)
    rows = ["file,class", "a__1.mp4,a", "a__2.mp4,a", "b__1.mp4,b", "c__1.mp4,c", "sub/x.gif,x"]
    (home / "clips" / "labels.csv").write_text("\n".join(rows) + "\n")
    for number, name in enumerate(OTHER):
        make_video(home / "continuous" / name, frames=50, seed=10 + number)
    make_video(home / "continuous" / RECORDINGS["fly"].video, frames=160, seed=20)
    with (home / "continuous" / RECORDINGS["fly"].labels).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["frame", "time_s", "state"])
        table.writerows([k, k / 8, ("still", "moving")[k // 16 % 2]] for k in range(160))
    return home


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs as a whole is to run, not to learn."""
    for module in (asking, continuous, eyes):
        monkeypatch.setattr(module, "ROWS", 2)


PLAN = RealPlan(
    questions=("last", "ago", "fly"),
    memories=("none", "fam", "foreign"),
    seeds=(0,),
    size=Size(streams=2, clips=70, lessons=0.01),
)


def test_a_run_that_was_killed_does_only_what_is_missing(folder: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", []
    first = bench_real(PLAN, folder, out, on_update=lambda update: told.append(update))
    assert [(one["question"], one["memory"]) for one in first] == [
        *(("last", name) for name in (asking.EYES, "none", "fam", "foreign")),
        *(("ago", name) for name in (asking.EYES, "none", "fam", "foreign")),
        *(("fly", name) for name in ("majority", "linear", "none", "fam")),
    ]
    assert (told[-1].done, told[-1].total) == (12, 12)
    assert first[0]["classes"] == 3
    assert first[0]["other_recordings"] == ["a__2.mp4"]
    assert [entry["low_seconds"] for entry in first[4]["asked"]] == [10.0, 30.0, 60.0, 120.0]
    (out / "last-fam-0.json").unlink()
    told.clear()
    again = bench_real(PLAN, folder, out, on_update=lambda update: told.append(update))
    assert [update.told.split(":")[0] for update in told] == ["last fam seed 0"]
    for one, other in zip(first, again, strict=True):  # the same seed gives the same figures
        assert one | {"processor_seconds": 0} == other | {"processor_seconds": 0}
    assert read_real_results(PLAN, out) == again
    # All results there: the recordings are not even looked at.
    (folder / "clips" / "labels.csv").unlink()
    assert bench_real(PLAN, folder, out) == again
    check_report(again, out)


def check_report(results: list[dict], out: Path) -> None:
    rows = joined_table(results, "ago")
    assert rows[0] == ["memory", "10 s", "30 s", "60 s", "120 s", "others, to 58 s"]
    assert [row[0] for row in rows[1:]] == ["none", "fam", "foreign", "eyes", "memoryless best"]
    units = results[5]["asked"][0]["units"]
    expected = 100 * np.mean([unit["right"] / unit["clips"] for unit in units])
    assert rows[1][1].startswith(f"{expected:.1f}")
    assert [row[0] for row in continuous_table(results)[1:]] == [
        "majority",
        "linear",
        "none",
        "fam",
    ]
    page = markdown(results)
    assert "derived labels, derived from tracked poses" not in page
    assert "labels derived from tracked poses" in page
    assert "Labels are derived" in page
    write_report(results, out)
    assert (out / "table.md").read_text() == page
    assert (out / "ages.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("clips/labels.csv", ["--question", "last"]),
        ("clips/b__1.mp4", ["--question", "ago"]),
        ("continuous/vtest.avi", ["--question", "last"]),
        ("animals/mouse_bsoid", ["--question", "mouse"]),
        ("continuous/fly_pair_120s.derived.csv", ["--question", "fly"]),
    ],
)
def test_a_missing_file_is_one_line(
    missing: str,
    arguments: list[str],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / missing).unlink(missing_ok=True)
    out = tmp_path / "out"
    assert main(["bench", "real", str(folder), "--out", str(out), *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert missing in told
    assert told.count("\n") == 1
    assert not list(out.glob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["elsewhere"], "error: elsewhere: no such folder"),
        ([".", "--question", "why"], "error: no question named 'why'; there are last, ago"),
        ([".", "--memory", "elephant"], "error: no memory named 'elephant'; there are none, gru"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "real", *arguments, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1


def test_a_table_of_one_class_is_refused(folder: Path) -> None:
    (folder / "clips" / "labels.csv").write_text("file,class\na__1.mp4,a\n")
    with pytest.raises(InputError, match="fewer than two classes"):
        read_clips(folder)


def test_results_that_are_there_are_shown(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    plan = replace(PLAN, questions=("last",), memories=("none",))
    results = bench_real(plan, folder, out)
    arguments = ["--question", "last", "--memory", "none", "--seeds", "1", "--out", str(out)]
    assert main(["bench", "real", str(folder), *arguments]) == 0
    assert "which action was on last?" in capsys.readouterr().out
    assert main(["bench", "real", str(folder), *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == results


def test_every_question_names_memories_that_there_are() -> None:
    for question in QUESTIONS.values():
        assert set(question.memories) <= set(MEMORIES)
        assert max(lesson.clips for lesson in question.curriculum) > max(question.ago, default=0)


def test_the_real_exercise_is_cut_in_two(shared_data: Path, tmp_path: Path) -> None:
    found = cut_recording(RECORDINGS["exercise"], shared_data, tmp_path)
    frames = found.recording.clips
    assert frames[found.train].max() < frames[found.test].min()
    assert found.unlearned == ("wide_stance",)
    assert set(np.unique(found.labels[found.test]).tolist()) == {-1, 0, 1}
