"""The benchmark's harness: what is kept is what the model sees, scores are by cue, runs go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vigilia.bench import TASKS, Stream, Task, memory, render_clips
from vigilia.bench.bank import Bank, compose, fill_bank
from vigilia.bench.cells import Exam, Lesson, answers, learn
from vigilia.bench.contenders import CONTENDERS, Contender
from vigilia.bench.eyes import SIZE, make_model, vocabulary
from vigilia.bench.memory import Plan, bench_memory, read_results
from vigilia.bench.report import held, markdown, mean_by_age, table, write_report
from vigilia.bench.scores import score, score_from
from vigilia.bench.seen import SeenStreams, see_streams, step_seen
from vigilia.bench.streams import CLIP_SECONDS, plain_levels
from vigilia.checkpoint import save_model
from vigilia.errors import OptionError
from vigilia.stream import StreamClassifier


def blind() -> StreamClassifier:
    """A backbone that has learned nothing."""
    torch.manual_seed(0)
    return make_model(tuple(map(str, vocabulary())), "none", {}).eval()


def streams(count: int, clips: int) -> list[Stream]:
    random = np.random.default_rng(0)
    return [TASKS["T1"].draw(clips, random, gap=3) for _ in range(count)]


@pytest.mark.parametrize("name", [name for name in CONTENDERS if name != "foreign"])
def test_stepping_from_what_was_kept_is_stepping_from_pixels(name: str) -> None:
    contender, eyes, drawn = CONTENDERS[name], blind(), streams(2, 6)
    model = make_model(("a", "b"), contender.memory, dict(contender.options))
    model.backbone.load_state_dict(eyes.backbone.state_dict())
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("gate"):  # open, or memory adds nothing
                parameter.normal_()
    model.eval()
    seen = see_streams(eyes, drawn, [5, 6])
    frames = np.stack(
        [render_clips(one, size=SIZE, seed=s) for one, s in zip(drawn, (5, 6), strict=True)]
    )
    kept, whole = model.init_state(2), model.init_state(2)
    with torch.inference_mode():
        for clip in range(6):
            pixels = model.preprocessing.to_clip(torch.from_numpy(frames[:, clip]))
            seconds = torch.full((2,), (clip + 1) * CLIP_SECONDS, dtype=torch.float64)
            expected, whole = model.step(pixels, whole, seconds=seconds)
            logits, kept = step_seen(model, seen, clip, kept)
            # What is kept is rounded to half precision.
            assert torch.allclose(logits, expected, rtol=0.02, atol=0.02)


def test_accuracy_is_counted_by_age_of_the_cue() -> None:
    # Two cues: at clip 0 for clips 0 to 2, at clip 3 for clips 3 and 4; clip 5 is not scored.
    stream = Stream(
        symbols=np.array([1, 0, 0, 2, 0, 0], np.int16),
        labels=np.array([0, 0, 0, 1, 1, -1]),
        ages=np.array([0, 1, 2, 0, 1, -1]),
        levels=plain_levels(6),
    )
    result = score([stream], np.array([[0, 1, 0, 1, 1, 0]]))
    assert result.all.accuracy == pytest.approx(4 / 5)
    assert (result.all.clips, result.all.cues) == (5, 2)
    assert [(one.low, one.clips, one.cues) for one in result.ages] == [(0, 2, 2), (1, 3, 2)]
    assert [one.accuracy for one in result.ages] == pytest.approx([1, 2 / 3])
    # Of the two cues one has half of its later clips right, the other all of them.
    assert (result.ages[1].low95, result.ages[1].high95) == pytest.approx((0.5, 1.0))
    assert score_from(result, 1) == pytest.approx(2 / 3)
    assert np.isnan(score_from(result, 4))


def test_cues_of_different_streams_are_different_cues() -> None:
    drawn = streams(3, 12)
    said = np.stack([one.labels for one in drawn])
    result = score(drawn, said)
    assert result.all.accuracy == 1
    assert result.all.cues == sum(score([one], one.labels[None]).all.cues for one in drawn)


def perfect(bank: Bank) -> Bank:
    """A bank seen by perfect eyes: the pooled features of a clip are a code of its key."""
    pooled = torch.empty_like(bank.seen.pooled)
    for places, code in zip(bank.places.values(), codes(bank), strict=True):
        pooled[:, places] = code
    return replace(bank, seen=replace(bank.seen, pooled=pooled))


def codes(bank: Bank) -> torch.Tensor:
    shape = (len(bank.places), bank.seen.pooled.shape[-1])
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def decoded(bank: Bank, pooled: torch.Tensor) -> np.ndarray:
    """pooled: (B, S, E) -> (B, S), which key each clip has."""
    return torch.cdist(pooled, codes(bank)[None].expand(len(pooled), -1, -1)).argmin(2).numpy()


def test_composed_streams_are_made_of_clips_that_show_what_they_should() -> None:
    task, eyes = TASKS["T5"], blind()
    bank = perfect(fill_bank(task, eyes, seed=0, scenes=3))
    random = np.random.default_rng(2)
    drawn = [task.draw(30, random, gap=8.0) for _ in range(5)]
    seen = compose(bank, drawn, random)
    keys = np.array(list(bank.places))
    shown = keys[decoded(bank, seen.pooled)]
    assert np.array_equal(shown, np.stack([one.symbols for one in drawn]))
    assert np.array_equal(seen.labels.numpy(), np.stack([one.labels for one in drawn]))
    assert len(bank.seen) == 3


def test_levels_are_composed_to_within_half_a_step() -> None:
    bank = perfect(fill_bank(TASKS["T7"], blind(), seed=0, scenes=2))
    random = np.random.default_rng(3)
    drawn = [TASKS["T7"].draw(50, random)]
    steps = decoded(bank, compose(bank, drawn, random).pooled)
    assert np.abs(steps[0] / 32 - drawn[0].levels).max() <= 0.5 / 32 + 1e-6


def test_a_memory_learns_what_none_cannot_and_foreign_memory_is_no_help() -> None:
    eyes, task = blind(), TASKS["T1"]
    bank = perfect(fill_bank(task, eyes, seed=1, scenes=4))
    random = np.random.default_rng(1)
    tested = [task.draw(40, random, gap=8.0) for _ in range(6)]
    asked = compose(bank, tested, random)
    lesson = Lesson(clips=8, gap=3.0, updates=100)
    reached = {}
    for name in ("none", "gru", "feedback"):
        model = learn(task, CONTENDERS[name], eyes, bank, seed=0, curriculum=(lesson,))
        reached[name] = score(tested, answers(model, asked)).all.accuracy
        if name == "feedback":
            foreign = score(tested, answers(model, asked, foreign=True)).all.accuracy
    assert reached["none"] <= task.memoryless_ceiling(tested) + 0.03
    assert reached["feedback"] > 0.9
    assert reached["gru"] > 0.9
    assert foreign < 0.75


def test_the_backbone_stays_as_it_is_and_the_writer_learns() -> None:
    eyes, task = blind(), TASKS["T1"]
    lessons = (Lesson(clips=4, gap=2.0, updates=2),)
    bank = fill_bank(task, eyes, seed=3, scenes=2)
    model = learn(task, CONTENDERS["fam"], eyes, bank, seed=3, curriculum=lessons)
    for name, tensor in eyes.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor)
    torch.manual_seed(3)
    fresh = make_model(task.classes, "fam", dict(CONTENDERS["fam"].options))
    writer = "stages.0.writer.queries"
    assert not torch.equal(model.memory.state_dict()[writer], fresh.memory.state_dict()[writer])


@pytest.fixture
def small(tmp_path: Path) -> tuple[Plan, Path]:
    save_model(blind(), tmp_path / "eyes-0.safetensors", card={"named": 0.0, "level_error": 1.0})
    plan = Plan(
        tasks=("T1", "T4"),
        memories=("none", "gru"),
        seeds=(0,),
        curriculum=(Lesson(clips=4, gap=2.0, updates=2),),
        size=Exam(streams=2, clips=24),
        scenes=2,
    )
    return plan, tmp_path


def test_a_run_that_was_killed_does_only_what_is_missing(small: tuple[Plan, Path]) -> None:
    plan, out = small
    told: list[str] = []
    first = bench_memory(plan, out, on_update=lambda update: told.append(update.told))
    assert len(first) == len(told) == 4
    assert [(one["task"], one["memory"]) for one in first] == [
        ("T1", "none"),
        ("T1", "gru"),
        ("T4", "none"),
        ("T4", "gru"),
    ]
    (out / "T1-gru-0.json").unlink()
    told.clear()
    again = bench_memory(plan, out, on_update=lambda update: told.append(update.told))
    assert len(told) == 1
    assert told[0].startswith("T1 gru seed 0")
    clocks = {"training_seconds", "test_seconds"}
    for one, other in zip(first, again, strict=True):  # the same seed gives the same figures
        assert {k: v for k, v in one.items() if k not in clocks} == {
            k: v for k, v in other.items() if k not in clocks
        }


def test_who_is_tested_on_foreign_memory_has_learned_only_once(
    small: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = small
    learned: list[str] = []

    def counted(task: Task, contender: Contender, *rest: Any, **options: Any) -> StreamClassifier:
        learned.append(contender.name)
        return learn(task, contender, *rest, **options)

    asked: list[bool] = []

    def noted(model: StreamClassifier, seen: SeenStreams, *, foreign: bool) -> np.ndarray:
        asked.append(foreign)
        return answers(model, seen, foreign=foreign)

    monkeypatch.setattr(memory, "learn", counted)
    monkeypatch.setattr(memory, "answers", noted)
    results = bench_memory(replace(plan, tasks=("T1",), memories=("fam", "gru", "foreign")), out)
    assert learned == ["fam", "gru"]
    assert [one["memory"] for one in results] == ["fam", "gru", "foreign"]
    assert asked == [False, False, True]


def test_the_report_says_what_the_results_say(small: tuple[Plan, Path]) -> None:
    plan, out = small
    results = bench_memory(plan, out)
    rows = table(results)
    assert rows[0] == ["memory", "T1 last event", f"T4 {TASKS['T4'].title}"]
    assert [row[0] for row in rows[1:]] == ["none", "gru", "memoryless ceiling", "oracle"]
    assert rows[1][1] == f"{100 * results[0]['all']['accuracy']:.1f}"
    assert rows[-1][1:] == ["100.0", "100.0"]
    means = mean_by_age(results, "T1", "gru")
    assert means[0] == (results[1]["ages"][0]["accuracy"], 1)
    write_report(results, out)
    assert "| gru |" in markdown(results)
    assert (out / "ages.png").stat().st_size > 10_000
    assert json.loads((out / "T1-gru-0.json").read_text()) == read_results(plan, out)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ("T9",)}, "no task named 'T9'; there are T1"),
        ({"memories": ("elephant",)}, "no memory named 'elephant'; there are none, gru"),
        ({"seeds": ()}, "at least one"),
        ({"seeds": (-1,)}, "must not be negative"),
    ],
)
def test_a_plan_that_cannot_work_is_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        Plan(**arguments)
    assert "\n" not in str(caught.value)


def test_processes_side_by_side_give_what_one_gives_and_tell_every_cell(
    small: tuple[Plan, Path], tmp_path: Path
) -> None:
    plan, out = small
    alone = bench_memory(plan, out)
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "eyes-0.safetensors").write_bytes((out / "eyes-0.safetensors").read_bytes())
    told: list[str] = []
    together = bench_memory(plan, beside, jobs=2, on_update=lambda update: told.append(update.told))
    assert sorted(line.split(":")[0] for line in told) == [
        "T1 gru seed 0",
        "T1 none seed 0",
        "T4 gru seed 0",
        "T4 none seed 0",
    ]
    assert [one["all"] for one in together] == [one["all"] for one in alone]


def test_jobs_must_be_positive(small: tuple[Plan, Path]) -> None:
    with pytest.raises(OptionError, match="jobs"):
        bench_memory(*small, jobs=0)


def result(memory: str, task: str, seed: int, ages: dict[int, tuple[float, int]]) -> dict[str, Any]:
    clips = sum(count for _, count in ages.values())
    overall = sum(share * count for share, count in ages.values()) / clips
    return {
        "memory": memory,
        "task": task,
        "seed": seed,
        "all": {"accuracy": overall},
        "ages": [
            {"low": low, "accuracy": share, "clips": count} for low, (share, count) in ages.items()
        ],
        "memoryless_ceiling": 0.5,
        "horizon_clips": 16,
    }


def test_what_is_held_is_told_inside_the_queue_and_at_ten_times_its_reach() -> None:
    results = [
        result("none", "T1", 0, {0: (0.52, 10)}),
        # Inside: 30 of 40 right and all of 40; ten times: 6 of 10 and 0 of 12.
        result(
            "fam",
            "T1",
            0,
            {0: (1.0, 20), 4: (0.5, 20), 16: (0.3, 7), 160: (0.6, 10), 600: (0.0, 2)},
        ),
        result("fam", "T1", 1, {0: (1.0, 20), 4: (1.0, 20), 160: (0.0, 12)}),
        result("gru", "T1", 0, {0: (0.25, 4)}),
    ]
    head, row = held(results)
    told = dict(zip(head, row, strict=True))
    assert told["fam, inside"] == "87.5"
    assert told["fam, ten times"] == "30.0"
    assert told["gru, inside"] == "25.0"
    assert told["gru, ten times"] == ""
    assert told["none - ceiling"] == "+2.0"
    fam = (30 + 2.1 + 6) / 59 / 2 + 40 / 52 / 2
    assert told["fam - gru"] == f"{100 * (fam - 0.25):+.1f}"
